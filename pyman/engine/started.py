"""A container from the moment its state says that it runs until C has become its monitor. Process C."""

from __future__ import annotations

import os
import time

from pyman import stages
from pyman.engine import logopts, restart_policy
from pyman.errors import PymanError
from pyman.linux import process
from pyman.monitor import spawn
from pyman.rootless import userns
from pyman.runtime import create as runtime_create
from pyman.runtime import start as runtime_start
from pyman.runtime.channel import Created
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan

_STOPPED = ("stopped_by", "stopped_who", "stopped_with", "stopped_facts")  # who wanted the end of a run, and how
MOST_ENDS = 10  # ends of earlier runs that a container remembers


def start(plan: Plan, created: Any, info: Any, waits: bool) -> None:
    """Save the state as running, then let the program start; where it cannot, the state is what it was.

    created: init; info: its network, see network/setup.py; waits: init may not be ready. PymanError: what it failed with.

    Saved before the start: whoever is killed from now on, the next command knows which processes are the container's.
    """
    container = plan.container
    before = dict(container.state)
    _save(plan, created, info)
    stages.reach("start:saved")
    try:
        if waits:
            runtime_create.wait_created(created)
        if plan.gate:
            os.set_inheritable(created.channel.fileno(), True)  # the monitor keeps it: init sees by it that its parent lives
        elif isinstance(created, Created):
            runtime_start.start(created)
        else:
            created.start()
    except BaseException:
        container.state.clear()
        container.state.update(before)
        container.save()
        raise
    stages.reach("start:started")


def _save(plan: Plan, created: Any, info: Any) -> None:
    container = plan.container
    state = container.state
    now = time.time()
    me = os.getpid()
    if state.get("finished"):
        state["ends"] = [*(state.get("ends") or []), _remembered(state)][-MOST_ENDS:]
    state.update(
        status="initialized" if plan.gate else "running",
        pid=created.pid,
        pid_start=created.start_time,
        monitor_pid=me,
        monitor_start=process.start_time(me),
        boot_id=process.boot_id(),
        started=0.0 if plan.gate else now,
        finished=0.0,
        last_code=state.get("exit_code", 0),
        exit_code=0,
        oom_killed=False,
        restarts=plan.restarts,
        driver=plan.driver.name if plan.driver else "",
        ports=info.ports if hasattr(info, "ports") else plan.ports,
        mounts=[mount["destination"] for mount in plan.spec["mounts"] if mount.get("type") == "bind" and not _generated(plan, mount)],
        network_mode=plan.network_mode,
        ip=getattr(info, "ip", ""),
        **_attached(plan, info),
        runtime=plan.opts.get("runtime") or "pyman-runtime",
        anonymous_volumes=plan.volumes.anonymous,
        volume_at=plan.volumes.used,
        cgroup=plan.cgroup,
    )
    for key in ("note", *_STOPPED, "start_error", "end", "lost", "stopping"):
        state.pop(key, None)
    container.save()


def _attached(plan: Plan, info: Any) -> dict[str, Any]:
    """What the state says of bridge networks; nothing for a container that never had any."""
    if plan.network_mode != "bridge" and not plan.container.state.get("networks"):
        return {}
    names = [status["name"] for status in info.attached]
    return {
        "networks": names,
        "attached": info.attached,
        "keeper": info.keeper,
        "keeper_fds": [info.netns_fd, plan.life_fd],
        "forwarder": info.pids,
    }


def _generated(plan: Plan, mount: dict[str, Any]) -> bool:
    """Whether it is one of pyman's own: from the run directory, or the program of --init."""
    return str(mount.get("source", "")).startswith(plan.container.run_dir + "/") or mount["destination"] == "/run/podman-init"


def _remembered(state: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run's end when the next one begins."""
    kept = {key: state[key] for key in ("started", "finished", "exit_code")}
    kept.update({key: state[key] for key in ("oom_killed", "note", *_STOPPED, "end") if state.get(key)})
    return kept


def announce(plan: Plan, created: Any) -> None:
    """Tell the service manager, the caller of the command and the log of events."""
    container = plan.container
    if plan.notify_fd >= 0:
        from pyman.engine import notify  # below a service manager only

        notify.begin(plan.notify_fd, plan.notify_mode)
    plan.report({"started": True, "pid": created.pid})
    try:
        userns.remember(os.getpid(), container.state["monitor_start"], plan.idmap, brief=bool(plan.opts.get("rm")))
    except PymanError:
        pass  # only a hint: the next command makes its own user namespace
    lines = [container.event_line("init"), *([] if plan.gate else [container.event_line("start")])]
    events.append(lines + [container.event_line("attach")] if plan.attach_fd >= 0 else lines)
    stages.reach("start:reported")


def become_monitor(plan: Plan, created: Any, info: Any, ends: dict[str, int], log: tuple[str, str, int, int]) -> None:
    """Execute the monitor, which is init's parent from then on. MissingProgram, OSError.

    ends: its ends of the container's streams and of the log; log: see logopts.settings.
    """
    container, args = plan.container, spawn.MonitorArgs()
    args.init_pid = created.pid
    args.stdin_fd, args.stdout_fd, args.stderr_fd, args.console_fd = ends["stdin_fd"], ends["stdout_fd"], ends["stderr_fd"], created.console
    args.log_driver, args.log_path, args.log_max_size, args.log_max_files = log
    args.log_fd = ends["log_fd"]
    args.journal = plan.journal
    args.oom_path = f"{plan.cgroup}/memory.events" if plan.cgroup else ""
    if not plan.cgroup or not os.path.exists(args.oom_path):
        args.oom_path = spawn.oom_counter()
    args.cgroup = plan.cgroup
    args.run_dir, args.exit_path = container.run_dir, container.exit_path
    args.attach_fd = plan.attach_fd
    args.kill_pids, args.again = info.pids, info.again
    if plan.network_mode == "bridge":
        args.kept_fds, args.again_fd, args.tidy = [info.netns_fd, plan.life_fd], info.netns_fd, True
    args.exit_command, args.remove = plan.cleanup, bool(container.state.get("auto_remove"))
    args.policy_path, args.stopped_path = restart_policy.policy_path(container), restart_policy.stopped_path(container)
    args.restarts, args.wait_ms = plan.restarts, plan.restart_wait
    args.keep_stdio = args.log_driver in logopts.PASSED and container.state.get("restart_policy", "no") != "no"
    if events.limit():
        args.events_path, args.event = events.path(), container.event_subject()
    args.timeout = int(plan.opts.get("timeout") or 0)
    hard = next((limit["hard"] for limit in plan.spec["process"].get("rlimits") or [] if limit["type"] == "RLIMIT_CPU"), 0)
    args.cpu_limit = hard if 0 < hard < 1 << 31 else 0
    args.health_path, args.health_state = os.path.join(container.dir, "health.plan"), os.path.join(container.dir, "health.json")
    args.check, args.secret_env = bool(plan.health) and not plan.gate, plan.secret_env
    args.notify_fd, args.notify_listen, args.notify_mode, args.watchdog = (
        plan.notify_fd,
        plan.notify_listen,
        plan.notify_mode,
        plan.watchdog,
    )
    spawn.exec_monitor(args)

"""The child C of a start: rootfs, init, network, then it becomes the monitor. Runs in U1 with its own mounts.

Order: network helper started (its namespace was made ahead) -> rootfs mounted -> spec completed from it -> init cloned ->
init's mounts and the helper awaited -> init executes the command -> state saved -> C executes the monitor, so that the monitor is init's parent.
All mounts of the container live in C's mount namespace and end with the monitor: there is nothing to unmount, ever.
"""

from __future__ import annotations

import _signal  # the C half of signal
import os
import time

from pyman import stages
from pyman.engine import cgroups, logopts, restart_policy, specgen_rootfs
from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import fs, libc, process
from pyman.monitor import spawn
from pyman.network import hosts
from pyman.network import setup as network
from pyman.rootless import userns
from pyman.runtime import create as runtime_create
from pyman.runtime import start as runtime_start
from pyman.runtime.channel import Created
from pyman.state import events, fastjson, store
from pyman.storage import layers, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan

MOST_ENDS = 10  # ends of earlier runs that a container remembers


def run(plan: Plan) -> int:
    """C's body. Never returns after a good start: the monitor replaces it. Reports one JSON line to the CLI."""
    started: list[int] = []  # what to kill when a later step fails
    failure: PymanError = RuntimeFailure(f"cannot start container {plan.container.name}", "its monitor was not executed")
    try:
        _run(plan, started)
    except PymanError as err:
        failure = err
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        failure = RuntimeFailure(f"cannot start container {plan.container.name}", f"{where}{err.strerror or err}", errno=err.errno or 0)
    # The report comes last: who reads it may take the container's directory away, and with it the place of its control group.
    try:
        _undo(plan, started)
    finally:
        _report(plan, {"error": failure.to_record()})
    return 125


def _undo(plan: Plan, started: list[int]) -> None:
    for pid in started:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    if plan.net is not None:
        network.abort(plan.net)
    if plan.cgroup:
        for pid in started:
            process.wait(pid)
        cgroups.discard(plan.container)


def _report(plan: Plan, record: dict[str, Any]) -> None:
    os.write(plan.report_fd, fastjson.dumps(record).encode() + b"\n")


def _run(plan: Plan, started: list[int]) -> None:
    container, spec = plan.container, plan.spec
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    if _uses_netns(plan):
        plan.net = _begin_network(plan, f"/proc/self/fd/{plan.netns_fd}")
    stages.reach("start:network")
    scope = cgroups.begin(container, plan.opts, plan.conf, [plan.net.pid] if plan.net is not None and plan.net.pid > 0 else [])
    made = _mount_sources(plan)
    stages.reach("start:rootfs")
    _finish_spec(plan)
    stdio, monitor_ends = _make_stdio(plan)
    limits = spec["linux"].get("resources") or {}
    plan.cgroup = cgroups.make(container, plan.opts, plan.conf, limits, lambda text: _report(plan, {"warning": text}), scope)
    stages.reach("start:cgroup")
    created = _begin(plan, spec, stdio)
    started.append(created.pid)
    stages.reach("start:cloned")
    if plan.net is None:
        fd = created.netns_fd
        netns = f"/proc/self/fd/{fd}" if fd >= 0 else f"/proc/{created.pid}/ns/net"
        plan.net = _begin_network(plan, netns)
    for fd in set(stdio):
        os.close(fd)
    # While init builds its root: all that does not need it.
    _leave_fuse(plan.rootfs, *reversed(made))
    # exec and inspect read the spec; it lies with the container because the runtime directory may be wiped.
    store.write_json(os.path.join(container.dir, "spec.json"), spec)
    spawn.reserve_exit(container.exit_path)
    if plan.health:
        from pyman.engine import health_plan  # with a health check only

        container.state["health"] = health_plan.write(container, plan.opts, spec)
    own = isinstance(created, Created)
    waits = own and not plan.net.pid  # with a helper the state is complete only when init and the helper are ready
    if own and not waits:
        runtime_create.wait_created(created)
    info = network.finish(plan.net, created.pid)
    if plan.conf["network"].get("setup_hooks"):
        from pyman.engine import network_hooks  # with such programs only

        network_hooks.run(plan, created, info)
    stages.reach("start:ready")
    _write_files(plan, info)
    # From the moment the state is saved a command may ask this process, as the monitor, for a new attach socket or health plan:
    # the signal waits until the monitor, which inherits the mask, reads it.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2))
    _start_saved(plan, created, info, waits)
    stages.reach("start:started")
    _become_monitor(plan, created, info, monitor_ends)


def _mount_sources(plan: Plan) -> list[str]:
    """Mount the root file system and what mounts in it are made from; the places that were made for those."""
    mount_rootfs(plan)
    if plan.volumes.mounted:
        from pyman.engine import volume_mounts  # volumes that are file systems of their own only

        plan.locks = volume_mounts.mount(plan.volumes.mounted, plan.container.id)
    if plan.secrets:
        from pyman.engine import secret_option  # --secret only

        linux = plan.spec["linux"]
        secret_option.place(plan.secrets, plan.container.run_dir, (linux.get("uidMappings"), linux.get("gidMappings")))
    if plan.ctx.made:
        from pyman.engine import sources  # overlays, images, subpaths only

        return sources.prepare(plan)
    return []


def _finish_spec(plan: Plan) -> None:
    """Complete the spec by what only the mounted root file system tells; the caller of the command is told its warnings."""
    plan.ctx.notice = lambda text: _report(plan, {"notice": text})
    root_fd = os.open(plan.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if hosts.base_file(plan.opts, plan.conf) == "image":
        plan.ctx.image_hosts = specgen_rootfs.read_lines(root_fd, "etc/hosts")
    specgen_rootfs.finish(plan.spec, root_fd, plan.ctx, plan.opts)
    os.close(root_fd)
    for warning in getattr(plan.ctx, "warnings", None) or []:
        _report(plan, {"warning": warning})


def _start_saved(plan: Plan, created: Any, info: network.NetInfo, waits: bool) -> None:
    """Save the state as running, then let the program start; where it cannot, the state is what it was. waits: init may not be ready.

    Saved before the start: whoever is killed from now on, the next command knows which processes are the container's.
    """
    container = plan.container
    before = dict(container.state)
    _save_running(plan, created, info)
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


def _leave_fuse(*paths: str) -> None:
    """Unmount our copies of FUSE mounts: init has its own, and the daemon is to end with init even if the monitor is killed.

    Other mounts may stay until the monitor ends: an unmount waits for a grace period of the kernel, up to a millisecond.
    """
    for path in paths:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        found = fs.magic(fd)
        os.close(fd)
        if found == fs.FUSE_SUPER_MAGIC:
            libc.umount2(path)


def _begin_network(plan: Plan, netns: str) -> network.NetSetup:
    return network.begin(plan.network_mode, netns, plan.conf, plan.ports, plan.container.run_dir, plan.channel_fd)


def _uses_netns(plan: Plan) -> bool:
    """Whether the network namespace made ahead fits; where not, it is forgotten.

    It belongs to U1. A container with a user namespace of its own needs one that its own root has rights over, and an
    external runtime makes its own.
    """
    fits = plan.netns_fd >= 0 and own_runtime(plan)
    kinds = {entry["type"] for entry in plan.spec["linux"]["namespaces"] if not entry.get("path")}
    if fits and "network" in kinds and "user" not in kinds:
        return True
    plan.netns_fd = -1
    return False


def own_runtime(plan: Plan) -> bool:
    """Whether pyman's own runtime starts the container, in this process."""
    name = plan.opts.get("runtime") or plan.conf["engine"].get("runtime") or ""
    return name in ("", "pyman-runtime", "pyman")


def _begin(plan: Plan, spec: dict[str, Any], stdio: tuple[int, int, int]) -> Any:
    """Init, cloned by our runtime (it builds its rootfs meanwhile) or fully created by an external one."""
    container = plan.container
    if own_runtime(plan):
        if plan.secret_env:
            from pyman.engine import secret_option  # --secret only

            # For init alone: what is written to spec.json is the specification without them.
            process = spec["process"]
            spec = {**spec, "process": {**process, "env": secret_option.with_environment(process["env"], plan.secret_env)}}
        extras: Any = None
        trees: list[int] = []
        if spec["linux"].get("uidMappings"):
            spec, extras = _for_strangers(plan, spec)
            spec, trees = _open_sources(spec) if extras is None else (spec, [])
        created = runtime_create.begin(
            spec,
            extras=extras,
            bundle=container.run_dir,
            container_id=container.id,
            stdio=stdio,
            netns_fd=plan.netns_fd,
            die_with_parent=True,
            preserve=plan.preserve,
            bpf=plan.bpf,
            cgroup=plan.cgroup,
            gate=plan.gate,
        )
        for fd in trees:
            os.close(fd)
        return created
    from pyman.engine import external  # --runtime crun or runc only

    name = plan.opts.get("runtime") or plan.conf["engine"].get("runtime") or ""
    runtime = external.Runtime(container.id, name, plan.conf, container.run_dir)
    runtime.create(spec, container.run_dir, stdio, plan.cgroup, plan.preserve)
    return runtime


def _for_strangers(plan: Plan, spec: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """A user namespace without the caller's id in it (nomap, some --uidmap): what it needs of the caller's directories is opened for it."""
    from pyman.runtime import rootfs_more  # containers with a user namespace of their own only

    if not rootfs_more.leaves_out_caller(spec["linux"]):
        return spec, None
    from pyman.runtime.extras import Extras

    state = {"ociVersion": spec["ociVersion"], "id": plan.container.id, "status": "creating", "bundle": plan.container.run_dir}
    spec = {**spec, "mounts": [dict(entry) for entry in spec["mounts"]]}  # descriptors are added, which spec.json is not to have
    return spec, Extras(spec, state)


def _open_sources(spec: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """(the spec with descriptors of what is bound, these): the root of a user namespace of its own may not pass directories whose
    owner or group that does not have, though they are open to the caller."""
    mounts, trees = [], []
    for entry in spec["mounts"]:
        options = entry.get("options") or []
        if entry["type"] == "bind" and "copy-symlink" not in options and "tree_fd" not in entry:
            try:
                flags = libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if "rbind" in options else 0)
                trees.append(libc.open_tree(libc.AT_FDCWD, entry["source"], flags))
                entry = {**entry, "tree_fd": trees[-1], "tree_optional": True}
            except OSError:
                pass  # init tries it, and its error names the mount
        mounts.append(entry)
    return {**spec, "mounts": mounts}, trees


def mount_rootfs(plan: Plan) -> None:
    """Mount the image's layers below the container's upper directory; a plain --rootfs needs only a bind mount."""
    container, config = plan.container, plan.container.config
    if config["rootfs"] and not config.get("rootfs_overlay"):
        libc.mount(config["rootfs"], plan.rootfs, None, libc.MS_BIND | libc.MS_REC)
        return
    last = container.state.get("driver")
    if last and last != plan.driver.name:
        from pyman.storage import convert  # only after a change of driver

        convert.normalise(os.path.join(container.dir, "upper"), last)
    lowers = [config["rootfs"]] if config["rootfs"] else [layers.layer_path(diff_id) for diff_id in config["layers"]]
    overlay.mount_rootfs(
        plan.driver,
        lowers,
        os.path.join(container.dir, "upper"),
        os.path.join(container.dir, "work"),
        plan.rootfs,
        uid_shift=plan.ctx.uid_shift or None,
        gid_shift=plan.ctx.gid_shift or None,
    )


def _make_stdio(plan: Plan) -> tuple[tuple[int, int, int], dict[str, int]]:
    """(stdin, stdout, stderr) of the container and the monitor's ends of them."""
    if plan.terminal:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return (null, null, null), {"stdin_fd": -1, "stdout_fd": -1, "stderr_fd": -1}
    if logopts.passed(plan.opts, plan.conf):
        return (os.dup(0), os.dup(1), os.dup(2)), {"stdin_fd": -1, "stdout_fd": -1, "stderr_fd": -1}
    if plan.interactive:
        stdin_r, stdin_w = os.pipe()
    else:
        stdin_r, stdin_w = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    for fd in (stdin_r, out_w, err_w):
        os.fchmod(fd, 0o666) if fd != stdin_r or stdin_w >= 0 else None  # a USER may open /dev/stdout by name
    return (stdin_r, out_w, err_w), {"stdin_fd": stdin_w, "stdout_fd": out_r, "stderr_fd": err_r}


def _write_files(plan: Plan, info: Any) -> None:
    """/etc/hosts, /etc/resolv.conf and /etc/hostname, in place: they are bound into the rootfs already."""
    run_dir = plan.container.run_dir
    names, mode = (plan.ctx.hostname, plan.container.name), plan.network_mode
    path = os.path.join(run_dir, "hosts")
    if not plan.neighbour or not hosts.copy(os.path.join(plan.neighbour, "hosts"), path, names):
        hosts.write_hosts(path, names, info, plan.opts, mode, plan.conf, plan.ctx.image_hosts)
    path = os.path.join(run_dir, "resolv.conf")
    if not plan.neighbour or not hosts.copy(os.path.join(plan.neighbour, "resolv.conf"), path):
        hosts.write_resolv_conf(path, info, plan.opts, plan.conf, mode)
    with open(os.path.join(run_dir, "hostname"), "w") as file:
        file.write(plan.ctx.hostname + "\n")
    if plan.opts.get("privileged"):  # for others its being there says enough
        with open(os.path.join(run_dir, ".containerenv"), "w") as file:
            file.write(_described(plan))


def _described(plan: Plan) -> str:
    from pyman.version import VERSION  # privileged containers only

    image = plan.container.config["image"]
    fields = {
        "engine": f"pyman-{VERSION}",
        "name": plan.container.name,
        "id": plan.container.id,
        "image": image["name"],
        "imageid": image["id"],
    }
    return "".join(f'{key}="{value}"\n' for key, value in fields.items()) + "rootless=1\n"


def _save_running(plan: Plan, created: Any, info: Any) -> None:
    container = plan.container
    state = container.state
    now = time.time()
    me = os.getpid()
    if state.get("finished"):
        state["ends"] = [*(state.get("ends") or []), remembered(state)][-MOST_ENDS:]
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
    for key in ("note", "stopped_by", "stopped_who", "start_error", "end"):
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


def remembered(state: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run's end when the next one begins."""
    kept = {key: state[key] for key in ("started", "finished", "exit_code")}
    kept.update({key: state[key] for key in ("oom_killed", "note", "stopped_by", "stopped_who", "end") if state.get(key)})
    return kept


def _become_monitor(plan: Plan, created: Any, info: Any, ends: dict[str, int]) -> None:
    container = plan.container
    if plan.notify_fd >= 0:
        from pyman.engine import notify  # below a service manager only

        notify.begin(plan.notify_fd, plan.notify_mode)
    _report(plan, {"started": True, "pid": created.pid})
    try:
        userns.remember(os.getpid(), container.state["monitor_start"], plan.idmap, brief=bool(plan.opts.get("rm")))
    except PymanError:
        pass  # only a hint: the next command makes its own user namespace
    lines = [container.event_line("init"), *([] if plan.gate else [container.event_line("start")])]
    events.append(lines + [container.event_line("attach")] if plan.attach_fd >= 0 else lines)
    stages.reach("start:reported")
    args = spawn.MonitorArgs()
    args.init_pid = created.pid
    args.stdin_fd, args.stdout_fd, args.stderr_fd, args.console_fd = ends["stdin_fd"], ends["stdout_fd"], ends["stderr_fd"], created.console
    args.log_driver, args.log_path, args.log_max_size, args.log_max_files = log_settings(plan)
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
    args.health_path, args.health_state = os.path.join(container.dir, "health.plan"), os.path.join(container.dir, "health.json")
    args.check, args.secret_env = bool(plan.health) and not plan.gate, plan.secret_env
    args.notify_fd, args.notify_listen, args.notify_mode, args.watchdog = (
        plan.notify_fd,
        plan.notify_listen,
        plan.notify_mode,
        plan.watchdog,
    )
    spawn.exec_monitor(args)


def _generated(plan: Plan, mount: dict[str, Any]) -> bool:
    return str(mount.get("source", "")).startswith(plan.container.run_dir + "/")


def log_settings(plan: Plan) -> tuple[str, str, int, int]:
    """(driver, path, bytes until rotation or 0, rotated files kept) from --log-driver, --log-opt and containers.toml."""
    return logopts.settings(plan.opts, plan.conf, os.path.join(plan.container.dir, "ctr.log"))

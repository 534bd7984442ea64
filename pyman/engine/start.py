"""Start a container: what the CLI process does. The child C that does the rest is in engine/launch.py."""

from __future__ import annotations

import os

from pyman import errors, exitcodes, stages
from pyman.engine import launch, restart_policy, start_plan
from pyman.engine.container import RUNNING, Container
from pyman.errors import ConfigError, MissingProgram, PymanError, RootlessError, RuntimeFailure, StateError, UsageError
from pyman.rootless import userns
from pyman.runtime import create as runtime_create
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.plan import Plan


def start_container(container: Container, *, attach_fd: int = -1, warn: Callable[[str], None] | None = None) -> bool:
    """Start a container; false if it already runs. One that is being stopped is started afterwards. `warn` is called with what the user should know.

    attach_fd: one end of a SOCK_SEQPACKET socketpair for the monitor's first client, or -1.
    Raises what the start failed with: CommandNotFound (127), CannotInvoke (126), RuntimeFailure, NetworkError, ...
    """
    with container:
        if container.state["status"] == "running":
            from pyman.engine import stop  # for such containers only

            stop.await_others(container, warn)
        if container.state["status"] == "paused":
            raise StateError(f"cannot start container {container.name}", "it is paused", f"pyman unpause {container.name}")
        if container.state["status"] == "initialized":
            from pyman.engine import init  # after `init` only

            if not init.end_lost(container):
                init.open_locked(container)
                return True
        if container.state["status"] in RUNNING:
            return False
        if restart_policy.cancel(container):
            container.save()  # where this start fails, nobody else tries
        restart_policy.forget_wish(container)
        start_locked(container, attach_fd=attach_fd, warn=warn)
        return True


def start_locked(
    container: Container,
    *,
    attach_fd: int = -1,
    warn: Callable[[str], None] | None = None,
    restarts: int = 0,
    wait: int = 0,
    gate: str = "",
) -> None:
    """As start_container, for a caller that holds the lock of a container that does not run.

    restarts: how often its restart policy has started it since a user did; wait: milliseconds before the next time.
    gate: path of a FIFO that init is to wait at: the command begins later, see engine/init.py.
    """
    try:
        if not restarts and container.config.get("depends"):
            from pyman.engine import dependencies  # of such a container only

            dependencies.check(container)
        plan = start_plan.make(container)
    except PymanError as err:
        _note_failure(container, err)
        raise
    except OSError as err:  # a directory of its own was taken away meanwhile
        failure = launch.failed(container, err)
        _note_failure(container, failure)
        raise failure from err
    plan.attach_fd = attach_fd
    if gate:
        from pyman.engine import init  # `init` only

        init.make_gate(plan, gate)
    plan.cleanup = after_command(container)
    plan.restarts, plan.restart_wait = restarts, wait or restart_policy.FIRST_WAIT
    restart_policy.write_policy(container)
    stages.reach("start:planned")
    plan.notice = warn or plan.notice
    try:
        _launch(container, plan)
    except PymanError as err:
        _note_failure(container, err)
        raise
    finally:
        plan.close()
        for text in plan.warnings if warn else ():
            warn(text)  # type: ignore[misc]
    container._state = None  # C wrote it


def _note_failure(container: Container, err: PymanError) -> None:
    """Keep why a start failed, for `why`: with the container, and in the log of events for when it has been removed."""
    import time

    container._state = None
    cause = {exitcodes.CANNOT_INVOKE: "cannot-invoke", exitcodes.NOT_FOUND: "command-not-found"}.get(err.exit_code, "start-failed")
    err.exit_code = _failed_code(err)
    record = {"what": err.what, "why": err.why, "hint": err.hint, "exit_code": err.exit_code, "time": time.time(), "cause": cause}
    container.state["start_error"] = {key: text[:2048] if isinstance(text, str) else text for key, text in record.items()}
    try:
        container.save()
    except PymanError:
        pass  # a full disk: the error itself is what the user sees
    facts = {"Error": str(err)[:4096], "Hint": err.hint[:1024], "ContainerExitCode": err.exit_code, "Cause": cause}
    container.event("start-failed", Type="failure", **facts)


def _failed_code(err: PymanError) -> int:
    """The exit code of `run` for what its start failed with, as Podman: 127 where something is not there, else 126.

    125 stays for what is wrong before it comes to a container: the options, the configuration, the host's programs and user ids.
    """
    if err.exit_code != exitcodes.PYMAN_FAILED or isinstance(err, (ConfigError, MissingProgram, RootlessError, UsageError)):
        return err.exit_code
    # ENOENT, of something that Podman says it so of
    missing = err.errno == 2 and err.stage not in ("workdir", "cgroup") and not restart_policy.own_missing(err)
    return exitcodes.NOT_FOUND if missing else exitcodes.CANNOT_INVOKE


def after_command(container: Container) -> list[str]:
    """What the monitor executes after the end, with --rm or --restart as its last argument."""
    import sys

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [sys.executable, "-SI", os.path.join(package, "__main__.py"), "container", "cleanup", container.id]


def _launch(container: Container, plan: Plan) -> None:
    """Fork C, wait for its report, raise its error."""
    report_r, report_w = os.pipe()
    plan.report_fd = report_w
    attacher = 0
    try:
        if plan.own_runtime:
            plan.bpf = runtime_create.syscall_filter(plan.spec)  # while the namespaces are being made
        userns_fd, netns_fd = userns.claim()
        if plan.userns_fd < 0:
            # (Joining another container's namespaces needs its user namespace, and so a network namespace in that.)
            plan.userns_fd, plan.netns_fd = userns_fd, netns_fd
        if plan.network_mode == "bridge":
            from pyman.engine import bridges

            attacher = bridges.claim(plan, container)
        passed = (report_w, plan.attach_fd, plan.netns_fd, plan.channel_fd, plan.life_fd, container.lock_fd, plan.notify_fd)
        keep = tuple(fd for fd in (*passed, plan.notify_listen, *plan.pins, *plan.preserve) if fd >= 0)
        pid = userns.fork_in_userns(lambda: launch.run(plan), "pyman:[start]", keep, plan.userns_fd)
    finally:
        for fd in (report_w, plan.channel_fd):
            if fd >= 0:
                os.close(fd)
        userns.release()
    outcome = _outcome(report_r, plan.warnings, plan.notice)
    if attacher:
        os.waitpid(attacher, 0)
    if "started" in outcome:
        return
    _, status = os.waitpid(pid, 0)
    _cleanup_failed(container)
    if plan.attachments:
        bridges.give_back(plan, container)
    if "error" in outcome:
        error = errors.from_record(outcome["error"])
        if error.stage.startswith("port "):
            from pyman.engine import port_conflict

            port_conflict.name_holder(error, container.id)
        raise error
    raise RuntimeFailure(
        f"cannot start container {container.name}",
        f"the starting process ended without a report (status {status})",
        "run it again with --log-level=debug",
    )


def _outcome(report_r: int, warnings: list[str], notice: Callable[[str], None]) -> dict[str, Any]:
    """C's report: {"started": ...} or {"error": ...}; empty if it was killed. Its warnings are added to `warnings`.

    What takes long is told to `notice` at once.
    """
    data = b""
    outcome: dict[str, Any] = {}
    try:
        # Until the good news, not until the end of file: that comes half a millisecond later, when C has become the monitor.
        while "started" not in outcome:
            more = os.read(report_r, 65536)
            if not more:
                break
            *lines, data = (data + more).split(b"\n")
            for line in lines:
                record = fastjson.loads(line)
                if "notice" in record:
                    notice(record["notice"])
                elif "warning" in record:
                    warnings.append(record["warning"])
                else:
                    outcome = record
    finally:
        os.close(report_r)
    return outcome


def _cleanup_failed(container: Container) -> None:
    """A start that failed leaves the container as it was; mounts and helpers went with C's namespaces."""
    for entry in ("attach", "config.json"):
        try:
            os.unlink(os.path.join(container.run_dir, entry))
        except OSError:
            pass

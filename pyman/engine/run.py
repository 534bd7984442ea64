"""Create and start in one command, attached or detached, and remove at the end with --rm. CLI process."""

from __future__ import annotations

from pyman import exitcodes, stages
from pyman.config import containers as containers_conf
from pyman.engine import attach, logopts, remove, restart_policy, start, stop
from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchContainer, PymanError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def start_attached(
    container: Container,
    opts: dict[str, Any],
    told: Callable[[Container], None],
    warn: Callable[[str], None] | None = None,
) -> int:
    """Start a created container; attach unless --detach. With --rm it is gone afterwards, whatever happened.

    told: called once it runs where nothing of its output is shown: with --detach, or attached to stdin alone.

    One that cannot start is kept otherwise, as created, so that it can be looked at.
    """
    sock: Any = None
    theirs: Any = None
    foreground = not opts.get("detach")
    passthrough = logopts.passed(opts, containers_conf.load())  # its streams are ours already
    auto_remove = bool(container.state.get("auto_remove"))
    if foreground:
        import _socket  # the C half of socket

        sock, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        check_pidfiles(opts)
        start.start_container(container, attach_fd=theirs.fileno() if theirs else -1, warn=warn)
    except PymanError:
        if auto_remove:
            remove.remove_container(container, force=True, volumes=True)
        raise
    finally:
        if theirs:
            theirs.close()
    stages.reach("run:started")
    write_pidfiles(container, opts)
    if not foreground:
        told(container)
        return 0
    streams = [stream.lower() for stream in opts.get("attach") or []]
    if set(streams) == {"stdin"}:
        told(container)  # nothing of its output will be seen
    shown = ("stdout" in streams, "stderr" in streams) if streams else (not passthrough, not passthrough)
    code = attach.attach_container(
        container,
        sock,
        stdin=not passthrough and (bool(opts.get("interactive")) or "stdin" in streams),
        tty=bool(opts.get("tty")),
        streams=shown,
        detach_keys=attach.detach_keys(opts, opts),
        sig_proxy=opts.get("sig_proxy") is not False,
        closed=exitcodes.CANNOT_INVOKE,  # Podman's
    )
    if code == attach.DETACHED:
        return 0
    stages.reach("run:ended")
    try:
        stop.wait_ports_free(container.state, container.state["monitor_pid"], container.state["monitor_start"])
        if auto_remove:
            with container:
                if not _goes_on(container):
                    remove.discard_container(container)
    except NoSuchContainer:
        pass  # a listing has seen its end first, and removed it
    return code


def _goes_on(container: Container) -> bool:
    """Whether a health check restarts the container: the monitor removes it after its last end."""
    return container.state["status"] in RUNNING or restart_policy.waiting(container.state)


def check_pidfiles(opts: dict[str, Any]) -> None:
    """Whether --pidfile and --conmon-pidfile can be written: once the program runs it is too late. StorageError."""
    for option in ("pidfile", "conmon_pidfile"):
        if opts.get(option):
            import os

            directory = os.path.dirname(os.path.abspath(opts[option]))
            if not os.path.isdir(directory):
                raise StorageError(f"cannot write {opts[option]}", f"there is no directory {directory}", exit_code=exitcodes.NOT_FOUND)
            if not os.access(directory, os.W_OK | os.X_OK):
                raise StorageError(
                    f"cannot write {opts[option]}", f"{directory} is not yours to write to", exit_code=exitcodes.CANNOT_INVOKE
                )


def write_pidfiles(container: Container, opts: dict[str, Any]) -> None:
    """--pidfile and --conmon-pidfile, written once the container runs."""
    from pyman.state import store

    for option, key in (("pidfile", "pid"), ("conmon_pidfile", "monitor_pid")):
        if opts.get(option):
            store.write_text(opts[option], f"{container.state[key]}", mode=0o644)

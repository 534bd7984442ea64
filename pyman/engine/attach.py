"""Attach the caller's terminal or pipes to a running container through its monitor. CLI process."""

from __future__ import annotations

import os

from pyman import errors, exitcodes, paths
from pyman.engine import kill
from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchContainer, StateError
from pyman.linux import process
from pyman.monitor import attach as client
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETACHED = -1  # attach_container's result after the detach keys
SIGHUP = 1


def detach_keys(opts: Any, stored: dict[str, Any]) -> str:
    """The keys given on the command line, else those the container was made with, else the configuration's.

    stored: the options of the container; an empty value, where it was given, means that no keys detach.
    """
    for options, given in ((opts, getattr(opts, "given", ())), (stored, stored.get("_given") or ())):
        if "detach_keys" in given:
            return str(options.get("detach_keys") or "")
    from pyman.config import containers

    return str(containers.load()["engine"].get("detach_keys") or "ctrl-p,ctrl-q")


def open_attach(container: Container) -> Any:
    """A connection to the monitor's attach socket; a wiped runtime directory is mended by asking the monitor for a new one."""
    try:
        return client.connect(container.run_dir)
    except OSError:
        state = container.state
        if not process.alive(state["monitor_pid"], state["monitor_start"]):
            raise
    if not os.path.isdir(container.run_dir):
        paths.ensure_private(paths.runroot())
    os.makedirs(container.run_dir, 0o700, exist_ok=True)
    os.kill(state["monitor_pid"], SIGHUP)
    import time

    end = time.monotonic() + 30
    while process.alive(state["monitor_pid"], state["monitor_start"]) and time.monotonic() < end:
        try:
            return client.connect(container.run_dir)
        except OSError:
            time.sleep(0.005)
    return client.connect(container.run_dir)


def attach_container(
    container: Container,
    sock: Any,
    *,
    stdin: bool,
    tty: bool,
    streams: tuple[bool, bool] = (True, True),
    detach_keys: str = "ctrl-p,ctrl-q",
    sig_proxy: bool = True,
    code_is_ours: bool = True,
    closed: int = exitcodes.PYMAN_FAILED,
) -> int:
    """Pass data until the container ends (its exit code, or 0 if that is not the command's) or the user detaches (DETACHED).

    streams: whether stdout and stderr are shown. Signals are passed on to the container's init with sig_proxy. BrokenPipeError: whoever read
    what the container prints has gone; the container runs on, as with Podman. StateError if there are too many others, or its end is not known,
    or (with the exit code `closed`) the caller's terminal was closed.
    """

    def forward(signum: int) -> None:
        try:
            kill.pass_on(container, signum)
        except NoSuchContainer:
            pass  # its end comes next: another command has removed it

    def missed(size: int) -> None:
        if errors.tell:
            logs = f"pyman logs {container.name} has it"
            errors.tell(
                f"{size} bytes of the output of container {container.name} are not shown, since nobody took it here for 10 seconds: {logs}"
            )

    result = client.attach(
        sock,
        stdin=0 if stdin else -1,
        stdout=1 if streams[0] else -1,
        stderr=2 if streams[1] else -1,
        tty=tty,
        detach_keys=detach_keys,
        sig_proxy=sig_proxy,
        on_signal=forward,
        on_missed=missed,
    )
    if result.detached:
        return DETACHED
    if result.closed:
        raise StateError(f"cannot show the output of container {container.name}", "the terminal was closed", exit_code=closed)
    if result.unread:
        raise BrokenPipeError
    if result.lost:
        os.write(2, f"Error: cannot write the output of container {container.name}: {result.lost}\n".encode())
        return int((code_is_ours and result.exit_code) or exitcodes.CANNOT_INVOKE)
    if result.refused:
        raise StateError(
            f"cannot attach to container {container.name}",
            "16 commands are attached to it already",
            f"pyman logs --follow {container.name}",
        )
    code = result.exit_code if result.exit_code is not None else _untold(container)
    return int(code) if code_is_ours else exitcodes.OK


def _untold(container: Container) -> int:
    """The exit code of a container whose monitor has not told it: it was lost before, or has not waited any longer. StateError."""
    what = f"cannot tell how container {container.id[:12]} ended"
    record = store.read_json(container.exit_path)
    if not record:
        container._state = None
        try:
            container.sync()
        except NoSuchContainer:
            from pyman.state import eventlog  # another command has seen its end first, and removed it

            ends = [event for event in eventlog.read() if event["ID"] == container.id and event["Status"] == "died"]
            if ends:
                return int(ends[-1].get("ContainerExitCode") or 0) & 255
            raise StateError(what, "it was removed meanwhile, and nobody took its output here for 10 seconds") from None
        if container.state["status"] in RUNNING:
            raise StateError(
                f"cannot tell how container {container.name} ended",
                "it was started again, and nobody took its output here for 10 seconds",
                f"pyman ps, pyman logs {container.name}",
            )
    if errors.tell:
        why = "nobody took it here for 10 seconds" if record else "its monitor was killed"
        errors.tell(f"the last output of container {container.name} may not be shown, since {why}: pyman logs {container.name}")
    return int((record or container.state)["exit_code"]) & 255

"""Attach the caller's terminal or pipes to a running container through its monitor. CLI process."""

from __future__ import annotations

import os

from pyman import exitcodes, paths
from pyman.engine import kill
from pyman.engine.container import Container
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
) -> int:
    """Pass data until the container ends (its exit code) or the user detaches (DETACHED).

    streams: whether stdout and stderr are shown. Signals are passed on to the container's init with sig_proxy. BrokenPipeError: whoever read
    what the container prints has gone; the container runs on, as with Podman.
    """

    def forward(signum: int) -> None:
        kill.send(container, signum)

    result = client.attach(
        sock,
        stdin=0 if stdin else -1,
        stdout=1 if streams[0] else -1,
        stderr=2 if streams[1] else -1,
        tty=tty,
        detach_keys=detach_keys,
        sig_proxy=sig_proxy,
        on_signal=forward,
    )
    if result.detached:
        return DETACHED
    if result.unread:
        raise BrokenPipeError
    if result.lost:
        os.write(2, f"Error: cannot write the output of container {container.name}: {result.lost}\n".encode())
        return int(result.exit_code or exitcodes.CANNOT_INVOKE)
    if result.exit_code is not None:
        return int(result.exit_code)
    record = store.read_json(container.exit_path)  # the monitor was lost before it could say
    return int(record["exit_code"]) & 255 if record else 137

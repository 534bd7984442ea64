"""What the health checks of a container have found: read for ps and inspect, asked of the monitor, run on demand. CLI process.

The monitor alone writes the file; a result that tells nothing new stays in its memory until somebody asks.
"""

from __future__ import annotations

import os
import time

from pyman.engine.container import RUNNING, Container, containers_dir
from pyman.errors import PymanError, StateError
from pyman.linux import process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIGUSR1 = 10
_PATIENCE, _LOOK = 5.0, 0.5  # seconds
_HEAD = len('{"Status":"unhealthy"')


def path(container_id: str) -> str:
    """The file with the results."""
    return os.path.join(containers_dir(), container_id, "health.json")


def begin(container: Container) -> None:
    """The container is about to start, or gets its first check: its status is `starting`, and no check of this run has ended. StorageError."""
    store.write_json(path(container.id), {"Status": "starting", "FailingStreak": 0, "Log": None})


def _read(container_id: str) -> dict[str, Any]:
    try:
        return store.read_json(path(container_id)) or {}
    except PymanError:
        return {}


def status(state: dict[str, Any]) -> str:
    """starting, healthy, unhealthy or stopped; empty for a container without a health check. Reads the first bytes only."""
    if not state.get("health"):
        return ""
    try:
        fd = store.open_file(path(state["id"]))
    except PymanError:
        return ""
    if fd < 0:
        return ""
    head = os.read(fd, _HEAD)
    os.close(fd)
    return head.split(b'"')[3].decode("ascii", "replace") if head.startswith(b'{"Status":"') else ""


def results(container: Container) -> dict[str, Any] | None:
    """State.Health of inspect: Status, FailingStreak, Log; None without a health check."""
    state = container.state
    if not state.get("health"):
        return None
    if state["status"] in RUNNING:
        ask(container, b"g")
    found = _read(container.id)
    return {"Status": found.get("Status", ""), "FailingStreak": found.get("FailingStreak", 0), "Log": found.get("Log")}


def ask(container: Container, what: bytes) -> str:
    """The monitor's answer to g (write down what is known) or h (run a check now); empty if it has none, or has ended.

    `asleep` if somebody has stopped it (SIGSTOP), or if it has not answered g for some seconds. `full` if it has no room for another
    client; who only asks leaves at once, so that is tried for a while.
    """
    deadline = time.monotonic() + _PATIENCE
    while (answer := _asked(container, what)) == "full" and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def _asked(container: Container, what: bytes) -> str:
    from pyman.engine import attach

    monitor = container.state["monitor_pid"]
    if process.state(monitor) == "T":
        return "asleep"
    try:
        sock = attach.open_attach(container)
    except OSError:
        return ""
    try:
        sock.settimeout(_LOOK)
        sock.send(what)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                packet = sock.recv(1 << 15)  # what the container writes meanwhile is sent to all clients
            except TimeoutError:
                if process.state(monitor) == "T" or (what == b"g" and time.monotonic() > deadline):
                    return "asleep"
                continue
            if packet == b"f":
                return "full"
            if not packet or packet[:1] == what:
                return str(packet[1:].decode("ascii", "replace"))
    except OSError:
        return ""
    finally:
        sock.close()


def run_check(container: Container) -> str:
    """Run the container's health check now: healthy, unhealthy, starting, stopped or timeout. StateError."""
    from pyman.engine import stop  # not for ps and inspect

    container.sync()
    state = container.state
    what = f"cannot check the health of container {container.name}"
    if stop.shown(state) != "running":
        raise StateError(what, f"it is not running (state: {stop.shown(state)})")
    if not state.get("health"):
        raise StateError(what, "it has no health check", f"give it one: pyman update --health-cmd COMMAND {container.name}")
    answer = ask(container, b"h") or "stopped"
    if answer == "full":
        raise StateError(what, "its monitor has no room for another client", "end a pyman attach to it, and try again")
    if answer == "asleep":
        monitor = state["monitor_pid"]
        raise StateError(what, f"its monitor (process {monitor}) is stopped", f"let it go on: kill -CONT {monitor}")
    return answer


def reload(container: Container) -> None:
    """Tell the monitor that the plan has changed."""
    state = container.state
    if process.alive(state["monitor_pid"], state["monitor_start"]):
        os.kill(state["monitor_pid"], SIGUSR1)

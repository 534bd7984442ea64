"""The network helpers of running containers: whether they live, and a wish for their return. CLI process; slow paths.

The monitor starts a helper again that has died (shims/monitor/helper.h), so that its pid need not be the one that the state has.
One that dies at once again and again it gives up, until a command asks for it.
"""

from __future__ import annotations

import os
import time

from pyman.linux import process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Mode -> what the kernel calls the process. pasta executes a variant of passt that fits the processor.
_NAMES = {"bridge": ("pyman:[ports]",), "pasta": ("pasta", "passt"), "slirp4netns": ("slirp4netns",)}
_USR2, _CONT = 12, 18
_WAIT = 30.0  # seconds


def expected(state: dict[str, Any]) -> str:
    """What helper a running container has: pasta, slirp4netns, forwarder, or an empty text."""
    mode = str(state.get("network_mode") or "").split(":")[0]
    if mode == "bridge":
        return "forwarder" if state.get("forwarder") else ""
    return mode if mode in _NAMES else ""


def find(state: dict[str, Any], run_dir: str) -> int:
    """The pid of a running container's helper, or 0: one that the state has, else the monitor's child of that name.

    One that is not ready counts as none.
    """
    for pid, started in state.get("forwarder") or []:
        if process.alive(pid, started):
            return int(pid)
    if os.path.exists(os.path.join(run_dir, "slirp-wait")):
        return 0  # it has not taken all ports yet, or could not (shims/network/slirp.h)
    names = _NAMES.get(str(state.get("network_mode") or "").split(":")[0], ())
    for pid, called, _ in process.children(state["monitor_pid"]):
        if pid != state["pid"] and called.split(".avx")[0] in names:
            return pid
    return 0


def of_keeper(keeper: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(what it is, pid, state) of a living keeper and of what it runs."""
    found = [("the keeper of the networks", int(keeper["pid"]), process.state(keeper["pid"]))]
    for pid, called, letter in process.children(keeper["pid"]):
        if called.split(".avx")[0] in _NAMES["pasta"]:
            found.append(("the networks' way out, pasta", pid, letter))
        elif called.startswith("aardvark"):
            found.append(("a name server of the networks", pid, letter))
    return found


def why_stopped(what: str, pid: int, letter: str) -> str:
    """That somebody has stopped (SIGSTOP) a process which works for networks, or nothing."""
    return f"{what} (pid {pid}) is stopped: kill -CONT {pid}" if letter == "T" else ""


def wake(found: list[tuple[str, int, str]]) -> str:
    """Let those that somebody has stopped go on; what to tell of it, or nothing. A name server is replaced instead, by who asks it."""
    said = []
    for what, pid, letter in found:
        if letter == "T" and not what.startswith("a name server"):
            try:
                os.kill(pid, _CONT)
            except ProcessLookupError:
                continue
            said.append(f"{what} (pid {pid}) was stopped; it goes on now")
    return "; ".join(said)


def revive(state: dict[str, Any], run_dir: str) -> int:
    """Ask the monitor for a helper that has died; its pid once it lives, or 0 after a while, or if the monitor cannot."""
    found = find(state, run_dir)
    if found or not process.alive(state["monitor_pid"], state["monitor_start"]) or not _listens(state["monitor_pid"]):
        return found
    os.kill(state["monitor_pid"], _USR2)
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        found = find(state, run_dir)
        if found and store.read_text(f"/proc/{found}/comm"):
            return found
        time.sleep(0.02)
    return 0


def _listens(pid: int) -> bool:
    """Whether that monitor knows how to start it. One of an older release would die of the signal."""
    return "--again" in process.words(pid)

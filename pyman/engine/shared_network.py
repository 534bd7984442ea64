"""Containers that live in another's network namespace, and may outlive that one there. CLI process; such containers only.

An ended container's addresses are given to others. Whoever is left in its namespace keeps it alive, with its devices: these go first.
"""

from __future__ import annotations

import os

from pyman.engine import dependencies, running
from pyman.engine.container import RUNNING, Container
from pyman.linux import process
from pyman.network import bridge_visits, subnets
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MARK = "shared-netns"


def sharers(container: Container) -> list[Container]:
    """The running containers that share this one's network, and those that share theirs."""
    found: list[Container] = []
    for other in dependencies.dependents(container):
        given = other.config["options"].get("network") or [""]
        mode = given if isinstance(given, str) else given[0]
        if mode.startswith("container:") and other.state["status"] in RUNNING:
            found += [other, *sharers(other)]
    return found


def note(netns_fd: int) -> None:
    """Somebody joins a namespace by a path: remember it for the container whose it is."""
    inode = os.fstat(netns_fd).st_ino
    for container, state in running.recorded():
        if state.get("attached") and _netns_of(state) == inode:
            os.close(os.open(os.path.join(container.dir, _MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _netns_of(state: dict[str, Any]) -> int:
    try:
        return os.stat(f"/proc/{state['pid']}/ns/net").st_ino
    except OSError:
        return 0


def separate(container: Container) -> None:
    """Take an ended container's devices out of the namespace that others live in."""
    macs = [subnets.parse_mac(status["mac"]) for status in container.state.get("attached") or [] if status["mac"]]
    mark = os.path.join(container.dir, _MARK)
    marked = os.path.exists(mark)
    others = running.recorded() if marked else ((other, other.state) for other in sharers(container))
    seen: set[int] = set()
    for other, state in others:
        inode = _netns_of(state)
        if other.id != container.id and macs and inode and inode not in seen:
            seen.add(inode)
            _take_away(state, macs)
    if marked:
        try:
            os.unlink(mark)
        except FileNotFoundError:
            pass  # another command was at it, too


def _take_away(state: dict[str, Any], macs: list[bytes]) -> None:
    """Delete the devices with those addresses from a running container's network namespace, in a child in U1."""
    owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    netns = -1
    try:
        if owner >= 0 and process.alive(state["pid"], state["pid_start"]):
            netns = os.open(f"/proc/{state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            process.wait(userns.fork_in_userns(lambda: bridge_visits.leave(netns, macs), "pyman:[bridge]", (netns,), owner))
    except FileNotFoundError:
        pass  # it has just ended
    finally:
        for fd in (owner, netns):
            if fd >= 0:
                os.close(fd)

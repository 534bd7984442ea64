"""Containers that live in another's network namespace, and may outlive that one there. CLI process; such containers only.

An ended container's addresses are given to others. Whoever is left in its namespace keeps it alive, with its devices: these go first.
"""

from __future__ import annotations

import os

from pyman.engine import dependencies
from pyman.engine.container import RUNNING, Container, all_ids
from pyman.errors import PymanError
from pyman.linux import process
from pyman.network import bridge_visits, subnets
from pyman.rootless import userns

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


def _running() -> list[Container]:
    """All containers that run as far as their states say, none of which is changed: the caller may hold the networks' lock."""
    found = []
    for container_id in all_ids():
        container = Container(container_id)
        try:
            if container.state["status"] in RUNNING:
                found.append(container)
        except PymanError:
            continue  # being made or removed, or damaged
    return found


def note(netns_fd: int) -> None:
    """Somebody joins a namespace by a path: remember it for the container whose it is."""
    inode = os.fstat(netns_fd).st_ino
    for container in _running():
        if container.state.get("attached") and _netns_of(container) == inode:
            os.close(os.open(os.path.join(container.dir, _MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _netns_of(container: Container) -> int:
    try:
        return os.stat(f"/proc/{container.state['pid']}/ns/net").st_ino
    except OSError:
        return 0


def separate(container: Container) -> None:
    """Take an ended container's devices out of the namespace that others live in."""
    macs = [subnets.parse_mac(status["mac"]) for status in container.state.get("attached") or [] if status["mac"]]
    mark = os.path.join(container.dir, _MARK)
    marked = os.path.exists(mark)
    others = _running() if marked else sharers(container)
    seen: set[int] = set()
    for other in others:
        inode = _netns_of(other)
        if other.id != container.id and macs and inode and inode not in seen:
            seen.add(inode)
            _take_away(other, macs)
    if marked:
        try:
            os.unlink(mark)
        except FileNotFoundError:
            pass  # another command was at it, too


def _take_away(other: Container, macs: list[bytes]) -> None:
    """Delete the devices with those addresses from a running container's network namespace, in a child in U1."""
    state = other.state
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

"""The namespaces of other containers, or of a path, that a container is to live in. CLI process; such containers only."""

from __future__ import annotations

import os

from pyman.engine.container import RUNNING, lookup
from pyman.errors import StateError
from pyman.linux import process
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.rootless.idmap import IdMap

_OPTIONS = ("ipc", "network", "pid", "uts", "userns", "cgroupns")
_NS_FILE = {"network": "net", "userns": "user", "cgroupns": "cgroup"}


class Joined:
    """paths: of each namespace, by option. userns_fd: the user namespace that the monitors live in. pins: descriptors that keep all alive.

    shm_owner: the mount namespace of whose ipc namespace it is, or -1: /dev/shm belongs to that, but lies in its mounts only.
    maps: (users, groups) of a joined user namespace, as a spec has them. hosts: the options whose container lives in the host's namespace.
    """

    __slots__ = ("hosts", "maps", "paths", "pins", "shm_owner", "userns_fd")

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.userns_fd = self.shm_owner = -1
        self.pins: list[int] = []
        self.hosts: list[str] = []
        self.maps: tuple[list[dict[str, int]], list[dict[str, int]]] = [], []


def targets(opts: dict[str, Any], net_mode: str, idmap: IdMap) -> Joined:
    """What the `container:ID` and `ns:PATH` modes name. StateError, UsageError."""
    found = Joined()
    for option in _OPTIONS:
        value = net_mode if option == "network" else opts.get(option) or ""
        if option == "network" and value.startswith("ns:"):
            from pyman.engine import network_path  # with this mode only

            fd, owner = network_path.open_namespace(value[3:])
            found.pins += [fd, owner]
            found.userns_fd = _same_userns(found.userns_fd, owner)
            found.paths[option] = f"/proc/self/fd/{fd}"
        if value.startswith("container:"):
            _target(found, option, value.split(":", 1)[1], idmap)
    return found


def _target(found: Joined, option: str, name: str, idmap: IdMap) -> None:
    target = lookup(name)
    target.sync()
    what = f"cannot join the {option} namespace of container {target.name}"
    if target.state["status"] not in RUNNING:
        raise StateError(what, f"it is not running (state: {target.state['status']})", f"pyman start {target.name}")
    pid, started = target.state["pid"], target.state["pid_start"]
    kind = _NS_FILE.get(option, option)
    # A descriptor keeps the namespace alive and right even if the target ends meanwhile.
    fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    found.pins.append(fd)
    if option == "ipc":
        found.shm_owner = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        found.pins.append(found.shm_owner)
    maps = (_map(pid, "uid_map", idmap.uids), _map(pid, "gid_map", idmap.gids)) if option == "userns" else ([], [])
    owner = userns.userns_of(target.state["monitor_pid"], target.state["monitor_start"])
    if not process.alive(pid, started) or owner < 0:
        raise StateError(what, "it ended just now")
    found.pins.append(owner)
    found.userns_fd = _same_userns(found.userns_fd, owner)
    if option == "userns":
        if os.fstat(fd).st_ino == os.fstat(owner).st_ino:
            return  # it has none of its own: both live in U1
        found.maps = maps
    elif os.fstat(fd).st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino:
        found.hosts.append(option)  # it lives in the host's, which nobody may join: he is there already
        return
    found.paths[option] = f"/proc/self/fd/{fd}"


def _map(pid: int, file: str, ranges: list[tuple[int, int, int]]) -> list[dict[str, int]]:
    """The map of a process's user namespace, relative to U1 as that of a spec; the kernel tells it relative to who reads."""
    result = []
    with open(f"/proc/{pid}/{file}") as lines:
        for line in lines:
            inside, outside, count = map(int, line.split())
            if not userns.in_userns():
                outside = next((first + outside - own for first, own, size in ranges if own <= outside < own + size), -1)
            result.append({"containerID": inside, "hostID": outside, "size": count})
    return result


def _same_userns(one: int, other: int) -> int:
    """The second of two user namespaces, if the first (-1: none) is the same. StateError."""
    if one >= 0 and os.fstat(one).st_ino != os.fstat(other).st_ino:
        raise StateError(
            "cannot join namespaces of these containers together",
            "they live in different user namespaces",
            "restart them one after the other, so that they share one",
        )
    return other

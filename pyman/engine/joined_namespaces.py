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

_OPTIONS = ("ipc", "network", "pid", "uts", "userns", "cgroupns")
_NS_FILE = {"network": "net", "userns": "user", "cgroupns": "cgroup"}


def targets(opts: dict[str, Any], net_mode: str) -> tuple[dict[str, str], int, list[int], int]:
    """For every `container:ID` mode the namespace's path; the user namespace to join; descriptors that pin both.

    And one of the mount namespace of whose ipc namespace it is, or -1: /dev/shm belongs to that, but lies in its mounts only.
    """
    joined: dict[str, str] = {}
    mounts_fd = -1
    pins: list[int] = []
    userns_fd = -1
    for option in _OPTIONS:
        value = net_mode if option == "network" else opts.get(option) or ""
        if option == "network" and value.startswith("ns:"):
            from pyman.engine import network_path  # with this mode only

            fd, owner = network_path.open_namespace(value[3:])
            pins += [fd, owner]
            userns_fd = _same_userns(userns_fd, owner)
            joined[option] = f"/proc/self/fd/{fd}"
        if not value.startswith("container:"):
            continue
        target = lookup(value.split(":", 1)[1])
        target.sync()
        if target.state["status"] not in RUNNING:
            raise StateError(
                f"cannot join the {option} namespace of container {target.name}",
                f"it is not running (state: {target.state['status']})",
                f"pyman start {target.name}",
            )
        pid, started = target.state["pid"], target.state["pid_start"]
        # A descriptor keeps the namespace alive and right even if the target ends meanwhile.
        fd = os.open(f"/proc/{pid}/ns/{_NS_FILE.get(option, option)}", os.O_RDONLY | os.O_CLOEXEC)
        pins.append(fd)
        if option == "ipc":
            mounts_fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            pins.append(mounts_fd)
        owner = userns.userns_of(target.state["monitor_pid"], target.state["monitor_start"])
        if not process.alive(pid, started) or owner < 0:
            raise StateError(f"cannot join the {option} namespace of container {target.name}", "it ended just now")
        pins.append(owner)
        userns_fd = _same_userns(userns_fd, owner)
        if option == "userns" and os.fstat(fd).st_ino == os.fstat(owner).st_ino:
            continue  # it has none of its own: both live in U1
        if option == "network" and os.fstat(fd).st_ino == os.stat("/proc/self/ns/net").st_ino:
            continue  # it lives in the host's, which nobody may join: he is there already
        joined[option] = f"/proc/self/fd/{fd}"
    return joined, userns_fd, pins, mounts_fd


def _same_userns(one: int, other: int) -> int:
    """The second of two user namespaces, if the first (-1: none) is the same. StateError."""
    if one >= 0 and os.fstat(one).st_ino != os.fstat(other).st_ino:
        raise StateError(
            "cannot join namespaces of these containers together",
            "they live in different user namespaces",
            "restart them one after the other, so that they share one",
        )
    return other

"""linux.netDevices: network devices of the caller's that become the container's (config-linux.md "Network Devices"). The caller, when asked for."""

from __future__ import annotations

import _socket
import errno
import os

from pyman.errors import RuntimeFailure
from pyman.linux import netdev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHY = {
    errno.ENODEV: "there is no such device",
    errno.EPERM: "that needs CAP_NET_ADMIN over both network namespaces",
    errno.EINVAL: "the kernel does not let it leave its network namespace",
}


class Moved:
    """Devices that were moved, until the container runs: a creation that fails takes them back, and else they would be lost with it."""

    __slots__ = ("_devices", "_home", "_there")

    def __init__(self, netns: str) -> None:
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._there = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        self._devices: list[tuple[str, str, bool, set[str]]] = []  # name here, name there, whether it was up, what was there before

    def move(self, name: str, wanted: str) -> None:
        """Move one device. OSError."""
        up, taken = netdev.is_up(name), set(netdev.names_in(self._there))
        new = _number(wanted, taken) if "%d" in wanted else wanted
        if new in taken:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._devices.append((name, new, up, taken))  # even if that fails, it may have left: the kernel moves first, then renames
        netdev.move(name, self._there, new)

    def bring_back(self) -> None:
        """All of them, as far as they are there, the last first; then as `close`."""
        for name, new, up, taken in reversed(self._devices):
            try:
                there = set(netdev.names_in(self._there)) - taken
                for found in there & {name, new}:
                    netdev.move_back(found, self._there, name, self._home, up)
            except OSError:
                pass  # it has gone with its peer, or the namespace is somebody else's by now
        self.close()

    def close(self) -> None:
        """The devices are the container's for good."""
        self._devices = []
        for fd in (self._home, self._there):
            if fd >= 0:
                os.close(fd)
        self._home = self._there = -1


def move_all(linux: dict[str, Any], pid: int) -> Moved:
    """Move the devices that a spec names into the network namespace of init `pid`, all or none. RuntimeFailure."""
    paths = [entry.get("path") for entry in linux["namespaces"] if entry["type"] == "network"]
    moved = Moved(paths[0] or f"/proc/{pid}/ns/net")
    name = wanted = ""
    try:
        for name in linux["netDevices"]:
            _socket.if_nametoindex(name)  # before any of them has moved
        for name, entry in linux["netDevices"].items():
            wanted = entry.get("name") or name
            moved.move(name, wanted)
    except OSError as err:
        moved.bring_back()
        number = err.errno or errno.ENODEV  # the C library says nothing about a name that it does not know
        why = f"the container has a device {wanted} already" if number == errno.EEXIST else _WHY.get(number) or err.strerror or str(err)
        raise RuntimeFailure(f"cannot move the network device {name}", why, stage="netdevices", errno=number) from err
    except BaseException:
        moved.bring_back()
        raise
    return moved


def _number(template: str, taken: set[str]) -> str:
    """The first free name of a template such as eth%d, as the kernel chooses it."""
    return next(name for name in (template.replace("%d", str(number)) for number in range(len(taken) + 1)) if name not in taken)

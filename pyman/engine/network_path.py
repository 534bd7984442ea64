"""--network ns:PATH: the network namespace of a file, if a container can be in it. CLI process.

A container lives in the user namespace of this user's other containers, and has rights over network namespaces that were made there only.
"""

from __future__ import annotations

import fcntl
import os

from pyman.engine import shared_network
from pyman.engine.container import RUNNING
from pyman.engine.container_list import list_containers
from pyman.errors import StateError
from pyman.linux import libc
from pyman.rootless import userns

_GET_USERNS, _GET_TYPE = 0xB701, 0xB703  # ioctl_ns(2)


def open_namespace(path: str) -> tuple[int, int]:
    """Descriptors of the network namespace at `path` and of the user namespace that it belongs to. StateError."""
    what = f"cannot join the network namespace {path}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as err:
        raise StateError(
            what, err.strerror or str(err), "name the file of a network namespace: /proc/PID/ns/net of a container's process"
        ) from err
    owner = -1
    try:
        if fcntl.ioctl(fd, _GET_TYPE) != libc.CLONE_NEWNET:
            raise StateError(what, "it is the file of another kind of namespace", "name the file of a network namespace")
        owner = fcntl.ioctl(fd, _GET_USERNS)
        if _ours(os.fstat(owner).st_ino):
            os.set_inheritable(owner, False)
            shared_network.note(fd)
            return fd, owner
        why = "it belongs to another user namespace than your containers'"
    except StateError:
        os.close(fd)
        raise
    except PermissionError:  # the owner is above our user namespace
        why = "it belongs to the host"
    except OSError:
        why = "it is no namespace's file"
    for number in (fd, owner):
        if number >= 0:
            os.close(number)
    raise StateError(what, why, "use --network host for the host's, --network container:NAME for a container's")


def _ours(inode: int) -> bool:
    if userns.in_userns():
        return os.stat("/proc/self/ns/user").st_ino == inode
    for container in list_containers():
        state = container.state
        if state["status"] in RUNNING:
            owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
            if owner >= 0:
                found = os.fstat(owner).st_ino
                os.close(owner)
                if found == inode:
                    return True
    return False

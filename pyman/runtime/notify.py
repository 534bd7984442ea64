"""NOTIFY_SOCKET (sd_notify(3)) for a container: a socket of its own, and its READY=1 passed on. The runtime program.

The service manager's socket is not given to the container: who may write there can say anything about the unit. The container
gets a directory with another socket at the same place, and of what it writes there only "READY=1" is heard.
"""

from __future__ import annotations

import _socket
import os
import select

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIRECTORY = "notify"


def add_mount(spec: dict[str, Any], directory: str) -> None:
    """Give the container of a caller with NOTIFY_SOCKET its socket, unless the spec brings one. directory: of its state."""
    place = os.environ.get("NOTIFY_SOCKET") or ""
    env = spec["process"].get("env") or []
    if not place.startswith("/") or any(entry.startswith("NOTIFY_SOCKET=") for entry in env):
        return
    path = os.path.join(directory, _DIRECTORY)
    os.mkdir(path, 0o755)
    # Read-only: what the container could put there would have to be taken away by others' hands. Sockets work all the same.
    options = ["bind", "ro", "nosuid", "noexec", "nodev"]
    spec["mounts"].append({"destination": place, "type": "bind", "source": path, "options": options})
    spec["process"]["env"] = [*env, f"NOTIFY_SOCKET={place}/notify"]
    _bind(path).close()  # so that the file is there


def _bind(path: str) -> Any:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    short = f"/proc/self/fd/{directory}/notify"  # the path of a socket has 108 bytes at most
    try:
        os.unlink(short)
    except FileNotFoundError:
        pass
    before = os.umask(0)  # every user of the container may write; a later chmod would be by name
    sock.bind(short)
    os.umask(before)
    os.close(directory)
    return sock


def listen(directory: str) -> Any:
    """The container's socket, bound anew before its program runs; None if it has none."""
    path = os.path.join(directory, _DIRECTORY)
    return _bind(path) if os.environ.get("NOTIFY_SOCKET", "").startswith("/") and os.path.isdir(path) else None


def pass_on(sock: Any, pid: int) -> None:
    """Wait until the container says that it is ready, or init `pid` has ended, and tell the service manager."""
    try:
        pidfd = libc.pidfd_open(pid)
    except ProcessLookupError:
        return
    while True:
        ready = select.select([sock.fileno(), pidfd], [], [])[0]
        if sock.fileno() in ready and b"READY=1" in sock.recv(4096).split(b"\n"):
            upper = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
            try:
                upper.sendto(f"MAINPID={pid}\nREADY=1".encode(), os.environ["NOTIFY_SOCKET"])
            except OSError:
                pass  # the manager has gone
            upper.close()
            break
        if pidfd in ready:
            break
    os.close(pidfd)
    sock.close()

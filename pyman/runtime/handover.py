"""What the caller of create, run and exec gets: pid file, terminal, pidfd. The runtime program."""

from __future__ import annotations

import _socket
import errno
import os

from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Created

_LONGEST = 107  # bytes of a socket's path


def hand_over(created: Created, opts: dict[str, Any]) -> None:
    """What the options ask for: --console-socket, --pidfd-socket, --pid-file. RuntimeFailure, StorageError."""
    sockets(created, opts)
    pid_file(created, opts)


def sockets(created: Created, opts: dict[str, Any]) -> None:
    """The descriptors; waits as long as whoever listens there takes. RuntimeFailure."""
    if created.console >= 0 and opts.get("console_socket"):
        _send(opts["console_socket"], created.console, "the container's terminal", b"/dev/ptmx")
        os.close(created.console)
        created.console = -1
    if opts.get("pidfd_socket"):
        fd = libc.pidfd_open(created.pid)
        try:
            _send(opts["pidfd_socket"], fd, "the process's pidfd", b"pidfd")
        finally:
            os.close(fd)


def pid_file(created: Created, opts: dict[str, Any]) -> None:
    """The file that others wait for, so the last thing. StorageError."""
    if opts.get("pid_file"):
        store.write_text(opts["pid_file"], str(created.pid), mode=0o644)


def _send(path: str, fd: int, what: str, name: bytes) -> None:
    try:
        sock = connect(path)
        try:
            sock.sendmsg([name], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))])
        finally:
            sock.close()
    except OSError as err:
        raise RuntimeFailure(f"cannot hand over {what}", f"{path}: {err.strerror or err}") from err


def connect(path: str) -> Any:
    """A stream connected to the socket at `path`, however long that is: the kernel itself takes 107 bytes. OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    directory = -1
    try:
        if len(os.fsencode(path)) > _LONGEST:
            directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
            if len(os.fsencode(path)) > _LONGEST:
                raise OSError(errno.ENAMETOOLONG, f"the name of a socket can have about {_LONGEST - 20} bytes")
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    finally:
        if directory >= 0:
            os.close(directory)
    return sock

"""What the caller of create, run and exec gets: pid file, terminal, pidfd. The runtime program."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Created


def hand_over(created: Created, opts: dict[str, Any]) -> None:
    """What the options ask for: --console-socket, --pidfd-socket, --pid-file. RuntimeFailure, StorageError."""
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
    if opts.get("pid_file"):
        store.write_text(opts["pid_file"], str(created.pid), mode=0o644)


def _send(path: str, fd: int, what: str, name: bytes) -> None:
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
        sock.sendmsg([name], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))])
    except OSError as err:
        raise RuntimeFailure(f"cannot hand over {what}", f"{path}: {err.strerror}") from err
    finally:
        sock.close()

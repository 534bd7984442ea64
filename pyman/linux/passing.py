"""Descriptors passed over a socket (unix(7), SCM_RIGHTS), one at a time. Any process."""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def send(sock: Any, fd: int, data: bytes = b"") -> None:
    """Pass a descriptor, with a message; the sender keeps its own. OSError."""
    sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))])


def receive(sock: Any, size: int = 4096) -> tuple[bytes, int]:
    """(the message, at most `size` bytes of it; the descriptor that came with it, close-on-exec, or -1). OSError."""
    data, ancillary, _, _ = sock.recvmsg(size, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    for level, kind, passed in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return data, int.from_bytes(passed[:4], "little")
    return data, -1

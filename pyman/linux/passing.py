"""Descriptors passed over a socket (unix(7), SCM_RIGHTS), one at a time. Any process."""

from __future__ import annotations

import _socket

from pyman.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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


def from_child(body: Callable[[Any], int], name: str, keep: tuple[int, ...] = ()) -> tuple[bytes, int]:
    """What a forked child sends that runs `body` with its end of a socket, as in `receive`; nothing if it was killed, or sent nothing.

    For what is to be made, or opened, in other namespaces than the caller's. name, keep: as in `process.fork`. OSError.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        pid = process.fork(lambda: body(theirs), name, (*keep, theirs.fileno()))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return receive(ours)
    finally:
        ours.close()
        process.wait(pid)

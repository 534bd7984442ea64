"""Typed messages between the caller of the runtime and init: one JSON object per packet, descriptors beside it.

Kinds: go (maps are written), pid, console (+ descriptor), ready, start, error (an error record). The exec of the
user's program is seen as end of file: init's end is close-on-exec. Where nothing but an error can come a pipe does.
"""

from __future__ import annotations

import os

from pyman import errors
from pyman.errors import RuntimeFailure
from pyman.linux import process
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.extras import Extras

_PACKET = 1 << 16  # bytes of one message
_SHORT = 2000  # characters of each text of a long error
# Of socket.h, the same on all architectures; a plain exec does without the module.
_SOL_SOCKET, _SCM_RIGHTS = 1, 1
_MSG_PEEK, _MSG_DONTWAIT, _MSG_NOSIGNAL, _MSG_CMSG_CLOEXEC = 2, 0x40, 0x4000, 0x40000000


class Channel:
    """One end of a SOCK_SEQPACKET pair."""

    __slots__ = ("sock",)

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def fileno(self) -> int:
        """Its descriptor."""
        return int(self.sock.fileno())

    def send(self, kind: str, fd: int = -1, **fields: Any) -> None:
        """Send one message; BrokenPipeError if the other side has gone."""
        ancillary = [(_SOL_SOCKET, _SCM_RIGHTS, fd.to_bytes(4, "little"))] if fd >= 0 else []
        self.sock.sendmsg([_encode(kind, fields)], ancillary, _MSG_NOSIGNAL)

    def tell(self, kind: str, stage: str, **fields: Any) -> None:
        """Send one message to init. RuntimeFailure if it has ended."""
        try:
            self.send(kind, **fields)
        except BrokenPipeError:
            raise _killed(stage) from None

    def receive(self) -> tuple[dict[str, Any] | None, int]:
        """(message, descriptor or -1); (None, -1) when the other end is closed. Raises the error of an error message."""
        data, ancillary, _, _ = self.sock.recvmsg(_PACKET, 64, _MSG_CMSG_CLOEXEC)
        fd = -1
        for level, kind, payload in ancillary:
            if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
                fd = int.from_bytes(payload[:4], "little")
        return _decode(data), fd

    def expect(self, kind: str, stage: str) -> tuple[dict[str, Any], int]:
        """The next message, which must be of `kind`. RuntimeFailure if init ended or said something else."""
        message, fd = self.receive()
        if message is None:
            raise _killed(stage)
        if message["kind"] != kind:
            raise RuntimeFailure("cannot start the container", f"unexpected message {message['kind']} at stage {stage}", stage=stage)
        return message, fd

    def peer_alive(self) -> bool:
        """Whether the other end is still open; a message that waits stays there."""
        try:
            return bool(self.sock.recv(1, _MSG_PEEK | _MSG_DONTWAIT))
        except BlockingIOError:
            return True

    def close(self) -> None:
        """Close this end."""
        self.sock.close()


class Pipe(Channel):
    """One end of a pipe: for a process that says nothing unless it fails, and then one error."""

    __slots__ = ()

    def fileno(self) -> int:
        """As Channel."""
        return int(self.sock)

    def send(self, kind: str, fd: int = -1, **fields: Any) -> None:
        """As Channel, without descriptors."""
        os.write(self.sock, _encode(kind, fields))

    def receive(self) -> tuple[dict[str, Any] | None, int]:
        """As Channel; the message is all that is sent until the other end is closed."""
        parts = []
        while part := os.read(self.sock, _PACKET):
            parts.append(part)
        return _decode(b"".join(parts)), -1

    def close(self) -> None:
        """As Channel."""
        os.close(self.sock)


def _killed(stage: str) -> RuntimeFailure:
    return RuntimeFailure(
        "cannot start the container",
        f"its init process was killed at stage {stage}",
        "look for an out-of-memory kill in the kernel log",
        stage=stage,
    )


def _encode(kind: str, fields: dict[str, Any]) -> bytes:
    fields["kind"] = kind
    data = fastjson.dumps(fields).encode()
    if len(data) > _PACKET and kind == "error":
        # What a bundle says may be long, and a message that cannot be sent looks like a good exec.
        record = {key: value[:_SHORT] if isinstance(value, str) else value for key, value in fields["error"].items()}
        data = fastjson.dumps({"kind": kind, "error": record}).encode()
    return data


def _decode(data: bytes) -> dict[str, Any] | None:
    """None for no data. Raises the error of an error message."""
    if not data:
        return None
    message: dict[str, Any] = fastjson.loads(data)
    if message["kind"] == "error":
        raise errors.from_record(message["error"])
    return message


class Created:
    """A container's init, cloned and not yet started. `console`: the pty's master; `netns_fd`: its new network; or -1."""

    __slots__ = ("channel", "console", "extras", "netns_fd", "pid", "start_time", "terminal")

    def __init__(self, pid: int, channel: Channel, terminal: bool) -> None:
        self.pid = pid
        self.start_time = process.start_time(pid)
        self.channel = channel
        self.console = self.netns_fd = -1
        self.terminal = terminal
        self.extras: Extras | None = None


def pair() -> tuple[Channel, Channel]:
    """Two connected ends, both close-on-exec."""
    import _socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    return Channel(ours), Channel(theirs)


def pipe() -> tuple[Channel, Channel]:
    """The end that receives at most one error, and the end that sends it."""
    ours, theirs = os.pipe()
    return Pipe(ours), Pipe(theirs)


def failure(stage: str, err: OSError) -> RuntimeFailure:
    """An OSError inside init, as the error its parent raises."""
    where = f" {os.fspath(err.filename)}" if err.filename else ""
    return RuntimeFailure(f"cannot start the container: stage {stage}", f"{err.strerror or err}{where}", stage=stage, errno=err.errno or 0)

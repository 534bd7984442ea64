"""The client's side of attach: one poll loop between the caller's streams and the monitor, C modules only. CLI process."""

from __future__ import annotations

import _signal
import _socket
import os
import select

from pyman.monitor.terminal import CHUNK, PROXIED, Keys, Signals, Terminal, parse_detach_keys, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class AttachResult:
    """How an attachment ended: the container's exit code, or the user's detach keys, or neither (monitor lost).

    closed: the caller's terminal was closed, so that the attachment ended. lost: why output could not be written; empty if it could.
    refused: the monitor has as many clients as it can have. unread: whoever read the output has gone, so that the attachment ended.
    """

    __slots__ = ("closed", "detached", "exit_code", "lost", "refused", "unread")

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.closed = False
        self.detached = False
        self.lost = ""
        self.refused = False
        self.unread = False


def connect(run_dir: str) -> Any:
    """A connection to the attach socket in `run_dir`. OSError if nobody listens."""
    directory = os.open(run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        # Through the descriptor: a socket's path may have 107 bytes only.
        sock.connect(f"/proc/self/fd/{directory}/attach")
        return sock
    finally:
        os.close(directory)


def attach(
    sock: Any,
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    tty: bool,
    detach_keys: str,
    sig_proxy: bool,
    on_signal: Callable[[int], None],
    on_missed: Callable[[int], None],
) -> AttachResult:
    """Pass data between the caller's descriptors (-1: not attached) and the monitor until the container ends.

    on_signal is called with the number of each signal caught while sig_proxy is set, on_missed with how many bytes of output did not
    come, because this command took none for too long.
    """
    keys = Keys(parse_detach_keys(detach_keys) if tty else b"")
    terminal = Terminal(stdin if stdin >= 0 else 0, tty, stdin >= 0)
    signals = Signals((*(PROXIED if sig_proxy else ()), _signal.SIGWINCH))
    result = AttachResult()
    try:
        _loop(sock, stdin, (stdout, stderr), tty, keys, terminal, signals, on_signal, on_missed, result)
    finally:
        terminal.restore()
        signals.restore()
        sock.close()
    return result


def _loop(
    sock: Any,
    stdin: int,
    outputs: tuple[int, int],
    tty: bool,
    keys: Keys,
    terminal: Terminal,
    signals: Signals,
    on_signal: Callable[[int], None],
    on_missed: Callable[[int], None],
    result: AttachResult,
) -> None:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    poll.register(signals.read_fd, select.POLLIN)
    if stdin >= 0:
        poll.register(stdin, select.POLLIN)
    is_terminal = tty and stdin >= 0 and os.isatty(stdin)
    if tty:
        _send(sock, b"w" + terminal.size())
    open_outputs = list(outputs)
    line_ended = True
    while True:
        ready = dict(poll.poll())
        for number in signals.read() if signals.read_fd in ready else b"":
            if number == _signal.SIGWINCH:
                if tty:
                    _send(sock, b"w" + terminal.size())
            else:
                on_signal(number)
        if sock.fileno() in ready:
            try:
                packet = sock.recv(CHUNK + 1024)
            except ConnectionResetError:
                continue  # it ended with something of ours unread; what it sent is still to be received
            if not packet:
                return
            kind = packet[0]
            if kind == ord("x"):
                result.exit_code = int.from_bytes(packet[1:5], "little")
                return
            if kind == ord("l"):
                on_missed(int.from_bytes(packet[1:9], "little"))
                continue
            if kind == ord("f"):
                result.refused = True
                return
            index = 1 if kind == 3 else 0
            lost: list[str] = []
            if open_outputs[index] >= 0 and not write_all(open_outputs[index], packet[1:], lost):
                if not lost:
                    result.closed = True  # its session has gone; who is left would do nothing but wait for the container's end
                    return
                if lost == [""]:
                    result.unread = True  # as in a pipeline without a container: nobody waits for what nobody reads
                    return
                open_outputs[index] = -1
                result.lost = result.lost or "".join(lost)
        if stdin in ready:
            try:
                data = os.read(stdin, CHUNK)
            except OSError:
                data = b""  # EIO: the terminal was closed
            if not data and is_terminal:
                result.closed = True  # in raw mode there is no other end of input: nobody is there any more
                return
            passed, result.detached = keys.feed(data)
            if passed:
                _send(sock, b"i" + passed)
            if result.detached:
                return
            if not data:
                poll.unregister(stdin)
                # A terminal has no end of file: it is typed, twice if it would only end a line that was begun.
                _send(sock, b"e" if not tty else b"i\4" if line_ended else b"i\4\4")
            line_ended = passed.endswith(b"\n") or (line_ended and not passed)


def _send(sock: Any, packet: bytes) -> None:
    if len(packet) < 2 and packet[:1] == b"w":
        return
    try:
        sock.send(packet, _socket.MSG_NOSIGNAL)
    except OSError:
        pass  # the monitor is ending: its last packets are still to be read

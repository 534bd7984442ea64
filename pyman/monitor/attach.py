"""The client's side of attach, and the relay of an exec's pipes: one poll loop, C modules only. CLI process."""

from __future__ import annotations

import _signal
import _socket
import fcntl
import os
import select

from pyman.errors import UsageError
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CHUNK = 16000  # bytes of data per packet; the monitor takes 16384
_PROXIED = tuple(n for n in range(1, 32) if n not in (9, 13, 17, 18, 19, 20, 21, 22, 23, 28))
_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414


class AttachResult:
    """How an attachment ended: the container's exit code, or the user's detach keys, or neither (monitor lost).

    lost: why output could not be written; empty if it could, or if its reader has gone.
    """

    __slots__ = ("detached", "exit_code", "lost")

    def __init__(self) -> None:
        self.exit_code: int | None = None
        self.detached = False
        self.lost = ""


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


def parse_detach_keys(text: str) -> bytes:
    """The byte sequence of Podman's notation: comma-separated single characters or ctrl-X. UsageError."""
    result = b""
    for key in text.split(",") if text else []:
        if len(key) == 1:
            result += key.encode()
        elif len(key) == 6 and key.startswith("ctrl-") and key[5] in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            result += bytes([ord(key[5].upper()) & 0x1F])
        else:
            raise UsageError(
                f"invalid detach keys {text!r}", f"{key!r} is neither one character nor ctrl-X", "for example: --detach-keys ctrl-p,ctrl-q"
            )
    return result


class _Terminal:
    """The user's terminal in raw mode while attached; restored whatever happens."""

    __slots__ = ("fd", "saved")

    def __init__(self, fd: int, wanted: bool) -> None:
        self.fd = fd
        self.saved: list[Any] | None = None
        if wanted and os.isatty(fd):
            import termios  # a shared library of its own: 1 ms that only terminals need

            self.saved = termios.tcgetattr(fd)
            raw = termios.tcgetattr(fd)
            raw[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
            raw[1] &= ~termios.OPOST
            raw[2] = (raw[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
            raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(fd, termios.TCSADRAIN, raw)

    def restore(self) -> None:
        if self.saved is not None:
            import termios

            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    def size(self) -> bytes:
        """Rows and columns as two little-endian 16-bit numbers; empty if there is no terminal."""
        try:
            return fcntl.ioctl(self.fd if os.isatty(self.fd) else 1, _TIOCGWINSZ, b"\0" * 8)[:4]
        except OSError:
            return b""


class _Signals:
    """Signals as bytes on a pipe (set_wakeup_fd), so that the loop handles them between two packets."""

    __slots__ = ("read_fd", "saved", "write_fd")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.write_fd, False)
        os.set_blocking(self.read_fd, False)
        self.saved = {n: _signal.signal(n, lambda *_: None) for n in numbers}
        _signal.set_wakeup_fd(self.write_fd)

    def read(self) -> bytes:
        try:
            return os.read(self.read_fd, 64)
        except BlockingIOError:
            return b""

    def restore(self) -> None:
        _signal.set_wakeup_fd(-1)
        for number, handler in self.saved.items():
            if handler is not None:
                _signal.signal(number, handler)
        os.close(self.read_fd)
        os.close(self.write_fd)


class _Keys:
    """Finds the detach sequence in typed input; bytes that only began it are passed on."""

    __slots__ = ("held", "sequence")

    def __init__(self, sequence: bytes) -> None:
        self.sequence = sequence
        self.held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what to pass on, whether the user detached)."""
        if not self.sequence:
            return data, False
        passed = b""
        for value in data:
            self.held += bytes([value])
            while self.held and not self.sequence.startswith(self.held):
                passed += self.held[:1]
                self.held = self.held[1:]
            if self.held == self.sequence:
                return passed, True
        return passed, False


def _write_all(fd: int, data: bytes, lost: list[str] | None = None) -> bool:
    """Write everything, waiting where the descriptor is non-blocking; false if the reader has gone, or for a reason added to `lost`."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError as err:
            if lost is not None and err.errno not in (5, 32):  # EIO: the terminal was closed; EPIPE
                lost.append(err.strerror or str(err))
            return False
    return True


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
) -> AttachResult:
    """Pass data between the caller's descriptors (-1: not attached) and the monitor until the container ends.

    on_signal is called with the number of each signal caught while sig_proxy is set.
    """
    keys = _Keys(parse_detach_keys(detach_keys) if tty else b"")
    terminal = _Terminal(stdin if stdin >= 0 else 0, tty and stdin >= 0)
    signals = _Signals((*(_PROXIED if sig_proxy else ()), _signal.SIGWINCH))
    result = AttachResult()
    try:
        _loop(sock, stdin, (stdout, stderr), tty, keys, terminal, signals, on_signal, result)
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
    keys: _Keys,
    terminal: _Terminal,
    signals: _Signals,
    on_signal: Callable[[int], None],
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
            index = 1 if kind == 3 else 0
            lost: list[str] = []
            if open_outputs[index] >= 0 and not _write_all(open_outputs[index], packet[1:], lost):
                open_outputs[index] = -1
                result.lost = result.lost or "".join(lost)
        if stdin in ready:
            try:
                data = os.read(stdin, CHUNK)
            except OSError:
                data = b""  # EIO: the terminal was closed
            if not data and is_terminal:
                result.detached = True  # in raw mode there is no other end of input: nobody is there any more
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


def relay(started: Any, *, tty: bool, stdin: bool, detach_keys: str) -> int:
    """Pass data between the caller and an exec's pipes or pty until its process (our child) ends; its exit code."""
    keys = _Keys(parse_detach_keys(detach_keys) if tty else b"")
    terminal = _Terminal(0, tty and stdin)
    signals = _Signals((*(_PROXIED if tty else ()), _signal.SIGWINCH))
    pidfd = libc.pidfd_open(started.pid)
    try:
        detached = _relay_loop(started, pidfd, tty, stdin, keys, terminal, signals)
    finally:
        terminal.restore()
        signals.restore()
        os.close(pidfd)
    if detached:
        return 0
    _, status = os.waitpid(started.pid, 0)
    started.pid = 0
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _relay_loop(started: Any, pidfd: int, tty: bool, stdin: bool, keys: _Keys, terminal: _Terminal, signals: _Signals) -> bool:
    poll = select.poll()
    sinks = {started.console: 1} if tty else {started.stdout: 1, started.stderr: 2}
    into = started.console if tty else started.stdin
    for fd in (pidfd, signals.read_fd, *sinks):
        poll.register(fd, select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    if tty and terminal.size():
        fcntl.ioctl(started.console, _TIOCSWINSZ, terminal.size() + b"\0" * 4)
    ended = False
    line_ended = True
    while sinks:
        ready = dict(poll.poll(0 if ended else -1))
        if ended and not any(fd in ready for fd in sinks):
            return False  # the process has ended and nothing more lies in its pipes: a grandchild may hold them open
        if pidfd in ready:
            ended = True
            poll.unregister(pidfd)
        for number in signals.read() if signals.read_fd in ready else b"":
            if number == _signal.SIGWINCH and tty and terminal.size():
                fcntl.ioctl(started.console, _TIOCSWINSZ, terminal.size() + b"\0" * 4)
            elif number != _signal.SIGWINCH:
                libc.pidfd_send_signal(pidfd, number)
        for fd in [fd for fd in sinks if fd in ready]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # EIO: the pty's last slave was closed
                data = b""
            if not data or not _write_all(sinks[fd], data):
                poll.unregister(fd)
                del sinks[fd]
        if stdin and 0 in ready:
            data = os.read(0, CHUNK)
            passed, detached = keys.feed(data)
            if detached:
                return True
            if not data:
                poll.unregister(0)
                if not tty:
                    os.close(into)
                else:
                    _write_all(into, b"\4" if line_ended else b"\4\4")  # as in `attach`
            elif not _write_all(into, passed):
                poll.unregister(0)
            line_ended = passed.endswith(b"\n") or (line_ended and not passed)
    return False

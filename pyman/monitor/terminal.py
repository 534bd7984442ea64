"""The caller's side of an attached container or exec: terminal in raw mode, signals, detach keys. CLI process; C modules only."""

from __future__ import annotations

import _signal
import fcntl
import os
import select

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHUNK = 16000  # bytes of data per packet; the monitor takes 16384
# Not those that stop and continue the caller himself, nor what the kernel sends for pipes, children and windows; the real-time ones, too.
PROXIED = tuple(n for n in range(1, 65) if n not in (9, 13, 17, 18, 19, 20, 21, 22, 23, 28, 32, 33))
_TIOCGWINSZ = 0x5413


def parse_detach_keys(text: str, wrong: int | None = None) -> bytes:
    """The byte sequence of Podman's notation: comma-separated single characters or ctrl-X. UsageError, with the exit code `wrong`."""
    result = b""
    for key in text.split(",") if text else []:
        if len(key) == 1:
            result += key.encode()
        elif len(key) == 6 and key.startswith("ctrl-") and key[5] in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            result += bytes([ord(key[5].upper()) & 0x1F])
        else:
            raise UsageError(
                f"invalid detach keys {text!r}",
                f"{key!r} is neither one character nor ctrl-X",
                "for example: --detach-keys ctrl-p,ctrl-q",
                exit_code=wrong,
            )
    return result


class Terminal:
    """The user's terminal in raw mode while attached; restored whatever happens.

    Without input (`tty` alone) only what is shown is raw, for the container's own terminal has ended the lines: ^C goes on to be a signal.
    """

    __slots__ = ("fd", "saved")

    def __init__(self, fd: int, tty: bool, stdin: bool) -> None:
        self.fd = fd
        self.saved: list[Any] | None = None
        if tty and not stdin and os.isatty(1):
            self._show_raw()
        if tty and stdin and os.isatty(fd):
            import termios  # a shared library of its own: 1 ms that only terminals need

            self.saved = termios.tcgetattr(fd)
            raw = termios.tcgetattr(fd)
            raw[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON)
            raw[1] &= ~termios.OPOST
            raw[2] = (raw[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
            raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(fd, termios.TCSADRAIN, raw)

    def _show_raw(self) -> None:
        import termios

        try:
            if os.tcgetpgrp(1) != os.getpgrp():
                return  # who is in the background would be stopped for it
        except OSError:
            pass  # it is not the terminal of our session
        self.fd = 1
        self.saved = termios.tcgetattr(1)
        termios.tcsetattr(1, termios.TCSADRAIN, [*self.saved[:1], self.saved[1] & ~termios.OPOST, *self.saved[2:]])

    def restore(self) -> None:
        """Give it back as it was."""
        if self.saved is not None:
            import termios

            try:
                termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)
            except termios.error:
                pass  # it was closed

    def size(self) -> bytes:
        """Rows and columns as two little-endian 16-bit numbers; empty if there is no terminal."""
        try:
            return fcntl.ioctl(self.fd if os.isatty(self.fd) else 1, _TIOCGWINSZ, b"\0" * 8)[:4]
        except OSError:
            return b""


class Signals:
    """Signals as bytes on a pipe (set_wakeup_fd), so that the loop handles them between two packets."""

    __slots__ = ("read_fd", "saved", "write_fd")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.write_fd, False)
        os.set_blocking(self.read_fd, False)
        self.saved = {n: _signal.signal(n, lambda *_: None) for n in numbers}
        _signal.set_wakeup_fd(self.write_fd)

    def read(self) -> bytes:
        """The numbers of those that came."""
        try:
            return os.read(self.read_fd, 64)
        except BlockingIOError:
            return b""

    def restore(self) -> None:
        """Handle the signals as before."""
        _signal.set_wakeup_fd(-1)
        for number, handler in self.saved.items():
            if handler is not None:
                _signal.signal(number, handler)
        os.close(self.read_fd)
        os.close(self.write_fd)


class Keys:
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


def write_all(fd: int, data: bytes, lost: list[str] | None = None) -> bool:
    """Write everything, waiting where the descriptor is non-blocking; false if that cannot be done any more.

    lost: gets the reason; an empty text if the pipe's reader has gone, nothing if it was a terminal, which was closed.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
        except OSError as err:
            if lost is not None and not (err.errno == 5 and os.fstat(fd).st_mode & 0o170000 == 0o020000):  # EIO of a character device
                lost.append("" if err.errno == 32 else err.strerror or str(err))  # EPIPE
            return False
    return True

"""A process of `run` and `exec` in the foreground: signals go to it, its terminal is copied, its exit code is ours."""

from __future__ import annotations

import _signal
import errno
import fcntl
import os
import select
import termios
import tty

_NOT_FORWARDED = (9, 17, 19, 20, 21, 22, 23, 28)  # KILL CHLD STOP TSTP TTIN TTOU URG WINCH


def attend(pid: int, console: int) -> int:
    """Wait for child `pid`; `console`: its pty's master, copied to our streams, or -1. Its exit code (128 + n for a signal)."""

    def forward(number: int, _: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in range(1, 32):
        if number not in _NOT_FORWARDED:
            _signal.signal(number, forward)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if console >= 0:
        _copy(console)
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _copy(master: int) -> None:
    """Copy until the last process has left the terminal. Ours is raw meanwhile, and its size is theirs."""
    before = None
    if os.isatty(0):
        before = termios.tcgetattr(0)
        tty.setraw(0)

        def resize(number: int, _: object) -> None:
            fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))

        resize(0, None)
        _signal.signal(28, resize)
    sources = [0, master]
    try:
        while True:
            for fd in select.select(sources, [], [])[0]:
                try:
                    data = os.read(fd, 1 << 16)
                except OSError as err:
                    if err.errno != errno.EIO:  # how a pty says that nobody is left
                        raise
                    data = b""
                if not data and fd == master:
                    return
                if not data:
                    sources.remove(0)
                    os.write(master, b"\4")
                while data:
                    data = data[os.write(1 if fd == master else master, data) :]
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(master)

"""Pseudo-terminals by descriptor: no look-up of /dev/pts/N, which a hostile rootfs could exchange. Init, exec-init, CLI."""

from __future__ import annotations

import fcntl
import os

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_TIOCSCTTY, _TIOCGWINSZ, _TIOCSWINSZ = 0x540E, 0x5413, 0x5414


def open_pty(ptmx_fd: int) -> int:
    """Unlock the pty master `ptmx_fd` and return its slave (TIOCGPTPEER, Linux 4.13)."""
    fcntl.ioctl(ptmx_fd, _TIOCSPTLCK, b"\0\0\0\0")
    return fcntl.ioctl(ptmx_fd, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def make_controlling(fd: int) -> None:
    """Make `fd` the controlling terminal of the caller's session (its leader calls) and its stdin, stdout, stderr."""
    fcntl.ioctl(fd, _TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(fd, number)


def console_size() -> dict[str, int] | None:
    """The size of the caller's terminal, as the runtime-spec's consoleSize; None if none of its streams is one."""
    for fd in (0, 1, 2):
        try:
            data = fcntl.ioctl(fd, _TIOCGWINSZ, b"\0" * 8)
        except OSError:
            continue
        return {"height": int.from_bytes(data[:2], "little"), "width": int.from_bytes(data[2:4], "little")}
    return None


def set_size(fd: int, rows: int, cols: int) -> None:
    """TIOCSWINSZ."""
    fcntl.ioctl(fd, _TIOCSWINSZ, rows.to_bytes(2, "little") + cols.to_bytes(2, "little") + b"\0\0\0\0")

"""The files of one log, read in their order over any number of rotations. CLI process.

The monitor's rotation (shims/monitor/log.h) renames path to path.1, path.1 to path.2 and so on, the oldest first, and takes the oldest
files away, but none with a shared lock on it. A reader keeps such a lock on the newest file it has opened: the next one in the
log is then always to be found, one number below it.
"""

from __future__ import annotations

import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 1 << 20  # bytes read at a time
_MOST_FILES = 10_000
_SEEK_SET, _SEEK_CUR = 0, 1  # the lean os (leanos.py) does not have them


def _open(path: str) -> int:
    """A descriptor of a regular file, or -1: the log lies where the user said, which may be anywhere."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return -1
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:
        os.close(fd)
        return -1
    return fd


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return -1


class LogFiles:
    """A position in a log. `read` gives what follows it, in whole lines; without `follow` what was there at the beginning, and no more."""

    __slots__ = ("_ahead", "_end", "_fd", "_path", "_rest", "fd", "lost")

    def __init__(self, path: str, follow: bool = True) -> None:
        self._path = path
        self._end = -1  # where to end in the newest of the files that are open
        self._rest = b""
        self._fd = -1  # what is being read
        self._ahead: list[int] = []  # what comes after it, as far as it is open
        self.fd = -1  # a file is always ready to be read: it tells of no news
        self.lost = False  # whether files went before they could be read: this process was stopped for too long
        self._open_all()
        if not follow:
            # Of a log of one file there may be none for a moment.
            for _ in range(10):
                if self._fd < 0:
                    time.sleep(0.001)
                    self._open_all()
            newest = self._ahead[-1] if self._ahead else self._fd
            self._end = os.fstat(newest).st_size if newest >= 0 else 0

    def _open_all(self) -> None:
        """Open every file, from the newest on: each is found by the one after it, since others take their numbers meanwhile.

        Between two steps of a rotation there may be no newest one.
        """
        number = 0
        fd = _open(self._path)
        if fd < 0:
            number = 1
            fd = _open(self._name(1))
        if fd < 0:
            return
        fcntl.flock(fd, fcntl.LOCK_SH)
        found = [fd]
        while fd >= 0:
            fd, number = self._predecessor(fd, number)
            found.append(fd)
        self._fd = found[-2]
        self._ahead = found[-3::-1]

    def _name(self, number: int) -> str:
        return f"{self._path}.{number}" if number else self._path

    def _predecessor(self, fd: int, number: int) -> tuple[int, int]:
        """(the file before this one, its number); -1 if there is none. number: that of this file, as it was a moment ago."""
        own = os.fstat(fd).st_ino
        for _ in range(100):
            if _inode(self._name(number)) != own:
                number = self._number(own)
            if number < 0 and not os.fstat(fd).st_nlink:
                break  # it was taken away, and so were those before it
            older = _open(self._name(number + 1)) if number >= 0 else -1
            # The older ones are renamed first: while this file has its number, the one above it can only be the one before.
            same = number >= 0 and _inode(self._name(number)) == own
            if same and older >= 0:
                return older, number + 1
            if older >= 0:
                os.close(older)
            elif same and _inode(self._name(number + 2)) < 0:
                break  # nor is it just being renamed
            time.sleep(0.001)
        return -1, -1

    def close(self) -> None:
        """Close all files."""
        for fd in (self._fd, *self._ahead):
            if fd >= 0:
                os.close(fd)
        self._fd, self._ahead = -1, []

    def complete(self) -> None:
        """The container has ended: all that it wrote is in its files."""

    def seek_tail(self, lines: int, ends: Callable[[bytes], bool]) -> None:
        """Go to where the last `lines` lines begin. ends: whether a line of the file is the end of one that the container wrote."""
        files = [*reversed(self._ahead), self._fd]
        last = True  # nothing of what is looked at comes after it
        for number, fd in enumerate(files):
            if fd < 0:
                return
            size = self._end if self._end >= 0 and not number else os.fstat(fd).st_size
            at, lines = _back(fd, size, lines, ends, last)
            last = last and not size
            os.lseek(fd, at, _SEEK_SET)
            if lines < 0:
                for older in files[number + 1 :]:
                    os.close(older)
                self._fd, self._ahead = fd, files[:number][::-1]
                return

    def read(self) -> list[bytes] | None:
        """Some of the next lines, without their ends; None if there are no more for now."""
        while True:
            if self._fd < 0 and self._end < 0:
                self._open_all()
            if self._fd < 0:
                return None
            bounded = self._end >= 0 and not self._ahead
            size = min(PIECE, self._end - os.lseek(self._fd, 0, _SEEK_CUR)) if bounded else PIECE
            data = os.read(self._fd, size) if size > 0 else b""
            if data:
                *whole, self._rest = (self._rest + data if self._rest else data).split(b"\n")
                if whole:
                    return whole
            elif bounded or not self._next():
                return None

    def _next(self) -> bool:
        """Go on to the next file when this one is complete; false if it is the newest."""
        fd = self._ahead.pop(0) if self._ahead else self._successor()
        if fd < 0:
            return False
        if fd != self._fd:
            os.close(self._fd)
            self._fd, self._rest = fd, b""
        return True

    def _successor(self) -> int:
        """The file after this one, locked; -1 if there is none; this one itself if more was written into it meanwhile."""
        own = os.fstat(self._fd)
        for _ in range(100):
            number = self._number(own.st_ino)
            if number == 0:
                if os.lseek(self._fd, 0, _SEEK_CUR) <= own.st_size:
                    return -1
                os.lseek(self._fd, 0, _SEEK_SET)  # it was emptied, as logrotate's copytruncate does
                self._rest = b""
                return self._fd
            if number < 0:
                if os.fstat(self._fd).st_nlink:
                    time.sleep(0.001)  # looked for while it was being renamed
                    continue
                fd = self._oldest()
                self.lost = fd >= 0  # else the whole log has gone
                return fd
            if os.lseek(self._fd, 0, _SEEK_CUR) < os.fstat(self._fd).st_size:
                return self._fd  # written after the last look and before the rotation
            fd = _open(self._name(number - 1))
            # While this file has its number, the one below it can only be the next: numbers only grow, the older file's first.
            if fd >= 0 and _inode(self._name(number)) == own.st_ino:
                fcntl.flock(fd, fcntl.LOCK_SH)
                return fd
            if fd >= 0:
                os.close(fd)
            else:
                time.sleep(0.001)  # between the last rename and the new file
        return -1

    def _number(self, inode: int) -> int:
        """This file's number in the log (0: the newest); -1 if it is not there."""
        for number in range(_MOST_FILES):
            found = _inode(self._name(number))
            if found == inode:
                return number
            if found < 0 and number:
                return -1
        return -1

    def _oldest(self) -> int:
        number = 0
        while number < _MOST_FILES and _inode(self._name(number + 1)) >= 0:
            number += 1
        fd = _open(self._name(number))
        if fd >= 0:
            fcntl.flock(fd, fcntl.LOCK_SH)
        return fd


def _back(fd: int, size: int, lines: int, ends: Callable[[bytes], bool], last: bool) -> tuple[int, int]:
    """(where the last `lines` lines of the first `size` bytes of a file begin, how many are still to be found before it; -1: none)."""
    at, carry, first = size, b"", last
    while at > 0:
        piece = min(at, 1 << 16)
        at -= piece
        data = os.pread(fd, piece, at) + carry
        parts = data.split(b"\n")
        position = at + len(data) - len(parts.pop())
        if not parts:
            carry = data  # a line longer than what was read
            continue
        for index in range(len(parts) - 1, 0 if at else -1, -1):
            # The last line counts even if its end is still to come: it is shown as one.
            if first or ends(parts[index]):
                lines -= 1
                if lines < 0:
                    return position, -1
            first = False
            position -= len(parts[index]) + 1
        carry = parts[0] + b"\n"
    return 0, lines

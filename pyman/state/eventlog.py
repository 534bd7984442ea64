"""Read the log of events: what it holds, and what is still to come, over rotations. CLI process."""

from __future__ import annotations

import fcntl
import os

from pyman.errors import StorageError
from pyman.state import events, fastjson, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Event = dict[str, Any]

_MAX_LINE = 1 << 20  # bytes; no writer makes one as long
_PIECE = 1 << 18
_LATE = 8  # rotated files that are still looked at: a writer may have opened them before, and writes when it gets its turn


def parse(line: bytes) -> Event | None:
    """One line as a dict with the fields that every event has; None for what is none (a line cut by a full disk)."""
    start = line.rfind(b'{"ID":')  # the rest of a line that was cut may stand before it
    try:
        value = fastjson.loads(line[start:]) if start >= 0 else None
    except ValueError:
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("ID", "Name", "Status", "Time", "Type")):
        return None
    return value


class _File:
    """One open file of the log and what of its last line has been read."""

    __slots__ = ("fd", "inode", "rest")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.inode = os.fstat(fd).st_ino
        self.rest = b""

    def lines(self) -> Iterator[bytes]:
        """Complete lines from where the last call ended up to the end of the file; all of one that was emptied meanwhile."""
        if os.fstat(self.fd).st_size < os.lseek(self.fd, 0, os.SEEK_CUR):
            os.lseek(self.fd, 0, os.SEEK_SET)
            self.rest = b""
        while True:
            data = os.read(self.fd, _PIECE)
            if not data:
                return
            *whole, self.rest = (self.rest + data).split(b"\n")
            if len(self.rest) > _MAX_LINE:
                self.rest = b""
            yield from whole


def _open(number: int) -> _File | None:
    """A file of the log by its number: 0 is the newest."""
    try:
        fd = store.open_file(f"{events.path()}.{number}" if number else events.path())
        return _File(fd) if fd >= 0 else None
    except StorageError:
        return None


def _newer_than(inode: int) -> list[_File]:
    """The files after the one with this inode (0: all), oldest first. The newest gets a shared lock, so that it stays to be found."""
    found: list[_File] = []
    lock = Lock(os.path.dirname(events.path()), shared=True)  # no rotation meanwhile
    try:
        lock.acquire()
    except FileNotFoundError:
        return []
    try:
        while True:
            file = _open(len(found))
            if file is not None and file.inode == inode:
                os.close(file.fd)
            elif file is not None:
                found.append(file)
                continue
            break
        if found:
            fcntl.flock(found[0].fd, fcntl.LOCK_SH)
        return found[::-1]
    finally:
        lock.release()


def read() -> Iterator[Event]:
    """All events of the log, oldest first."""
    for file in _newer_than(0):
        try:
            for line in file.lines():
                event = parse(line)
                if event:
                    yield event
        finally:
            os.close(file.fd)


def follow(from_start: bool, wait: Callable[[], bool]) -> Iterator[Event]:
    """Events as they are written; with `from_start` those of the log before. Ends when `wait`, which is called when there is
    no more and returns when there may be, says false. Rotations lose none, however many there were between two looks."""
    files = _newer_than(0)
    if not from_start:
        for file in files:
            os.lseek(file.fd, 0, os.SEEK_END)
    try:
        while True:
            for file in files:
                for line in file.lines():
                    event = parse(line)
                    if event:
                        yield event
            fresh = _newer_than(files[-1].inode if files else 0)
            files += fresh
            while len(files) > len(fresh) + _LATE:
                os.close(files.pop(0).fd)
            if not fresh and not wait():
                return
    finally:
        for file in files:
            os.close(file.fd)


def ended_since(container_id: str, moment: float) -> bool:
    """Whether the log tells of the end of a container's run that began at `moment` (seconds since 1970)."""
    since = events.stamp(int(moment * 10**9))
    return any(e["Status"] == "died" and e["ID"] == container_id and e["Time"] >= since for e in read())

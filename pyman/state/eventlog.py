"""Read the log of events: what it holds, and what is still to come, over rotations. CLI process."""

from __future__ import annotations

import os

from pyman.state import events, fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Event = dict[str, Any]

_MAX_LINE = 1 << 20  # bytes; no writer makes one as long
_PIECE = 1 << 18


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
        """Complete lines from where the last call ended up to the end of the file."""
        while True:
            data = os.read(self.fd, _PIECE)
            if not data:
                return
            *whole, self.rest = (self.rest + data).split(b"\n")
            if len(self.rest) > _MAX_LINE:
                self.rest = b""
            yield from whole


def _open(path: str) -> _File | None:
    try:
        return _File(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError:
        return None


def _both() -> list[_File]:
    """The older file, if there is one, and the current one; read again if the log was rotated between the two."""
    while True:
        current = _open(events.path())
        older = _open(events.path() + ".1")
        if current and older and current.inode == older.inode:
            os.close(current.fd)
            os.close(older.fd)
            continue
        return [file for file in (older, current) if file]


def read() -> Iterator[Event]:
    """All events of the log, oldest first."""
    for file in _both():
        try:
            for line in file.lines():
                event = parse(line)
                if event:
                    yield event
        finally:
            os.close(file.fd)


def follow(from_start: bool, wait: Callable[[], bool]) -> Iterator[Event]:
    """Events as they are written; with `from_start` those of the log before. Ends when `wait`, which is called when there is
    no more and returns when there may be, says false. A rotation loses none: the older file is read on as well."""
    files = _both()
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
            if _reopen(files):
                continue
            if not wait():
                return
    finally:
        for file in files:
            os.close(file.fd)


def _reopen(files: list[_File]) -> bool:
    """Add the files that rotations have made since; true if there are any."""
    known = {file.inode for file in files}
    fresh = []
    for file in _both():
        if file.inode in known:
            os.close(file.fd)
        else:
            fresh.append(file)
    files += fresh
    while len(files) > 3:  # a writer may have the last but one open still, hardly an older one
        os.close(files.pop(0).fd)
    return bool(fresh)


def ended_since(container_id: str, moment: float) -> bool:
    """Whether the log tells of the end of a container's run that began at `moment` (seconds since 1970)."""
    since = events.stamp(int(moment * 10**9))
    return any(e["Status"] == "died" and e["ID"] == container_id and e["Time"] >= since for e in read())

"""Where the files of a tar lie in it, so that an archive of images need not be unpacked to be read. CLI process, slow path.

Only headers are read, and nothing is written: names, links and sizes of a hostile archive lead to bytes of that archive or nowhere.
"""

from __future__ import annotations

import os

from pyman.errors import ImageError
from pyman.storage.tarstream import TarStream, clean_name

_MOST = 100_000  # members; an archive of images has a few per layer
_LINKS = 8  # links that lead to links
_BUFFER = 1 << 12  # bytes read at a time: headers lie far apart


class _Reader:
    """Exact reads at a position that moves without reading."""

    __slots__ = ("_buffer", "_fd", "_start", "at", "size")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self.at = 0
        self._buffer, self._start = b"", 0

    def read(self, count: int) -> bytes:
        inside = self.at - self._start
        if not 0 <= inside <= len(self._buffer) - count:
            self._buffer, self._start, inside = os.pread(self._fd, max(count, _BUFFER), self.at), self.at, 0
        data = self._buffer[inside : inside + count]
        if len(data) < count:
            raise ImageError("damaged archive", "it ends in the middle")
        self.at += count
        return data

    def at_end(self) -> bool:
        return self.at >= self.size


def index(fd: int) -> dict[str, tuple[int, int]]:
    """Name -> (offset, size) of every file in the plain tar `fd`; links are followed inside it, later members win. ImageError."""
    reader = _Reader(fd)
    found: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    stream = TarStream(reader.read, reader.at_end)
    for count, member in enumerate(stream):
        if count >= _MOST:
            raise ImageError("refused archive", f"it has more than {_MOST} members, which no archive of images needs")
        name = os.fsdecode(clean_name(member.name))
        found.pop(name, None)
        links.pop(name, None)
        if member.type == "0":
            if reader.at + member.size > reader.size:
                raise ImageError("damaged archive", "it ends in the middle")
            found[name] = (reader.at, member.size)
        elif member.type in ("1", "2"):
            base = os.path.dirname(name) if member.type == "2" else ""
            links[name] = os.path.normpath(os.path.join("/", base, os.fsdecode(member.link)))[1:]
        stream.absent(member.size)
        reader.at += member.size
    for name in links:
        target = name
        for _ in range(_LINKS):
            target = links.get(target, target)
            if target in found:
                found[name] = found[target]
                break
    return found

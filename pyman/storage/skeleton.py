"""What an unpacked layer lacks of its tar: every byte but the files' contents, so that the tar can be made again bit for bit.

layers/DIFF-ID/skeleton is the layer's tar with the contents of its files cut out, gzip'ed: headers, PAX records, whiteouts, padding,
end marks. `Recorder` writes it while a layer is unpacked (unpack worker); `plain` reads it back and fills the files in (pack worker).
"""

from __future__ import annotations

import os

from pyman.errors import ImageError
from pyman.linux import libc
from pyman.storage.decompress import Decompressor, fast_zlib
from pyman.storage.tarstream import Member, TarStream, clean_name, is_content, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "skeleton"
MAX_BYTES = 64 << 20  # compressed; 3,000,000 plain entries take about 40 MB
_PIECE = 1 << 18


class Recorder:
    """Writes a skeleton to a descriptor. A layer whose skeleton grows beyond all measure gets none and cannot be pushed."""

    __slots__ = ("_engine", "_fd", "_parts", "_pending", "written")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._engine = fast_zlib().compressobj(1, wbits=31)
        self._parts: list[bytes] = []
        self._pending = 0
        self.written = 0

    def keep(self, data: bytes) -> None:
        """The next bytes of the tar that are no file's content."""
        self._parts.append(data)
        self._pending += len(data)
        if self._pending >= _PIECE:
            self._flush(b"")

    def _flush(self, tail: bytes) -> None:
        data = self._engine.compress(b"".join(self._parts)) + tail
        self._parts.clear()
        self._pending = 0
        if self.written <= MAX_BYTES:
            _write(self._fd, data)
        self.written += len(data)

    def finish(self) -> None:
        """Write the rest."""
        self._flush(b"")
        tail = self._engine.flush()
        self.written += len(tail)
        if self.written > MAX_BYTES:
            os.ftruncate(self._fd, 0)
            return
        _write(self._fd, tail)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Reader:
    """Exact reads of a skeleton."""

    __slots__ = ("_at", "_buffer", "_engine")

    def __init__(self, fd: int) -> None:
        self._engine = Decompressor("", lambda size: os.read(fd, size))
        self._buffer = b""
        self._at = 0  # what lies before it is read: to cut the buffer for each header would cost more than all else

    def read(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size:
            piece = self._engine.read()
            if not piece:
                raise ImageError("damaged layer in the store", "the record of its tar ends in the middle")
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        self._at += size
        return self._buffer[self._at - size : self._at]

    def at_end(self) -> bool:
        if self._at >= len(self._buffer):
            self._buffer, self._at = self._engine.read(), 0
        return not self._buffer

    def rest(self) -> Iterator[bytes]:
        while not self.at_end():
            yield self._buffer[self._at :]
            self._buffer = b""


def exists(layer: str) -> bool:
    """Whether the layer in directory `layer` can be made into its tar again."""
    try:
        return os.stat(os.path.join(layer, NAME)).st_size > 0
    except OSError:
        return False


def plain(layer: str, seen: Callable[[Member], None] | None = None) -> Iterator[bytes]:
    """The tar of the layer whose directory is `layer`, in pieces of at most 1 MiB; `seen` is told of each member.

    ImageError if a file is not what it was.
    """
    waiting: list[bytes] = []  # small pieces in one are quicker for those who take them
    for member, data, is_header in parts(layer):
        if is_header and seen and member:
            seen(member)
        if is_header:
            waiting.append(data)
            continue
        if waiting:
            yield b"".join(waiting)
            waiting.clear()
        yield data
    yield b"".join(waiting)


def parts(layer: str) -> Iterator[tuple[Member | None, bytes, bool]]:
    """The same by its parts: (member, what comes before its content, True), (member, a piece of its content, False), (None, the rest, False).

    ImageError if a file is not what it was.
    """
    fd = os.open(os.path.join(layer, NAME), os.O_RDONLY | os.O_CLOEXEC)
    root = os.open(os.path.join(layer, "diff"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reader = _Reader(fd)
        kept: list[bytes] = []
        stream = TarStream(reader.read, reader.at_end, kept.append)
        for member in stream:
            yield member, b"".join(kept), True
            kept.clear()
            if member.size and is_content(member):
                stream.absent(member.size)
                for data in _content(root, clean_name(member.name), member.size):
                    yield member, data, False
        yield None, b"".join(kept), False
        for data in reader.rest():
            yield None, data, False
    finally:
        os.close(fd)
        os.close(root)


def _content(root: int, name: bytes, size: int) -> Iterator[bytes]:
    try:
        fd = libc.openat2(root, os.fsdecode(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as err:
        raise ImageError("damaged layer in the store", f"{show(name)}: {err.strerror}", "remove the image and pull it again") from err
    try:
        left = size
        while left:
            data = os.read(fd, min(left, 1 << 20))
            if not data:
                raise ImageError("damaged layer in the store", f"{show(name)} is shorter than it was", "remove the image and pull it again")
            left -= len(data)
            yield data
    finally:
        os.close(fd)

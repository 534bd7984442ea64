"""The tar of a zstd:chunked layer, made of its table of contents, files of other layers, and the chunks that none of them has.

In a child of an unpack worker, which can read layers and write nothing but a pipe. Nothing that the table says is believed: the tar goes
through all that any layer goes through, and counts if its digest is the diff id. Whatever is odd is an ImageError, and the layer is fetched
as a whole (image/pull_chunked.py, which is at the other end of the pipe and the socket). The table is chunked.py's, Podman's too.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import stat

from pyman.linux import libc
from pyman.state import fastjson
from pyman.storage import chunk_table, layers
from pyman.storage.chunk_table import MAX_TABLE, File, odd
from pyman.storage.decompress import PIECE, zstd
from pyman.storage.tarsource import FREE_BYTES, MAX_RATIO
from pyman.storage.tarstream import clean_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MAX_SPLIT = 64 << 20
_MAX_LINE = 4 << 20
_PLACES = 32  # other layers that are looked into: the newest
_MESSAGE = 1000  # ranges in one message
_SMALL = 1 << 18  # bytes that are gathered before they go to the pipe


class _Places:
    """The trees of other layers, the one that had the last file first."""

    def __init__(self) -> None:
        self._trees = layers.open_newest(_PLACES)

    def find(self, file: File) -> None:
        """Look for the file under its own path; its content decides."""
        path = os.fsdecode(clean_name(file.name.encode("utf-8", "surrogateescape")))
        if not path or "\0" in path or len(file.digest) != 71:
            return
        for number, tree in enumerate(self._trees):
            fd = self.open((tree, path), file.size)
            if fd < 0:
                continue
            try:
                digest = hashlib.sha256()
                while data := os.read(fd, PIECE):
                    digest.update(data)
            finally:
                os.close(fd)
            if file.digest == "sha256:" + digest.hexdigest():
                file.place = (tree, path)
                self._trees.insert(0, self._trees.pop(number))
                return

    @staticmethod
    def open(place: tuple[int, str], size: int) -> int:
        """A descriptor of the regular file of that size, or -1."""
        try:
            fd = libc.openat2(place[0], place[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return -1
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode) and info.st_size == size:
            return fd
        os.close(fd)
        return -1


class _Tail:
    """A file-like object for zstandard: the next `left` bytes of a pipe. ImageError where it ends too early."""

    __slots__ = ("_fd", "left")

    def __init__(self, fd: int, left: int) -> None:
        self._fd, self.left = fd, left

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        data = os.read(self._fd, min(size, self.left)) if self.left else b""
        if self.left and not data:
            raise odd("a chunk ends in the middle")
        self.left -= len(data)
        return data


def _take(fd: int, size: int) -> bytes:
    """Exactly `size` bytes of the pipe."""
    tail, parts = _Tail(fd, size), []
    while tail.left:
        parts.append(tail.read(PIECE))
    return b"".join(parts)


def _unpacked(source: Any, most: int) -> Iterator[bytes]:
    """The plain pieces of zstd frames, at most `most` bytes of them. ImageError."""
    try:
        reader = zstd().ZstdDecompressor(max_window_size=1 << 25).stream_reader(source, read_across_frames=True)
        while piece := bytes(reader.read(PIECE)):
            most -= len(piece)
            if most < 0:
                raise odd("it expands to more than it says")
            yield piece
    except zstd().ZstdError as err:
        raise odd(f"it cannot be decompressed: {err}") from err


def _lines(packed: bytes) -> Iterator[bytes]:
    import io

    rest = b""
    for piece in _unpacked(io.BytesIO(packed), _MAX_SPLIT):
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise odd("a line of the tar-split is too long")
        yield from whole
    if rest:
        yield rest


class _Output:
    """The plain tar on its way to the pipe, bounded as that of any layer. ImageError."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._most = fd, max(FREE_BYTES, size * MAX_RATIO)
        self._waiting: list[bytes] = []
        self._count = 0

    def __call__(self, data: bytes) -> None:
        self._most -= len(data)
        if self._most < 0:
            raise odd(f"it expands more than {MAX_RATIO} times")
        self._waiting.append(data)
        self._count += len(data)
        if self._count >= _SMALL:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        view = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        self._count = 0
        while view:
            view = view[os.write(self._fd, view) :]


def assemble(fd: int, out: int, job: dict[str, Any], ask: Callable[[list[tuple[int, int]], bool], None]) -> dict[str, Any]:
    """Write the layer's tar to `out`. ImageError.

    fd: a pipe with the packed table, the packed tar-split, and then the bytes that `ask` (ranges, whether there are more) asks for.
    job: "table", "split" (bytes of each), "plain" (of the table), "checksum" (of the table), "end" (of the chunks), "size" (of the layer).
    """
    import io

    table, split = _take(fd, job["table"]), _take(fd, job["split"])
    if "sha256:" + hashlib.sha256(table).hexdigest() != job["checksum"]:
        raise odd("it has another digest than the manifest says")
    files, wanted = chunk_table.files_of(b"".join(_unpacked(io.BytesIO(table), min(MAX_TABLE, job["plain"]))), job["end"])
    if wanted and wanted != "sha256:" + hashlib.sha256(split).hexdigest():
        raise odd("the tar-split has another digest than the table says")
    del table
    places = _Places()
    for file in files:
        places.find(file)
    ranges = chunk_table.ranges_of(files)
    for at in range(0, len(ranges) + 1, _MESSAGE):
        ask(ranges[at : at + _MESSAGE], at + _MESSAGE <= len(ranges))
    output = _Output(out, job["size"])
    left = iter(files)
    for line in _lines(split):
        try:
            entry = fastjson.loads(line)
            kind, size, name = entry["type"], entry.get("size") or 0, entry.get("name")
            payload = binascii.a2b_base64(entry.get("payload") or "") if kind == 2 else b""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            raise odd(f"a line of the tar-split is none: {err}") from err
        if kind == 2:
            output(payload)
        elif kind == 1 and size:
            following = next(left, None)
            if following is None or (following.name, following.size) != (name, size):
                raise odd("the tar-split and the table tell of different files")
            for data in _content(fd, following):
                output(data)
    output.flush()
    return {}


def _content(fd: int, file: File) -> Iterator[bytes]:
    if file.place is None:
        for begin, end, plain in file.chunks:
            if begin == end:
                for at in range(0, plain, PIECE):
                    yield bytes(min(PIECE, plain - at))
                continue
            tail = _Tail(fd, end - begin)
            for piece in _unpacked(tail, plain):
                plain -= len(piece)
                yield piece
            if plain or tail.left:
                raise odd("a chunk is not as large as it says")
        return
    source = _Places.open(file.place, file.size)
    if source < 0:
        raise odd("another layer was removed meanwhile")
    try:
        while data := os.read(source, PIECE):
            yield data
    finally:
        os.close(source)

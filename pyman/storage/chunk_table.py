"""The table of contents of a zstd:chunked layer, read as hostile input: which files have content, and where it lies. Unpack workers, pure.

chunked.py writes such tables, Podman others of the same kind. What is odd is an ImageError, and the layer is fetched as a whole.
"""

from __future__ import annotations

from pyman.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard

    Chunk = tuple[int, int, int]  # offset in the layer, end, plain bytes; nothing between both: that many zeros

MAX_PACKED = 4 << 20  # bytes of a table, and of a tar-split, as they are fetched
MAX_TABLE = 8 << 20  # bytes of a table
_MAX_ENTRIES = 50_000  # with content: a larger layer is fetched as a whole
_MAX_RANGES = 20_000


class File:
    """A file with content: as the table says, and where the same content lies in another layer (`place` None: nowhere)."""

    __slots__ = ("chunks", "digest", "name", "place", "size")

    def __init__(self, name: str, size: int, digest: str) -> None:
        self.name, self.size, self.digest = name, size, digest
        self.chunks: list[Chunk] = []
        self.place: tuple[int, str] | None = None


def odd(why: str) -> ImageError:
    """What is wrong with it."""
    return ImageError("cannot use a layer's table of contents", why)


def _number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _entry(pairs: dict[str, Any], count: list[int]) -> Any:
    """What is needed of an object of the table, as soon as it is read: a file's or chunk's tuple, the table itself, or None."""
    if "entries" in pairs and "version" in pairs:
        return pairs
    kind = pairs.get("type")
    if kind not in ("reg", "chunk") or (kind == "reg" and not pairs.get("size")):
        return None
    count[0] += 1
    if count[0] > _MAX_ENTRIES:
        raise odd(f"it has more than {_MAX_ENTRIES} files")
    name, numbers = pairs.get("name"), [pairs.get(key, 0) for key in ("size", "offset", "endOffset", "chunkSize")]
    if not isinstance(name, str) or not all(map(_number, numbers)):
        raise odd("an entry has no name, or wrong numbers")
    return (kind == "reg", name, *numbers, str(pairs.get("digest") or ""), pairs.get("chunkType") == "zeros")


def files_of(table: bytes, size: int) -> tuple[list[File], str]:
    """(the files that have content, in the order of the tar; the digest of the tar-split) of a plain table. ImageError.

    size: where the layer's chunks end at the latest.
    """
    import json

    count = [0]
    try:
        value = json.loads(table, object_hook=lambda pairs: _entry(pairs, count))
    except (ValueError, RecursionError) as err:
        raise odd(f"it is not JSON: {err}") from err
    if not isinstance(value, dict) or not isinstance(value["entries"], list):
        raise odd("it has no entries")
    found: list[File] = []
    begun: list[tuple[int, int, bool]] = []  # offset, plain bytes, whether they are zeros: of each chunk of the last file
    end = at = 0
    for entry in value["entries"]:
        if entry is None:
            continue
        if not isinstance(entry, tuple):
            raise odd("an entry is none")
        is_file, name, length, offset, until, plain, digest, zeros = entry
        if is_file:
            if found:
                at = _close(found[-1], begun, end, at, size)
            found.append(File(name, length, digest))
            begun, end = [(offset, plain or length, zeros)], until
        elif not found or found[-1].name != name:
            raise odd("a chunk is nobody's")
        else:
            begun.append((offset, plain, zeros))
    if found:
        _close(found[-1], begun, end, at, size)
    return found, str(value.get("tarSplitDigest") or "")


def _close(file: File, begun: list[tuple[int, int, bool]], end: int, at: int, size: int) -> int:
    """Give a file its chunks, which come one after the other and behind byte `at`; where they end. ImageError."""
    if sum(plain for _, plain, _ in begun) != file.size:
        raise odd("chunks are not as large as their file")
    until = end
    for offset, plain, zeros in reversed(begun):
        file.chunks.append((offset, offset if zeros else until, plain))
        until = until if zeros else offset
    file.chunks.reverse()
    for number, (offset, until, plain) in enumerate(file.chunks):
        if begun[number][2]:
            file.chunks[number] = (at, at, plain)
            continue
        if not at <= offset < until <= size:
            raise odd("chunks overlap, or lie outside of the layer")
        at = until
    return at


def ranges_of(files: list[File]) -> list[tuple[int, int]]:
    """(first byte, end) of what is to be fetched, in order, neighbours in one. ImageError for more than anybody would ask for."""
    found: list[tuple[int, int]] = []
    for file in files:
        for begin, end, _ in file.chunks if file.place is None else []:
            if begin == end:
                continue
            if found and found[-1][1] == begin:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begin, end))
    if len(found) > _MAX_RANGES:
        raise odd(f"there are {len(found)} pieces to be fetched")
    return found

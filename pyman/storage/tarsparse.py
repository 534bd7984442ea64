"""Files with holes in the archives of GNU tar, and blocks of noughts that are not written. Whoever unpacks into a volume or a container.

Three of its formats: `S` members (tar -S), and the PAX records of versions 0.1 and 1.0 (tar --format=posix -S). Version 0.0 repeats its
records and is refused.
"""

from __future__ import annotations

import os

from pyman.errors import ImageError
from pyman.storage.tarstream import BLOCK, MAX_META, MAX_PARTS, Member, fill_parts, number, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 4096
_ZEROS = bytes(_PAGE)


def describe(member: Member, header: bytes, old: bool, records: dict[str, bytes], block: Callable[[], bytes]) -> int:
    """Note the parts of a member's file; how many bytes of its content told of them. block: reads the next 512 bytes.

    old: the description follows the header and is not counted among the content. ImageError.
    """
    name = records.get("GNU.sparse.name", member.name)
    used = 0
    if old:
        numbers = _old(header, block)
    elif records.get("GNU.sparse.major") == b"1" and records.get("GNU.sparse.minor") == b"0":
        numbers, used = _first(member, block)
        numbers = [_decimal(records.get("GNU.sparse.realsize", b"")), *numbers]
    elif "GNU.sparse.map" in records:
        words = records["GNU.sparse.map"].split(b",") if records["GNU.sparse.map"] else []
        numbers = [_decimal(records.get("GNU.sparse.size", b"")), *map(_decimal, words)]
    else:
        raise ImageError("refused archive", f"{show(name)} has holes in a format that is not known", "make it with tar -S, or without")
    if len(numbers) > 1 + 2 * MAX_PARTS:
        raise ImageError("refused archive", f"{show(name)} has more than {MAX_PARTS} parts")
    member.name = name
    member.size -= used
    fill_parts(member, numbers)
    return used


def _old(header: bytes, block: Callable[[], bytes]) -> list[int]:
    """The numbers of an `S` member: the file's size, then start and length of each part."""
    numbers = [number(header[483:495], "size")]
    table, count, more = header[386:482], 4, header[482]
    while True:
        for at in range(0, 24 * count, 24):
            if not table[at : at + 24].strip(b"\0"):
                break
            numbers += [number(table[at : at + 12], "part"), number(table[at + 12 : at + 24], "part")]
        if not more or len(numbers) > 1 + 2 * MAX_PARTS:
            return numbers
        extension = block()
        table, count, more = extension[:504], 21, extension[504]


def _first(member: Member, block: Callable[[], bytes]) -> tuple[list[int], int]:
    """Those of version 1.0, lines of decimals at the beginning of the content, without the size; and how many bytes they take."""
    data, lines, used = b"", [b""], 0
    while True:
        if used + BLOCK > min(member.size, MAX_META):
            raise ImageError("damaged archive", f"the parts of {show(member.name)} are not described to the end")
        data += block()
        used += BLOCK
        lines = data.split(b"\n")[:-1]
        if lines and len(lines) > 2 * _decimal(lines[0]):
            return [_decimal(line) for line in lines[1 : 1 + 2 * _decimal(lines[0])]], used


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ImageError("damaged archive", "what describes the holes of a file is no number")
    return int(text)


def put(fd: int, piece: bytes, at: int) -> None:
    """Write a piece of a new file, which begins at `at`, but for blocks of noughts: whoever is done sets the size. OSError."""
    begin = here = 0
    while here < len(piece):
        end = min(len(piece), here + _PAGE - (at + here) % _PAGE)
        if not piece[here] and piece[here:end] == _ZEROS[: end - here]:
            _write(fd, piece, begin, here, at)
            begin = end
        here = end
    _write(fd, piece, begin, here, at)


def _write(fd: int, piece: bytes, begin: int, end: int, at: int) -> None:
    view = memoryview(piece)[begin:end]
    while view:
        written = os.pwrite(fd, view, at + begin)
        view, begin = view[written:], begin + written

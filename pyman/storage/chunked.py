"""zstd:chunked: a layer whose files can be fetched one by one, for those who have most of them already. Pack workers.

Each file's content is a zstd frame of its own (large ones: several), what lies between is another. Behind them, in frames that decompressors
skip, come a table of contents with each file's place and digest, the tar without the files' contents ("tar-split"), and where the two begin.
To all others it is a plain zstd layer. A layer that the table cannot tell in full (names that are not UTF-8, a name twice, odd headers)
gets none, and is a plain zstd layer to everybody.
"""

from __future__ import annotations

import base64
import hashlib

from pyman.state import fastjson
from pyman.storage import skeleton
from pyman.storage.compress import CHUNKED_NOTES
from pyman.storage.decompress import zstd
from pyman.storage.tarstream import BLOCK, Member, is_content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAX = 64 << 20  # bytes of a table of contents, and of a tar-split
_TAIL = 1 << 20  # bytes behind the last member
_TYPES = {"0": "reg", "1": "hardlink", "2": "symlink", "3": "char", "4": "block", "5": "dir", "6": "fifo"}
_PATHS = {"path", "linkpath", "uid", "gid", "size", "mtime", "atime", "ctime"}
_POLYNOMIAL = (64, 4, 3, 1, 0)  # CRC-64/ISO, in which tar-split notes the files' contents
_ONES = (1 << 64) - 1
_LANE = 512  # bytes


class _NoTable(Exception):
    """The table of contents cannot tell this layer."""


def crc64(data: bytes, before: int = 0) -> int:
    """CRC-64/GO-ISO of `data`, which follows what has the value `before`.

    As polynomials over GF(2) in large integers, the lowest bit being the highest power: x^64 = x^4 + x^3 + x + 1, and so, for k a power of 2,
    x^(64k) = x^(4k) + x^(3k) + x^k + 1. Some shifts take what was read past the next lane: to look at each byte would take a hundred times as long.
    """
    before ^= _ONES
    if len(data) < 8:
        bits = 8 * len(data)
        return _reduced(int.from_bytes(data, "little") ^ (before & ((1 << bits) - 1)), bits) ^ (before >> bits) ^ _ONES
    start = len(data) % _LANE or _LANE
    if start < 8:  # the value before has 8 bytes
        value = _reduced(int.from_bytes(data[:8], "little") ^ before, 64)
        return crc64(data[8:], value ^ _ONES)
    head = (int.from_bytes(data[:8], "little") ^ before).to_bytes(8, "little")
    bits, step = 8 * _LANE, _LANE // 8
    value = int.from_bytes(head + data[8:start], "little") << (bits - 8 * start)
    masks = [(1 << (power * step)) - 1 for power in (4, 3, 1)]
    for at in range(start, len(data), _LANE):
        over = (value & masks[0]) ^ ((value & masks[1]) << step) ^ ((value & masks[2]) << 3 * step)  # 4 steps beyond the lane's end
        value ^= (value >> step) ^ (value >> 3 * step) ^ (value >> 4 * step) ^ int.from_bytes(data[at : at + _LANE], "little")
        base = bits - 4 * step
        value ^= (over << base) ^ (over << (base - step)) ^ (over << (base - 3 * step)) ^ (over << (base - 4 * step))
    return _reduced(value, bits) ^ _ONES


def _reduced(value: int, bits: int) -> int:
    """A polynomial of `bits` coefficients, times x^64, modulo the CRC's."""
    bits += 64
    while bits > 64:
        step = 1
        while 128 * step < bits:
            step *= 2
        width = 64 * step
        high = min(bits - width, width - 4 * step)
        top = value & ((1 << high) - 1)
        value >>= high
        bits -= high
        for power in _POLYNOMIAL[1:]:
            value ^= top << (width - high - power * step)
    return value


class _Table:
    """The table of contents and the tar-split, as they grow."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self._names: set[str] = set()
        self._size = 0
        self._split: list[bytes] = []
        self._split_size = 0
        self._padding = 0  # of the member before

    def _note(self, entry: dict[str, Any]) -> None:
        line = fastjson.dumps({**entry, "position": len(self._split)}).encode() + b"\n"
        self._split.append(line)
        self._split_size += len(line)
        if self._split_size > _MAX:
            raise _NoTable

    def member(self, header: bytes, member: Member) -> dict[str, Any]:
        """Note a member by the bytes before its content; its entry. _NoTable."""
        entry = _entry(header[self._padding :], member)
        if entry["name"] in self._names:
            raise _NoTable
        self._names.add(entry["name"])
        self._note({"type": 2, "payload": base64.b64encode(header).decode()})
        self._padding = -member.size % BLOCK
        return entry

    def add(self, entry: dict[str, Any], chunks: list[tuple[int, int, str]], end: int, digest: str, crc: int) -> None:
        """A member with its content: (offset in the layer, bytes, digest) of each chunk, where they end. _NoTable."""
        if chunks:
            entry = {**entry, "digest": digest, "offset": chunks[0][0], "endOffset": end}
        made, at = [entry], 0
        for number, (offset, size, known) in enumerate(chunks if len(chunks) > 1 else []):
            if number:
                made.append({"type": "chunk", "name": entry["name"], "offset": offset, "chunkOffset": at})
            made[number].update({"chunkSize": size, "chunkDigest": known})
            at += size
        for one in made:
            text = fastjson.dumps(one)
            self._size += len(text)
            self.entries.append(text)
        if self._size > _MAX:
            raise _NoTable
        payload = base64.b64encode(crc.to_bytes(8, "big")).decode() if chunks else None
        self._note({"type": 1, "name": entry["name"], **({"size": entry["size"]} if chunks else {}), "payload": payload})

    def finish(self, tail: bytes) -> bytes:
        """The tar-split. _NoTable if what follows the last member are not zeros alone."""
        if tail.strip(b"\0") or len(tail) < self._padding or (len(tail) - self._padding) % BLOCK:
            raise _NoTable
        self._note({"type": 2, "payload": base64.b64encode(tail).decode()})
        return b"".join(self._split)


def _entry(header: bytes, member: Member) -> dict[str, Any]:
    """A member's line in the table: what other programs read in its header, to the letter. _NoTable where they might read it differently."""
    last, more = header[-BLOCK:], _times(header[:-BLOCK])
    magic, kind = last[257:265], chr(last[156]) if last[156] else "\0"
    gnu = magic == b"ustar  \0"
    if magic not in (b"ustar\x0000", b"ustar  \0", bytes(8)) or (gnu and last[345:369].strip(b"\0")) or kind not in "\x000123456":
        raise _NoTable
    if member.mtime_ns < 0 or (member.type == "0" and member.name.endswith(b"/")) or (member.size and not is_content(member)):
        raise _NoTable
    try:
        name, link = member.name.decode(), member.link.decode()
        mode = int(last[100:108].strip(b" \0") or b"0", 8)
        numbers = [int(last[at : at + 8].strip(b" \0") or b"0", 8) if magic != bytes(8) else 0 for at in (329, 337)]
        xattrs = {key.encode().decode(): base64.b64encode(value).decode() for key, value in member.xattrs.items()}
    except (UnicodeError, ValueError):
        raise _NoTable from None
    entry: dict[str, Any] = {
        "type": _TYPES[member.type],
        "name": name,
        "linkName": link,
        "mode": mode,
        "size": member.size,
        "uid": member.uid,
        "gid": member.gid,
        "modtime": _time(member.mtime_ns),
        **more,
        "devMajor": numbers[0],
        "devMinor": numbers[1],
        "xattrs": xattrs,
    }
    return {key: value for key, value in entry.items() if value}


def _times(headers: bytes) -> dict[str, str]:
    """The times of access and change in the records before a header. _NoTable for records of other kinds."""
    found: dict[str, str] = {}
    at = 0
    while at < len(headers):
        kind, size = headers[at + 156], int(headers[at + 124 : at + 136].strip(b" \0") or b"0", 8)
        data = headers[at + BLOCK : at + BLOCK + size]
        at += BLOCK + size + -size % BLOCK
        if kind not in b"xLK":
            raise _NoTable
        while kind == ord("x") and data:
            length = int(data[: data.index(b" ")])
            key, _, value = data[data.index(b" ") + 1 : length - 1].partition(b"=")
            data = data[length:]
            word = key.decode("utf-8", "replace")
            if word not in _PATHS and not word.startswith("SCHILY.xattr.") and word not in ("uname", "gname", "comment"):
                raise _NoTable
            if word in ("atime", "ctime"):
                whole, _, part = value.partition(b".")
                if not whole.isdigit() or (part and not part.isdigit()):
                    raise _NoTable
                found["accesstime" if word == "atime" else "changetime"] = _time(
                    int(whole) * 10**9 + int((part + bytes(9))[:9].replace(b"\0", b"0"))
                )
    return found


def _time(moment: int) -> str:
    """RFC 3339 with nanoseconds, in UTC. _NoTable for years of five digits."""
    import time

    seconds, part = divmod(moment, 10**9)
    if seconds >= 253402300800:
        raise _NoTable
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + (f".{part:09}".rstrip("0") if part else "") + "Z"


def pack(layer: str, level: int | None, plain: Callable[[bytes], None], out: Callable[[bytes], None]) -> dict[str, str]:
    """Write the layer in directory `layer` to `out`, and its tar to `plain`; the annotations of its descriptor, none if it has no table.

    ImageError if the store's copy is damaged.
    """
    compressor = zstd().ZstdCompressor(level=3 if level is None else level)
    table: _Table | None = _Table()
    at = 0

    def frame(data: bytes) -> int:
        """A frame; where it begins."""
        nonlocal at
        begins = at
        if data:
            packed = compressor.compress(data)
            out(packed)
            at += len(packed)
        return begins

    tail = b""
    entry: dict[str, Any] = {}
    chunks: list[tuple[int, int, str]] = []
    whole, crc, current = hashlib.sha256(), 0, None

    def done() -> None:
        nonlocal table
        if table and current is not None:
            try:
                table.add(entry, chunks, at, "sha256:" + whole.hexdigest(), crc)
            except _NoTable:
                table = None

    pending: list[bytes] = []  # headers of members without content, which share a frame
    for member, data, is_header in skeleton.parts(layer):
        plain(data)
        if member is None:
            tail = (tail + data)[: _TAIL + 1]
            pending.append(data)
            if sum(map(len, pending)) > _TAIL:
                frame(b"".join(pending))
                pending.clear()
        elif is_header:
            done()
            current, chunks, whole, crc = member, [], hashlib.sha256(), 0
            pending.append(data)
            if table:
                try:
                    entry = table.member(data, member)
                except (_NoTable, ValueError, IndexError):
                    table = None
        else:
            frame(b"".join(pending))
            pending.clear()
            if table:
                chunks.append((frame(data), len(data), "sha256:" + hashlib.sha256(data).hexdigest()))
                whole.update(data)
                crc = crc64(data, crc)
            else:
                frame(data)
    done()
    frame(b"".join(pending))
    try:
        return _end(table, tail, at, compressor, out) if table and len(tail) <= _TAIL else {}
    except _NoTable:
        return {}


def _end(table: _Table, tail: bytes, at: int, compressor: Any, out: Callable[[bytes], None]) -> dict[str, str]:
    """The frames that decompressors skip; the annotations that name them. _NoTable."""
    plain_split = table.finish(tail)
    # As a whole, so that the frame says its size: else its window would be larger than what others give it.
    split = compressor.compress(plain_split)
    head = '{"version":1,"tarSplitDigest":"sha256:' + hashlib.sha256(split).hexdigest() + '","entries":['
    plain = (head + ",".join(table.entries) + "]}").encode()
    contents = compressor.compress(plain)
    where = at + 8
    behind = where + len(contents) + 8
    footer = b"".join(
        number.to_bytes(8, "little") for number in (where, len(contents), len(plain), 1, behind, len(split), len(plain_split))
    )
    for data in (contents, split, footer + b"GNUlInUx"):
        out(b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data)
    return {
        f"{CHUNKED_NOTES}manifest-checksum": "sha256:" + hashlib.sha256(contents).hexdigest(),
        f"{CHUNKED_NOTES}manifest-position": f"{where}:{len(contents)}:{len(plain)}:1",
        f"{CHUNKED_NOTES}tarsplit-position": f"{behind}:{len(split)}:{len(plain_split)}",
    }

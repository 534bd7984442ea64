"""Parts of a blob: many ranges by few requests, as the registry is able to send them (RFC 9110, section 14). CLI process, slow path."""

from __future__ import annotations

from pyman.digits import is_whole
from pyman.errors import ImageError, RegistryError
from pyman.image.waiting import Broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyman.image.registry import Connection

    Range = tuple[int, int]  # first byte, end

_GAP = 1 << 10  # bytes that cost less than a further part of an answer
_WIDE_GAP = 1 << 18  # bytes that cost less than a further request
_BATCH = 100  # ranges of one request: some servers take no longer headers
_MAX_HEADERS = 1 << 12  # bytes before a part


class Unsupported(Exception):
    """The registry sends nothing but whole blobs."""


def merged(ranges: list[Range], gap: int) -> list[Range]:
    """The ranges with those in one that are less than `gap` apart."""
    found: list[Range] = []
    for begin, end in ranges:
        if found and begin - found[-1][1] < gap:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def cost(ranges: list[Range]) -> int:
    """About how many bytes come over the network for these ranges."""
    return sum(end - begin + 160 for begin, end in merged(ranges, _GAP))


class _Wanted:
    """The ranges still to be delivered, in order; `take` picks their bytes out of what comes."""

    def __init__(self, ranges: list[Range], out: Callable[[bytes], None]) -> None:
        self._ranges, self._out = list(reversed(ranges)), out
        self.came = 0  # bytes

    def left(self) -> list[Range]:
        """What is missing."""
        return self._ranges[::-1]

    def take(self, at: int, data: bytes) -> None:
        """Bytes from offset `at` on. ImageError if something before them is missing."""
        self.came += len(data)
        end = at + len(data)
        while self._ranges and self._ranges[-1][0] < end:
            begin, until = self._ranges[-1]
            if begin < at:
                raise ImageError("cannot use a part of a blob", "it is not the one that was asked for")
            piece = data[begin - at : until - at]
            self._out(piece)
            if begin + len(piece) < until:
                self._ranges[-1] = (begin + len(piece), until)
                return
            self._ranges.pop()


def copy(connection: Connection, path: str, ranges: list[Range], out: Callable[[bytes], None], most: int) -> None:
    """Bring the bytes of ascending ranges to `out`, going on where a connection broke. Unsupported, RegistryError, ImageError.

    most: bytes beyond which the whole blob would be less.
    """
    wanted = _Wanted(ranges, out)
    several, breaks = True, 0
    while left := wanted.left():
        asked = merged(left, _GAP if several else _WIDE_GAP)[: _BATCH if several else 1]
        if not several and sum(end - begin for begin, end in merged(left, _WIDE_GAP)) > most:
            raise Unsupported
        before = len(left), left[0]
        header = "bytes=" + ", ".join(f"{begin}-{end - 1}" for begin, end in asked)
        response = connection.get(path, {"Range": header})
        try:
            if response.status_code != 206:
                if not several or len(asked) == 1:
                    raise Unsupported
                several = False
                continue
            kind = response.headers.get("Content-Type") or ""
            if kind.lower().startswith("multipart/byteranges"):
                for at, data in _parts(connection, response):
                    wanted.take(at, data)
            else:
                several = several and len(asked) == 1  # a server that takes the first of several
                at, _ = content_range(response.headers.get("Content-Range") or "")
                for data in connection.pieces(response):
                    wanted.take(at, data)
                    at += len(data)
        except Broken:
            pass
        finally:
            response.close()
        now = wanted.left()
        breaks = breaks + 1 if now and before == (len(now), now[0]) else 0
        if breaks >= connection.access.retries:
            raise RegistryError(
                connection.what, f"the connection to {connection.host} broke {breaks} times in a row", "run the command again"
            )
        if breaks:
            connection.access.wait(breaks)


def content_range(text: str) -> Range:
    """(first byte, end) of a Content-Range. ImageError."""
    unit, _, rest = text.strip().partition(" ")
    first, _, last = rest.partition("/")[0].partition("-")
    if unit.lower() != "bytes" or not (is_whole(first) and is_whole(last)) or int(first) > int(last):
        raise ImageError("cannot use a part of a blob", f"it does not say where it belongs: {text[:100]!r}")
    return int(first), int(last) + 1


def _parts(connection: Connection, response: Any) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of an answer of several parts (multipart/byteranges). ImageError, Broken."""
    buffer = b""
    pieces = connection.pieces(response)

    def more() -> bool:
        nonlocal buffer
        piece = next(pieces, b"")
        buffer += piece
        return bool(piece)

    while True:
        while b"\r\n\r\n" not in buffer:
            if buffer.rstrip().endswith(b"--"):
                return  # the last boundary
            if len(buffer) > _MAX_HEADERS:
                raise ImageError("cannot use a part of a blob", "it has too many headers")
            if not more():
                raise Broken("it ended between two parts")
        headers, _, buffer = buffer.partition(b"\r\n\r\n")
        found = [line.partition(b":")[2] for line in headers.split(b"\r\n") if line.lower().startswith(b"content-range:")]
        at, end = content_range(found[0].decode("latin-1") if found else "")
        while at < end:
            if not buffer and not more():
                raise Broken("it ended in the middle of a part")
            data, buffer = buffer[: end - at], buffer[end - at :]
            yield at, data
            at += len(data)

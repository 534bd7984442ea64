"""Tar headers from a stream: ustar, GNU long names, PAX; bounded in memory. Unpack workers.

Every header is hostile: sizes, names and records are checked before use. tarfile's extraction is not used.
"""

from __future__ import annotations

from zlib import adler32

from pyman.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 512
MAX_RECORDS = 10_000
MAX_META = 1 << 20  # bytes of one PAX or long-name record: PATH_MAX and xattrs are far below
WHITEOUT = b".wh."  # how the name of a removed file's marker begins
MAX_PARTS = 10_000  # of a file with holes: what describes them must not be longer than MAX_META
PARTS = (
    "PYMAN.parts"  # PAX record of such a file, between our own processes only: its size, then start and length of each part that is data
)
_NAME_MAX = 4096
_MAX_ID = 2**32 - 2


class Member:
    """One entry: type '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' directory, '6' FIFO.

    parts: of a file with holes (start, length) of each that is data, `size` bytes together; `whole`: the file's size then.
    """

    __slots__ = ("gid", "link", "major", "minor", "mode", "mtime_ns", "name", "parts", "size", "type", "uid", "whole", "xattrs")

    def __init__(self) -> None:
        self.name = self.link = b""
        self.type = "0"
        self.mode = self.uid = self.gid = self.size = self.mtime_ns = self.major = self.minor = self.whole = 0
        self.parts: list[tuple[int, int]] = []
        self.xattrs: dict[str, bytes] = {}


def show(name: bytes) -> str:
    """A member's name for messages: control characters and invalid UTF-8 escaped."""
    return name[:200].decode("utf-8", "backslashreplace").encode("unicode_escape").decode()


def clean_name(name: bytes) -> bytes:
    """A member's name as a relative path. ImageError if it has a `..` component."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ImageError("refused layer", f"the name {show(name)} has a .. component")
    if len(name) > 255 and any(len(part) > 255 for part in parts):
        raise ImageError("refused layer", f"a component of {show(name)} is longer than 255 bytes")
    return b"/".join(parts)


def is_content(member: Member) -> bool:
    """Whether the bytes of this member become those of a file in the layer's directory (a whiteout's, if it has any, do not)."""
    name = clean_name(member.name)
    return member.type == "0" and bool(name) and not name.rpartition(b"/")[2].startswith(WHITEOUT)


def number(field: bytes, what: str) -> int:
    """A number of a header, octal or as GNU tar writes large ones. ImageError."""
    if field[-1] in b"\0 ":  # nearly all are digits and this end
        try:
            return int(field[:-1], 8)
        except ValueError:
            pass
    if field[0] & 0x80:  # GNU base-256
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        return value
    text = field.split(b"\0", 1)[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise ImageError("damaged layer", f"the tar header's {what} is not a number") from None


def _checksum(header: bytes) -> int:
    """The sum of the header's bytes, those of the checksum's field counted as spaces. Adler-32 sums quicker than `sum`, modulo 65521."""
    halves = (adler32(header[:256]) & 0xFFFF) + (adler32(header[256:]) & 0xFFFF) - 2
    return halves - sum(header[148:156]) + 256


def _pax(data: bytes) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        if space < 0 or not data[at:space].isdigit():
            if data[at:].strip(b"\0") == b"":
                break
            raise ImageError("damaged layer", "a PAX record has no length")
        length = int(data[at:space])
        record = data[space + 1 : at + length]
        if length < 5 or at + length > len(data) or not record.endswith(b"\n") or b"=" not in record:
            raise ImageError("damaged layer", "a PAX record does not fit its length")
        key, _, value = record[:-1].partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value
        at += length
    return records


class TarStream:
    """Iterates over the members read with `read(n)`, which returns exactly n bytes or raises.

    keep: called with everything that is read and not handed out by `data`: headers, padding, end marks, content nobody wanted.
    some: as read, but may return less than n bytes; for content. own: another process of ours writes it, so that files may have holes.
    sparse: they may, as GNU tar writes them.
    """

    __slots__ = ("_at_end", "_keep", "_left", "_own", "_read", "_some", "_sparse")

    def __init__(
        self,
        read: Callable[[int], bytes],
        at_end: Callable[[], bool],
        keep: Callable[[bytes], None] | None = None,
        some: Callable[[int], bytes] | None = None,
        own: bool = False,
        sparse: bool = False,
    ) -> None:
        if keep:

            def kept(size: int) -> bytes:
                data = read(size)
                keep(data)
                return data

        self._read = read
        self._some = some or read
        self._keep = kept if keep else read
        self._at_end = at_end
        self._own = own
        self._sparse = sparse
        self._left = 0  # of the current member's data and padding

    def data(self, size: int) -> Iterator[bytes]:
        """The current member's content in pieces of at most 1 MiB."""
        left = size
        while left:
            piece = self.piece(left)
            left -= len(piece)
            yield piece

    def piece(self, limit: int) -> bytes:
        """Some of the current member's content, at most `limit` bytes and 1 MiB."""
        piece = self._some(min(limit, 1 << 20))
        self._left -= len(piece)
        return piece

    def absent(self, size: int) -> None:
        """The current member's content is not in this stream: its padding comes next."""
        self._left -= size

    def _skip(self) -> None:
        while self._left:
            self._left -= len(self._keep(min(self._left, 1 << 20)))

    def _meta(self, size: int) -> bytes:
        if size > MAX_META or size < 0:
            raise ImageError("refused layer", f"a tar record of {size} bytes describes one file; at most {MAX_META} are allowed")
        data = self._keep(size)
        self._keep(-size % BLOCK)
        return data

    def __iter__(self) -> Iterator[Member]:
        pending: dict[str, bytes] = {}
        long_name = long_link = b""
        everywhere: dict[str, bytes] = {}
        while True:
            self._skip()
            if self._at_end():
                return  # some tools write no end marker
            header = self._keep(BLOCK)
            if header == b"\0" * BLOCK:
                if not self._at_end() and self._keep(BLOCK) != header:
                    raise ImageError("damaged layer", "members follow an end marker")
                return
            if number(header[148:156], "checksum") != _checksum(header):
                raise ImageError("damaged layer", "a tar header's checksum is wrong")
            kind = chr(header[156]) if header[156] else "0"
            size = number(header[124:136], "size")
            if kind in "xg":
                records = pending if kind == "x" else everywhere
                records.update(_pax(self._meta(size)))
                if sum(len(value) for value in records.values()) > MAX_META or len(records) > MAX_RECORDS:
                    raise ImageError("refused layer", "its PAX headers describe too much")
                continue
            if kind in "LK":
                text = self._meta(size).rstrip(b"\0")
                long_name, long_link = (text, long_link) if kind == "L" else (long_name, text)
                continue
            holes = kind == "S" or any(key.startswith("GNU.sparse.") for key in pending)
            if holes and not self._sparse:
                raise ImageError("refused layer", "it has a GNU sparse member", "build the image with plain tar members")
            member = _member(header, "0" if kind == "S" else kind, size, {**everywhere, **pending}, long_name, long_link)
            if member.size < 0:
                raise ImageError("damaged layer", f"{show(member.name)} has a negative size")
            self._left = member.size + -member.size % BLOCK
            if holes:
                from pyman.storage import tarsparse  # such members only

                self._left -= tarsparse.describe(member, header, kind == "S", pending, lambda: self._keep(BLOCK))
            elif self._own and PARTS in pending:
                _read_parts(member, pending[PARTS])
            pending, long_name, long_link = {}, b"", b""
            yield member


def _read_parts(member: Member, text: bytes) -> None:
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError:
        numbers = []
    fill_parts(member, numbers)


def fill_parts(member: Member, numbers: list[int]) -> None:
    """numbers: a file's size, then start and length of each part. ImageError unless these lie one behind the other, and have its data."""
    ends = 0
    for start, length in zip(numbers[1::2], numbers[2::2]):
        if start < ends or length < 0:
            break
        member.parts.append((start, length))
        ends = start + length
    data = sum(length for _, length in member.parts)
    if member.type != "0" or len(numbers) != 1 + 2 * len(member.parts) or data != member.size or not ends <= numbers[0] < 2**63:
        raise ImageError("damaged archive", f"the parts of {show(member.name)} do not make up a file")
    member.whole = numbers[0]


def _member(header: bytes, kind: str, size: int, pax: dict[str, bytes], long_name: bytes, long_link: bytes) -> Member:
    member = Member()
    member.type = "0" if kind == "7" else kind
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0]
    if header[257:262] == b"ustar" and header[257:265] != b"ustar  \0" and prefix:
        name = prefix + b"/" + name
    member.name = pax.get("path") or long_name or name
    member.link = pax.get("linkpath") or long_link or header[157:257].split(b"\0", 1)[0]
    member.mode = number(header[100:108], "mode") & 0o7777
    member.uid = _pax_number(pax, "uid", number(header[108:116], "uid"))
    member.gid = _pax_number(pax, "gid", number(header[116:124], "gid"))
    if not (0 <= member.uid <= _MAX_ID and 0 <= member.gid <= _MAX_ID):
        # -1, in whatever form, means "leave the owner" to chown(2): the file would become root's.
        raise ImageError("refused layer", f"{show(member.name)} has the owner {member.uid}:{member.gid}, which is no id")
    member.size = _pax_number(pax, "size", size) if member.type == "0" else 0
    if member.type != "0" and size:
        raise ImageError("refused layer", f"{show(member.name)} is no file and yet has data")
    member.mtime_ns = _mtime(pax.get("mtime"), number(header[136:148], "mtime"))
    if member.type in "34":
        member.major, member.minor = number(header[329:337], "major"), number(header[337:345], "minor")
    for key, value in pax.items():
        if key.startswith("SCHILY.xattr."):
            if "\0" in key:
                raise ImageError("refused layer", f"{show(member.name)} has an extended attribute with a NUL in its name")
            member.xattrs[key[13:]] = value
    if member.type not in "0123456":
        raise ImageError("refused layer", f"{show(member.name)} has the unknown tar type {member.type!r}")
    for text in (member.name, member.link):
        if b"\0" in text or len(text) > _NAME_MAX:
            raise ImageError("refused layer", f"a name with a NUL or more than {_NAME_MAX} bytes: {show(text)}")
    return member


def _pax_number(pax: dict[str, bytes], key: str, default: int) -> int:
    text = pax.get(key)
    if text is None:
        return default
    if not text.isdigit() or len(text) > 19:
        raise ImageError("damaged layer", f"PAX {key} is not a number")
    return int(text)


def _mtime(text: bytes | None, default: int) -> int:
    if text is None:
        return default * 10**9 if abs(default) < 2**32 else 0
    try:
        whole, _, fraction = text.partition(b".")
        moment = int(whole) * 10**9 + int((fraction + b"000000000")[:9])
        return moment if abs(moment) < 2**62 else 0
    except ValueError:
        raise ImageError("damaged layer", "PAX mtime is not a number") from None

"""Headers of a tar's members: ustar, and PAX records for what that cannot hold. Any process.

Equal members give equal bytes: numbers and names only, no owners' names, records in the order of their keys.
"""

from __future__ import annotations

from pyman.storage.tarstream import BLOCK, PARTS, Member


def _record(key: str, value: bytes) -> bytes:
    """One PAX record, which begins with its own length."""
    rest = b" " + key.encode("utf-8", "surrogateescape") + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def _block(name: bytes, kind: str, mode: int, uid: int, gid: int, size: int, mtime: int, link: bytes, major: int, minor: int) -> bytes:
    """One ustar header; the numbers fit their fields."""
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, mtime),
            b"        ",
            kind.encode(),
            link.ljust(100, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0%07o\0" % (major, minor),
            bytes(167),
        )
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def header(member: Member) -> bytes:
    """The header of an entry, with a PAX header before it for what ustar cannot hold. Directories' names get their slash."""
    name, link = member.name, member.link
    if member.type == "5" and not name.endswith(b"/"):
        name += b"/"
    seconds = member.mtime_ns // 10**9
    records: dict[str, bytes] = {f"SCHILY.xattr.{key}": value for key, value in member.xattrs.items()}
    fits = {"uid": member.uid, "gid": member.gid, "size": member.size, "mtime": seconds}
    for key, limit in (("uid", 8**7), ("gid", 8**7), ("size", 8**11), ("mtime", 8**11)):
        if not 0 <= fits[key] < limit:
            records[key] = str(fits[key]).encode()
            fits[key] = 0
    if len(name) > 100:
        records["path"] = name
    if len(link) > 100:
        records["linkpath"] = link
    if member.parts:
        records[PARTS] = b" ".join(str(number).encode() for number in (member.whole, *(n for part in member.parts for n in part)))
    before = b""
    if records:
        data = b"".join(_record(key, records[key]) for key in sorted(records))
        before = _block(b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2][:80], "x", 0o644, 0, 0, len(data), 0, b"", 0, 0)
        before += data + bytes(-len(data) % BLOCK)
    return before + _block(
        name[:100], member.type, member.mode, fits["uid"], fits["gid"], fits["size"], fits["mtime"], link[:100], member.major, member.minor
    )

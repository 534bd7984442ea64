"""Archives written from directories: read back by another implementation, equal bytes for equal trees, nothing followed."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from pyman.storage import tarstream
from pyman.storage.tarheader import header
from pyman.storage.tarsink import CallSink, FdSink
from pyman.storage.tarstream import Member
from pyman.storage.tarwriter import TreeWriter


def written(root: Path, prefix: bytes = b"", **options: object) -> bytes:
    """The archive of a directory, written by both kinds of sinks, which must agree."""
    parts: list[bytes] = []
    read_end, write_end = os.pipe()
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for sink in (CallSink(parts.append), FdSink(os.open(root.parent / "out.tar", os.O_RDWR | os.O_CREAT | os.O_TRUNC))):
            writer = TreeWriter(sink, **options)  # type: ignore[arg-type]
            writer.tree(fd, prefix)
            writer.close()
    finally:
        os.close(fd)
        os.close(read_end)
        os.close(write_end)
    data = b"".join(parts)
    assert data == (root.parent / "out.tar").read_bytes()
    return data


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "b" / ("d" * 90) / ("e" * 90)).mkdir(parents=True)
    (root / "b" / "two").write_bytes(b"2" * 1000)
    os.link(root / "b" / "two", root / "link")
    (root / "a").symlink_to("/etc/passwd")
    (root / "big").write_bytes(os.urandom(300_000))
    (root / "long").symlink_to("t" * 150)
    (root / "b" / ("d" * 90) / ("e" * 90) / "leaf").write_text("x")
    os.mkfifo(root / "pipe", 0o640)
    os.setxattr(root / "big", "user.note", b"v\n\0w")
    os.setxattr(root / "b", "user.overlay.opaque", b"y")
    with (root / "holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"data")
        file.truncate(5 << 20)
    (root / os.fsdecode(b"raw\xff")).write_text("")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "sock"))
    listener.close()
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(0, 1_700_000_000_123_456_789), follow_symlinks=False)
    return root


def test_another_reader_finds_the_same_tree(tree: Path) -> None:
    data = written(tree, b"top")
    archive = tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape")
    found = {member.name: member for member in archive}
    expected = {"top"} | {f"top/{path.relative_to(tree)}" for path in tree.rglob("*") if not path.is_socket()}
    assert set(found) == expected
    assert found["top/link"].islnk() and found["top/link"].linkname == "top/b/two"
    assert found["top/a"].linkname == "/etc/passwd" and found["top/long"].linkname == "t" * 150
    assert found["top/pipe"].isfifo() and found["top/pipe"].mode & 0o777 == os.stat(tree / "pipe").st_mode & 0o777
    assert found["top/big"].pax_headers["SCHILY.xattr.user.note"] == "v\n\0w"
    assert not found["top/b"].pax_headers
    assert all(member.mtime == 1_700_000_000 and member.uid == os.getuid() for member in found.values())
    for name in ("big", "holes", "b/two"):
        assert archive.extractfile(found[f"top/{name}"]).read() == (tree / name).read_bytes()  # type: ignore[union-attr]


def test_our_own_reader_finds_the_same_and_layers_have_their_markers(tree: Path) -> None:
    (tree / ".wh.name").write_text("no marker")
    left_out: list[str] = []
    data = written(tree, layer=True, note=left_out.append)
    stream = io.BytesIO(data)
    names = [member.name for member in tarstream.TarStream(lambda n: stream.read(n), lambda: stream.tell() == len(data))]
    assert names[:3] == [b"a", b"b/", b"b/.wh..wh..opq"] and b"raw\xff" in names
    assert not any(b"/.wh.name" in name or name == b".wh.name" for name in names)
    assert left_out and "layer cannot hold" in left_out[0]
    assert b".wh.name" in written(tree, layer=True, marker_files=True)


def test_equal_trees_give_equal_bytes(tree: Path, tmp_path: Path) -> None:
    first = written(tree)
    os.rename(tree / "b", tree / "moved")
    os.rename(tree / "moved", tree / "b")
    os.utime(tree, ns=(0, 1_700_000_000_123_456_789))
    assert written(tree) == first
    assert written(tree, ids=lambda uid, gid: (5, 6)) != first


def test_numbers_beyond_the_header_s_fields() -> None:
    member = Member()
    member.name, member.uid, member.gid, member.size = b"n" * 101, 4_000_000_000, 3_000_000, 9 << 30
    member.mtime_ns = -5 * 10**9
    found = tarfile.TarInfo.frombuf(header(member)[-512:], "utf-8", "strict")
    assert found.uid == found.size == 0
    data = header(member)
    read = next(iter(tarstream.TarStream(io.BytesIO(data).read, lambda: False)))
    assert (read.name, read.uid, read.gid, read.size, read.mtime_ns) == (member.name, member.uid, member.gid, 9 << 30, -5 * 10**9)


def test_a_file_that_shrinks_while_it_is_read_keeps_the_archive_whole(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"1" * 200_000)

    class Shrinking(CallSink):
        def copy(self, fd: int, at: int, size: int) -> int:
            os.truncate(root / "file", 100_000)
            return super().copy(fd, at, size)

    parts: list[bytes] = []
    writer = TreeWriter(Shrinking(parts.append))
    fd = os.open(root, os.O_PATH)
    writer.tree(fd)
    writer.close()
    os.close(fd)
    member = tarfile.open(fileobj=io.BytesIO(b"".join(parts))).getmembers()[0]
    assert member.size == 200_000 and len(b"".join(parts)) == 512 + 200_192 + 1024

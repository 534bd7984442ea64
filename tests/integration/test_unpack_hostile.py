"""Layers as an attacker makes them: each is unpacked like a reference would, or refused; nothing outside is touched."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pyman.errors import ImageError, PymanError
from pyman.storage import tarstream
from tests.conftest import ROOT, Run

Entry = tuple[str, str, Any]


def tar(entries: list[Entry], form: int = tarfile.PAX_FORMAT, **changes: Any) -> bytes:
    """(type, name, content or link target) members; type f file, d directory, l symlink, h hard link, c char device, p FIFO."""
    out = io.BytesIO()
    kinds = {
        "f": tarfile.REGTYPE,
        "d": tarfile.DIRTYPE,
        "l": tarfile.SYMTYPE,
        "h": tarfile.LNKTYPE,
        "c": tarfile.CHRTYPE,
        "p": tarfile.FIFOTYPE,
    }
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for kind, name, value in entries:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kinds[kind], 0o755 if kind == "d" else 0o644
            for key, change in changes.items():
                setattr(member, key, change)
            data = value if isinstance(value, bytes) else b""
            member.size = len(data)
            member.linkname = value if isinstance(value, str) else ""
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


SCRIPT = """
import json, os, resource, sys
sys.path.insert(0, {root!r})
from pyman.rootless import userns
from pyman.storage import unpack
job = json.loads(sys.argv[2])
def body():
    fd = os.open(sys.argv[1], os.O_RDONLY)
    info = unpack.unpack_layer(fd, job.pop("dest"), **job)
    info["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return info
try:
    print(json.dumps({{"info": userns.call_in_userns(body)}}))
except Exception as err:
    print(json.dumps({{"error": str(err), "kind": type(err).__name__}}))
"""


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """unpack(bytes, **job): the answer of unpack_layer run in a user namespace, into tmp_path/dest."""
    (tmp_path / "dest").mkdir()
    (tmp_path / "outside").write_text("host")

    def run(data: bytes, **job: Any) -> dict[str, Any]:
        (tmp_path / "layer").write_bytes(data)
        job = {"dest": str(tmp_path / "dest"), "media_type": "", **job}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(root=str(ROOT)), str(tmp_path / "layer"), json.dumps(job)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run


HOSTILE: list[tuple[str, list[Entry], str]] = [
    ("parent", [("f", "../outside", b"x")], ".. component"),
    ("parent inside", [("f", "a/../../outside", b"x")], ".. component"),
    ("hard link outside", [("h", "link", "../outside")], ".. component"),
    ("hard link to nothing", [("h", "link", "nothing")], "does not exist"),
    ("hard link to a directory", [("d", "dir", None), ("h", "link", "dir")], "directory"),
    ("whiteout of ..", [("f", "dir/.wh...", b"")], "names nothing"),
    ("whiteout of .", [("f", ".wh..", b"")], "names nothing"),
    ("long component", [("f", "n" * 256, b"")], "longer than 255"),
    ("symlink loop", [("l", "proc", "/proc/self/root"), ("f", "proc/magic", b"x")], "symbolic links"),
    ("file below a file", [("f", "a", b""), ("f", "a/b", b"")], "a/b"),
]


@pytest.mark.parametrize("name, entries, word", HOSTILE, ids=[case[0] for case in HOSTILE])
def test_refused(unpack: Callable[..., dict[str, Any]], tmp_path: Path, name: str, entries: list[Entry], word: str) -> None:
    answer = unpack(tar(entries))
    assert word in answer["error"] and answer["kind"] == "ImageError"
    assert (tmp_path / "outside").read_text() == "host" and not (tmp_path / "dest/outside").exists()


def test_links_never_lead_out(unpack: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    entries: list[Entry] = [
        ("l", "abs", "/"),
        ("l", "up", "../../../../../.."),
        ("f", "abs/written", b"1"),
        ("f", "up/also", b"2"),
        ("l", "outlink", str(tmp_path / "outside")),
        ("f", "outlink", b"replaced"),
        ("f", "/absolute", b"3"),
        ("f", "hardtarget", b"4"),
        ("h", "hard", "/hardtarget"),
    ]
    assert "info" in unpack(tar(entries))
    dest = tmp_path / "dest"
    assert (dest / "written").read_bytes() == b"1" and (dest / "also").read_bytes() == b"2"
    assert (dest / "outlink").read_bytes() == b"replaced" and (tmp_path / "outside").read_text() == "host"
    assert (dest / "absolute").read_bytes() == b"3" and (dest / "hard").stat().st_nlink == 2
    assert not os.path.exists("/written")


def test_whiteouts_opaque_and_replacements(unpack: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    entries: list[Entry] = [
        ("f", "dir/.wh.gone", b""),
        ("f", "dir/.wh..wh..opq", b""),
        ("d", "becomes", None),
        ("f", "becomes/inner", b""),
        ("f", "becomes", b"file"),
        ("f", "was", b"x"),
        ("d", "was", None),
        ("c", "null", None),
        ("p", "pipe", None),
    ]
    answer = unpack(tar(entries))
    dest = tmp_path / "dest"
    info = os.lstat(dest / "dir/gone")
    assert stat.S_ISCHR(info.st_mode) and info.st_rdev == 0
    assert os.getxattr(dest / "dir", "user.overlay.opaque") == b"y"
    assert (dest / "becomes").read_bytes() == b"file" and (dest / "was").is_dir()
    assert stat.S_ISFIFO(os.lstat(dest / "pipe").st_mode) and not (dest / "null").exists()
    assert any("null" in note for note in answer["info"]["notes"])


@pytest.mark.parametrize(
    "headers, word",
    [
        ({"path": "../x"}, ".. component"),
        ({"size": "99999999999"}, "ends in the middle"),
        ({"size": "-5"}, "not a number"),
        ({"SCHILY.xattr.user.overlay.redirect": "/etc"}, "steers the overlay"),
        ({"GNU.sparse.major": "1"}, "sparse"),
    ],
)
def test_pax_overrides(unpack: Callable[..., dict[str, Any]], headers: dict[str, str], word: str) -> None:
    assert word in unpack(tar([("f", "a", b"data")], pax_headers=headers))["error"]


def test_modes_owners_and_times(unpack: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    unpack(tar([("f", "su", b"x")], mode=0o4755, mtime=1234567890, uid=5, gid=6))
    info = os.lstat(tmp_path / "dest/su")
    assert stat.S_IMODE(info.st_mode) == 0o4755 and info.st_mtime == 1234567890 and info.st_uid != os.getuid()
    assert "outside your subordinate id range" in unpack(tar([("f", "b", b"x")], uid=5_000_000))["error"]


def test_what_a_directory_hands_on_is_not_taken(unpack: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert "info" in unpack(tar([("d", "dir", None)], mode=0o2777, gid=6))  # new files get its group, by the kernel
    assert "info" in unpack(tar([("f", "dir/plain", b"x"), ("f", "dir/plain", b"xy")], mode=0o2666))
    info = os.lstat(tmp_path / "dest/dir/plain")
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_size) == (0o2666, os.getuid(), os.getgid(), 2)


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_digests_are_verified(unpack: Callable[..., dict[str, Any]], compress: Callable[[bytes], bytes]) -> None:
    plain = tar([("f", "a", b"x" * 100000)])
    data = compress(plain)
    digest, diff_id = hashlib.sha256(data).hexdigest(), hashlib.sha256(plain).hexdigest()
    assert unpack(data, digest=digest, size=len(data), diff_id=diff_id)["info"]["diff_id"] == diff_id
    assert "digest is" in unpack(data, digest="0" * 64)["error"]
    assert "diff id is" in unpack(data, diff_id="0" * 64)["error"]
    assert "the manifest says" in unpack(data, size=len(data) + 1)["error"]
    assert "error" in unpack(data[: len(data) // 2])


def test_memory_stays_bounded_and_bombs_are_refused(unpack: Callable[..., dict[str, Any]]) -> None:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as file:
        file.write(tar([("f", "zeros", b"\0" * (200 << 20))]))
    answer = unpack(out.getvalue())["info"]
    assert answer["size"] == 200 << 20 and answer["rss"] < 64 << 10


def _read(data: bytes) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        piece = stream.read(size)
        if len(piece) != size:
            raise ImageError("damaged layer", "it ends")
        return piece

    return read


BASE = tar([("f", "name", b"data"), ("l", "link", "x" * 150), ("d", "dir/" * 30, None)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), max_size=8))
def test_damaged_headers_raise_nothing_unexpected(changes: list[tuple[int, int]]) -> None:
    data = bytearray(BASE)
    for at, value in changes:
        data[at] = value
    # Repair the checksums, so that the damage reaches the code behind them.
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            total = sum(data[at : at + 148]) + 256 + sum(data[at + 156 : at + 512])
            data[at + 148 : at + 156] = b"%06o\0 " % total
    try:
        for member in tarstream.TarStream(_read(bytes(data)), lambda: False):
            assert len(member.name) <= 4096
    except PymanError:
        pass


@given(st.binary(min_size=512, max_size=512))
def test_checksums_are_the_sum_of_all_bytes(header: bytes) -> None:
    assert tarstream._checksum(header) == sum(header[:148]) + 256 + sum(header[156:])
    full = b"\xff" * 512
    assert tarstream._checksum(full) == sum(full[:148]) + 256 + sum(full[156:])


def test_deep_trees_are_removed(pyman: Run, image: str) -> None:
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"
    pyman("run", "--rm", "--network", "none", image, "sh", "-c", script)


def test_headers_cannot_take_memory_without_bound(unpack: Callable[..., dict[str, Any]]) -> None:
    huge = {f"key{number}": "x" * 100 for number in range(12_000)}
    assert (
        "too much" in unpack(tar([("f", "a", b"")], pax_headers=huge))["error"]
        or "describes one file" in unpack(tar([("f", "a", b"")], pax_headers=huge))["error"]
    )
    assert "NUL" in unpack(tar([("f", "a", b"")], pax_headers={"SCHILY.xattr.user.a\0b": "x"}))["error"]

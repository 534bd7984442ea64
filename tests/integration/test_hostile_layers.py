"""More layers and archives of an attacker: sizes, depths, odd names, members that replace each other, links in archives."""

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

from tests.conftest import ROOT, Run
from tests.integration.test_unpack_hostile import SCRIPT, Entry, tar

Unpack = Callable[..., dict[str, Any]]


@pytest.fixture
def layer(tmp_path: Path) -> Unpack:
    """layer(bytes): the answer of unpack_layer run in a user namespace, into tmp_path/dest."""
    (tmp_path / "dest").mkdir()
    (tmp_path / "outside").write_text("host")

    def run(data: bytes, media_type: str = "") -> dict[str, Any]:
        (tmp_path / "layer").write_bytes(data)
        job = json.dumps({"dest": str(tmp_path / "dest"), "media_type": media_type})
        argv = [sys.executable, "-c", SCRIPT.format(root=str(ROOT)), str(tmp_path / "layer"), job]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run


def header(name: bytes, kind: bytes) -> bytes:
    """One ustar header without data; much faster than tarfile."""
    prefix, name = (name[: len(name) - 100].rstrip(b"/"), name[-100:].lstrip(b"/")) if len(name) > 100 else (b"", name)
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000755\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148], block[148:156] = b"00000000000\0", b"00000000001\0", b" " * 8
    block[156:157], block[257:265] = kind, b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_very_many_entries_take_no_memory(layer: Unpack) -> None:
    """Directories are the worst: their times are set late."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for number in range(150_000):
            file.write(header(b"%0150d/%020d" % (number % 7, number), b"5"))
        for number in range(50_000):
            file.write(header(b"file%d" % (number % 100), b"0"))
    answer = layer(out.getvalue())["info"]
    assert answer["entries"] == 200_000 and answer["rss"] < 64 << 10


def test_a_bomb_behind_the_end(layer: Unpack) -> None:
    out = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(out, closefd=False) as file:
        file.write(tar([("f", "a", b"")]))
        zeros = bytes(1 << 24)
        for _ in range(70):
            file.write(zeros)
    answer = layer(out.getvalue())
    assert "bomb" in answer["error"] and answer["kind"] == "ImageError"


def test_members_of_different_types_replace_each_other(layer: Unpack, tmp_path: Path) -> None:
    values = {"f": b"data", "d": None, "l": str(tmp_path / "outside"), "h": "target", "p": None}
    entries: list[Entry] = [("f", "target", b"linked")]
    for first, one in values.items():
        for second, two in values.items():
            entries += [(first, first + second, one), (second, first + second, two)]
    assert "info" in layer(tar(entries))
    kinds = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK, "h": stat.S_ISREG, "p": stat.S_ISFIFO}
    for first in values:
        for second, fits in kinds.items():
            path = tmp_path / "dest" / (first + second)
            assert fits(os.lstat(path).st_mode), path
            if second in "fh":
                assert path.read_bytes() == (b"data" if second == "f" else b"linked")
    assert (tmp_path / "dest/target").read_bytes() == b"linked" and (tmp_path / "outside").read_text() == "host"


@pytest.mark.parametrize(
    "entries, headers, word",
    [
        ([("h", "link", "x")], {"linkpath": "../outside"}, ".. component"),
        ([("h", "link", "x")], {"linkpath": "/../outside"}, ".. component"),
        ([("f", "dir/.wh.gone", b""), ("h", "link", "dir/.wh.gone")], {}, "hard link"),
        ([("f", "dir/.wh.gone", b""), ("h", "link", "dir/gone")], {}, "does not exist"),
        ([("l", "way", "/"), ("h", "link", "way/../outside")], {}, ".. component"),
        ([("f", "x", b"")], {"path": "a/./../b"}, ".. component"),
        ([("f", "x", b"")], {"path": "a" * 5000}, "more than 4096"),
        ([("d", "x", None)], {"path": "a/b\0c"}, "NUL"),
        ([("l", "x", "y")], {"linkpath": "a\0b"}, "NUL"),
        ([("f", "x", b"")], {"uid": "-1"}, "not a number"),
        ([("f", "x", b"")], {"gid": "4294967295"}, "no id"),
        ([("f", "x", b"")], {"uid": "9999999999999999999"}, "no id"),
    ],
)
def test_links_and_records(layer: Unpack, tmp_path: Path, entries: list[Entry], headers: dict[str, str], word: str) -> None:
    answer = layer(tar(entries, pax_headers=headers))
    assert word in answer["error"], answer
    assert (tmp_path / "outside").read_text() == "host" and os.lstat(tmp_path / "outside").st_nlink == 1


def test_size_records_of_members_without_data(layer: Unpack, tmp_path: Path) -> None:
    """A size that only the record has would make the reader take the next headers for data."""
    assert "info" in layer(tar([("d", "dir", None), ("l", "link", "dir"), ("f", "after", b"")], pax_headers={"mtime": "1"}))
    answer = layer(tar([("d", "dir", None)], pax_headers={"size": "512"}) + tar([("f", "hidden", b"")]))
    assert "info" in answer and not (tmp_path / "dest/hidden").exists()


def test_odd_names_are_kept(layer: Unpack, tmp_path: Path) -> None:
    names = ["new\nline", "\x1b[2J", "n" * 255, "über", "./dot//slash", "-rf", " ", "\\", "~"]
    data = tar([("f", name, b"x") for name in names]) + b""
    assert layer(data)["info"]["entries"] == len(names)
    raw = tarfile.TarInfo("bad")
    raw.size = 0
    block = raw.tobuf(tarfile.USTAR_FORMAT).replace(b"bad", b"\xff\xfe\x80", 1)
    total = sum(block[:148]) + 256 + sum(block[156:512])
    assert "info" in layer(block[:148] + b"%06o\0 " % total + block[156:] + bytes(1024))
    found = set(os.listdir(os.fsencode(tmp_path / "dest")))
    assert {b"new\nline", b"\x1b[2J", b"n" * 255, b"\xff\xfe\x80", b"-rf", b"dot"} <= found


def test_opaque_at_the_root(layer: Unpack, tmp_path: Path) -> None:
    assert "info" in layer(tar([("f", ".wh..wh..opq", b""), ("f", "a", b"")]))
    assert os.getxattr(tmp_path / "dest", "user.overlay.opaque") == b"y" and os.listdir(tmp_path / "dest") == ["a"]


def test_trees_of_any_depth(layer: Unpack, tmp_path: Path) -> None:
    """Six thousand levels, by way of symlinks: made, replaced by a file, and removed without recursion."""
    deep = "/".join(["d"] * 2000)
    entries: list[Entry] = [("f", f"{deep}/f", b""), ("l", "one", deep), ("f", f"one/{deep}/f", b"")]
    entries += [("l", "two", f"one/{'d/' * 1999}d"), ("f", f"two/{deep}/f", b"")]
    assert "info" in layer(tar(entries))
    assert "info" in layer(tar([*entries, ("f", "d", b"file")]))
    assert (tmp_path / "dest/d").read_bytes() == b"file"


def test_names_and_records_at_their_bounds(layer: Unpack, tmp_path: Path) -> None:
    def member(name: str, **records: str) -> bytes:
        info = tarfile.TarInfo(name)
        info.pax_headers = {f"SCHILY.xattr.user.{key}": value for key, value in records.items()}
        return info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)

    assert "more than 4096 bytes" in layer(member("/".join(["d"] * 4000) + "/f"))["error"]
    assert "longer than 255 bytes" in layer(member("n" * 256))["error"]
    assert "refused layer" in layer(member("f", **{f"a{number}": "x" for number in range(20_000)}))["error"]
    answer = layer(member("/".join(["d"] * 2000) + "/" + "n" * 90))["info"]
    assert answer["entries"] == 1 and answer["rss"] < 64 << 10
    assert "info" in layer(member("d"))  # a file in its place: pytest could not remove such a depth
    assert (tmp_path / "dest/d").is_file()
    links = header(b"f", b"0") + b"".join(header(b"l%d" % number, b"0") for number in range(20_000))
    answer = layer(links + bytes(1024))["info"]
    assert answer["entries"] == 20_001 and answer["rss"] < 64 << 10 and len(os.listdir(tmp_path / "dest")) >= 20_001


def test_the_child_writes_to_its_own_directory_only(tmp_path: Path) -> None:
    """What hostile data could make of the reader: here it really tries to leave."""
    script = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pyman.storage import unpacker
base = sys.argv[2]
def attempt(_done):
    with open(base + "/dest/result", "w") as out:
        for action in (lambda: open(base + "/other/file", "w"), lambda: os.listdir(base + "/other"), lambda: os.execv("/bin/true", ["true"]),
                       lambda: os.rename(base + "/dest/result", base + "/other/result"), lambda: os.symlink("x", base + "/other/link")):
            try:
                action()
                print("done", file=out)
            except OSError as err:
                print(err.errno, file=out)
fd = os.open(base + "/layer", os.O_RDONLY)
unpacker.unpack_confined(fd, base + "/dest", media_type="", single=True, progress=attempt)
"""
    for name in ("dest", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "layer").write_bytes(tar([("f", "a", b"")]))
    subprocess.run([sys.executable, "-c", script, str(ROOT), str(tmp_path)], check=True)
    result = (tmp_path / "dest/result").read_text().split()
    assert len(result) == 5 and set(result) <= {"13", "18"}, result  # EACCES; EXDEV where the kernel cannot tell the rights apart


# ---- archives ----


def archive(path: Path, entries: list[Entry]) -> Path:
    path.write_bytes(tar(entries))
    return path


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


LAYER = tar([("f", "a", b"x")])
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]}}).encode()


def docker(manifest: Any, *more: Entry) -> list[Entry]:
    return [("f", "manifest.json", json.dumps(manifest).encode()), *more]


GOOD = {"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"]}
FILES: tuple[Entry, ...] = (("f", "config.json", CONFIG), ("f", "layer.tar", LAYER))
ARCHIVES: dict[str, list[Entry]] = {
    "manifest is a fifo": [("p", "manifest.json", None)],
    "manifest is a link to the host": [("l", "manifest.json", "/etc/passwd")],
    "manifest is a directory": [("d", "manifest.json", None)],
    "manifest is a number": docker(1),
    "manifest of nulls": docker([None, 1, "x", {}]),
    "layers are numbers": docker([{**GOOD, "Layers": [1]}], *FILES),
    "layers are objects": docker([{**GOOD, "Layers": [{"a": 1}]}], *FILES),
    "layer outside": docker([{**GOOD, "Layers": ["../../../../../../../etc/passwd"]}], *FILES),
    "layer with a NUL": docker([{**GOOD, "Layers": ["a\0b"]}], *FILES),
    "layer is a link to the host": docker([GOOD], ("f", "config.json", CONFIG), ("l", "layer.tar", "/etc/passwd")),
    "layer is a fifo": docker([GOOD], ("f", "config.json", CONFIG), ("p", "layer.tar", None)),
    "config outside": docker([{**GOOD, "Config": "/etc/passwd"}], *FILES),
    "config is a list": docker([{**GOOD, "Config": []}], *FILES),
    "config is a directory": docker([GOOD], ("d", "config.json", None), ("f", "layer.tar", LAYER)),
    "tags are numbers": docker([{**GOOD, "RepoTags": [1, None]}], *FILES),
    "tags are a number": docker([{**GOOD, "RepoTags": 1}], *FILES),
    "tags lead outside": docker([{**GOOD, "RepoTags": ["../../x:1"]}], *FILES),
    "tags of another": docker([{**GOOD, "RepoTags": ["localhost/a b:1"]}], *FILES),
    "surrogates": docker([{**GOOD, "RepoTags": ["a\ud800:1"], "Layers": ["\ud800"]}], *FILES),
    "deep": [("f", "d/" * 2040 + "f", b"")],
    "names outside": [("f", "../manifest.json", b"")],
}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_docker_archives(pyman: Run, image: str, base: Path, name: str) -> None:
    path = archive(base / "evil.tar", ARCHIVES[name])
    before = pyman("images", "-a", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout
    done = pyman("pull", "-q", f"docker-archive:{path}", rc=125)
    assert "Traceback" not in done.stderr and "Error: " in done.stderr and "root:x" not in done.stderr, done.stderr
    assert pyman("images", "-a", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout == before
    unfinished = base / "home/.local/share/pyman/tmp"
    assert not unfinished.exists() or not os.listdir(unfinished)


def oci(base: Path, *changes: Entry, index: Any = None) -> Path:
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(LAYER), "size": len(LAYER)}],
    }
    blob = json.dumps(manifest).encode()
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(blob), "size": len(blob)}
    top = index if index is not None else {"schemaVersion": 2, "manifests": [entry]}
    entries: list[Entry] = [("f", "index.json", json.dumps(top).encode())]
    entries += [("f", f"blobs/sha256/{digest_of(data)[7:]}", data) for data in (blob, CONFIG, LAYER)]
    return archive(base / "evil-oci.tar", [*entries, *changes])


def test_oci_archives(pyman: Run, base: Path) -> None:
    outside = base / "outside-of-archives"
    outside.mkdir(exist_ok=True)
    for data in (LAYER, CONFIG):
        (outside / digest_of(data)[7:]).write_bytes(data)
    pyman("pull", "-q", f"oci-archive:{oci(base)}:")
    pyman("rmi", "-f", "localhost/evil-oci", rc=None)
    layer = f"blobs/sha256/{digest_of(LAYER)[7:]}"
    pyman("image", "prune", "-af")
    # The right bytes, behind a link that leads out of the archive: whoever made it cannot make us read there.
    for change in (
        ("l", layer, str(outside / digest_of(LAYER)[7:])),
        ("p", layer, None),
        ("l", layer, "/dev/zero"),
        ("l", f"blobs/sha256/{digest_of(CONFIG)[7:]}", str(outside / digest_of(CONFIG)[7:])),
        ("l", "index.json", "/proc/self/fd/0"),
    ):
        done = pyman("pull", "-q", f"oci-archive:{oci(base, change)}", rc=125)
        assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "index",
    [{}, [], {"manifests": 1}, {"manifests": [1]}, {"manifests": [{}]}, {"manifests": [{"annotations": 1}]}]
    + [{"manifests": [{"annotations": {"org.opencontainers.image.ref.name": name}}]} for name in (1, [], "../x", "a\x1b[2J", "\ud800")],
    ids=repr,
)
def test_indexes_of_archives(pyman: Run, base: Path, index: Any) -> None:
    for tag in ("", ":latest"):
        done = pyman("pull", "-q", f"oci-archive:{oci(base, index=index)}{tag}", rc=125)
        assert "Traceback" not in done.stderr, done.stderr


def test_a_layout_with_a_device_for_a_layer_ends(pyman: Run, base: Path) -> None:
    """In a directory of the user's own links may lead elsewhere; a device is no blob all the same."""
    path = base / "evil-layout"
    path.mkdir()
    with tarfile.open(oci(base)) as tar_file:
        tar_file.extractall(path)
    blob = path / "blobs/sha256" / digest_of(LAYER)[7:]
    blob.unlink()
    blob.symlink_to("/dev/zero")
    assert "regular file" in pyman("pull", "-q", f"oci:{path}", rc=125).stderr


def noise(size: int) -> bytes:
    """Bytes that no compressor makes smaller, the same each time."""
    return hashlib.shake_256(b"noise").digest(size)


@pytest.mark.parametrize("form", ["head", "middle", "end", "all"])
def test_frames_that_hold_something_else(layer: Unpack, tmp_path: Path, form: str) -> None:
    """zstd:chunked has its tables of contents in skippable frames; others put what they like into them, wherever they like."""
    compress = zstandard.ZstdCompressor().compress
    skipped = b"\x5f\x2a\x4d\x18" + (9).to_bytes(4, "little") + tar([("f", "evil", b"x")])[:9]
    plain = tar([("f", "a", b"x" * 5000), ("f", "b", b"y")])
    first, second = compress(plain[:3000]), compress(plain[3000:])
    head, middle, end = (skipped if form in (place, "all") else b"" for place in ("head", "middle", "end"))
    answer = layer(head + first + middle + second + end)["info"]
    assert answer["diff_id"] == hashlib.sha256(plain).hexdigest()
    assert sorted(os.listdir(tmp_path / "dest")) == ["a", "b"]


def test_members_of_gzip_follow_each_other(layer: Unpack) -> None:
    """eStargz: each file in a member of its own, the last one empty with the place of the table of contents in its extra field."""
    plain = tar([("f", "a", b"x" * 5000), ("f", ".no.prefetch.landmark", b"\x0f"), ("f", "stargz.index.json", b'{"version":1}')])
    members = [gzip.compress(plain[at : at + 512], mtime=0) for at in range(0, len(plain), 512)]
    footer = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0" + b"%016xSTARGZ" % 9999 + b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0"
    assert layer(b"".join(members) + footer)["info"]["diff_id"] == hashlib.sha256(plain).hexdigest()


@pytest.mark.parametrize("kind", ["zstd", "xz"])
def test_large_windows_take_no_memory(layer: Unpack, kind: str) -> None:
    """A window that an encoder may ask for is held, or refused with a reason."""
    import lzma

    plain = tar([("f", "a", noise(70 << 20 if kind == "zstd" else 1000))])  # xz allocates by what its header says
    small, large = zstandard.ZstdCompressionParameters(window_log=23), zstandard.ZstdCompressionParameters(window_log=27)
    if kind == "zstd":
        datas = [zstandard.ZstdCompressor(compression_params=which).compress(plain) for which in (small, large)]
    else:
        chains = [[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": size << 20}] for size in (8, 128)]
        datas = [lzma.compress(plain, filters=chain) for chain in chains]
    answer = layer(datas[0], "application/vnd.oci.image.layer.v1.tar")["info"]
    assert answer["rss"] < 64 << 10
    refused = layer(datas[1], "application/vnd.oci.image.layer.v1.tar")["error"]
    assert "memory" in refused.lower() and (kind == "xz" or "refused layer: its zstd frames need a window" in refused)

"""Pushes with --compression-format zstd:chunked: each file can be had by itself, and the tar can be made of what the table says."""

from __future__ import annotations

import base64
import functools
import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pyman.storage.chunked import crc64
from tests import layouts
from tests.conftest import Run
from tests.integration.test_push import PLAIN, add_member, digest, odd_layer, raw
from tests.integration.test_registry import plain_registry

NOTE = "io.github.containers.zstd-chunked."
BIG = random.Random(1).randbytes(5 << 19) + bytes(1 << 20)


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "chunked-registry") as address:
        yield address


def layer() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add = functools.partial(add_member, tar)
        add("./dir/", type=tarfile.DIRTYPE, mode=0o750, uid=1, gid=2, mtime=1_700_000_000)
        add("dir/some", b"some content", mode=0o4755, mtime=1.25, pax_headers={"mtime": "1.250000000", "atime": "2", "ctime": "3.5"})
        add("dir/hard", type=tarfile.LNKTYPE, linkname="dir/some")
        add("sym", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add("ü" * 90, b"x" * 513, pax_headers={"SCHILY.xattr.user.note": "kept"})
        add("dir/.wh.gone")
        add("empty")
        add("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        add("fifo", type=tarfile.FIFOTYPE)
        add("big", BIG)
        tar.format = tarfile.GNU_FORMAT
        add("n" * 200, b"long")
    return data.getvalue()


def frame(blob: bytes, position: str) -> bytes:
    """The zstd text at OFFSET:LENGTH:PLAIN-LENGTH[:1]."""
    at, size, plain = map(int, position.split(":")[:3])
    assert blob[at - 8 : at - 4] == b"\x50\x2a\x4d\x18" and int.from_bytes(blob[at - 4 : at], "little") == size
    text = zstandard.ZstdDecompressor().decompress(blob[at : at + size])  # needs the frame to say how large it is
    assert len(text) == plain
    return text


def made_again(split: bytes, files: dict[str, bytes]) -> bytes:
    """The tar that tar-split describes."""
    parts = []
    for position, line in enumerate(split.splitlines()):
        entry = json.loads(line)
        assert entry["position"] == position
        if entry["type"] == 2:
            parts.append(base64.b64decode(entry["payload"]))
            continue
        content = files.get(entry["name"], b"")
        assert entry.get("size", 0) == len(content)
        assert entry["payload"] == (base64.b64encode(crc64(content).to_bytes(8, "big")).decode() if content else None)
        parts.append(content)
    return b"".join(parts)


def test_files_can_be_had_by_themselves(pyman: Run, registry: str, base: Path) -> None:
    plain = layer()
    image = pyman("pull", "-q", layouts.write(base / "chunked-in", plain)).stdout.strip()
    name = f"{registry}/chunked:1"
    pyman("push", "-q", PLAIN, "--compression-format", "zstd:chunked", image, name)
    placed = json.loads(raw(f"docker://{name}"))["layers"][0]
    assert placed["mediaType"].endswith("tar+zstd")
    pyman("push", "-q", "--compression-format", "zstd:chunked", image, f"oci:{base}/chunked-oci:1")
    assert json.loads(raw(f"oci:{base}/chunked-oci:1"))["layers"] == [placed]  # it is known by now
    blob = (base / "chunked-oci/blobs/sha256" / placed["digest"][7:]).read_bytes()
    notes = placed["annotations"]
    table = json.loads(frame(blob, notes[f"{NOTE}manifest-position"]))
    at, size = map(int, notes[f"{NOTE}manifest-position"].split(":")[:2])
    assert digest(blob[at : at + size]) == notes[f"{NOTE}manifest-checksum"] and table["version"] == 1
    split = frame(blob, notes[f"{NOTE}tarsplit-position"])
    where, length = map(int, notes[f"{NOTE}tarsplit-position"].split(":")[:2])
    assert digest(blob[where : where + length]) == table["tarSplitDigest"]
    numbers = [int.from_bytes(blob[-64 + 8 * index :][:8], "little") for index in range(7)]
    positions = [*notes[f"{NOTE}manifest-position"].split(":"), *notes[f"{NOTE}tarsplit-position"].split(":")]
    assert blob.endswith(b"GNUlInUx") and numbers == [int(text) for text in positions]

    files: dict[str, bytes] = {}
    chunks = 0
    for number, entry in enumerate(table["entries"]):
        if entry["type"] == "chunk" or not entry.get("digest"):
            continue
        mine = [entry]
        while number + len(mine) < len(table["entries"]) and table["entries"][number + len(mine)]["type"] == "chunk":
            mine.append(table["entries"][number + len(mine)])
        ends = [*(chunk["offset"] for chunk in mine[1:]), entry["endOffset"]]
        parts = [zstandard.ZstdDecompressor().decompress(blob[chunk["offset"] : end]) for chunk, end in zip(mine, ends)]
        if len(mine) > 1:
            chunks += len(mine)
            for part, chunk in zip(parts, mine):
                assert digest(part) == chunk["chunkDigest"] and len(part) == chunk["chunkSize"]
            assert [chunk.get("chunkOffset", 0) for chunk in mine] == [sum(map(len, parts[:index])) for index in range(len(parts))]
        files[entry["name"]] = b"".join(parts)
        assert digest(files[entry["name"]]) == entry["digest"] and len(files[entry["name"]]) == entry["size"]
    assert chunks > 2 and files["big"] == BIG
    assert made_again(split, files) == plain

    told = {entry["name"]: entry for entry in table["entries"] if entry["type"] != "chunk"}
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert [member.name.rstrip("/") for member in tar] == [entry["name"].rstrip("/") for entry in told.values()]
    some = told["dir/some"]
    assert (some["mode"], some["modtime"], some["accesstime"], some["changetime"]) == (
        0o4755,
        "1970-01-01T00:00:01.25Z",
        "1970-01-01T00:00:02Z",
        "1970-01-01T00:00:03.5Z",
    )
    assert told["./dir/"] == {"type": "dir", "name": "./dir/", "mode": 0o750, "uid": 1, "gid": 2, "modtime": "2023-11-14T22:13:20Z"}
    assert (told["dir/hard"]["type"], told["dir/hard"]["linkName"], told["sym"]["type"]) == ("hardlink", "dir/some", "symlink")
    assert told["ü" * 90]["xattrs"] == {"user.note": base64.b64encode(b"kept").decode()}
    assert (told["null"]["type"], told["null"]["devMajor"], told["null"]["devMinor"], told["fifo"]["type"]) == ("char", 1, 3, "fifo")

    # To everybody else it is a zstd layer, also to those who want one.
    env = {"PYMAN_GRAPHROOT": str(base / "chunked-store")}
    assert pyman("pull", "-q", PLAIN, name, env=env).stdout.strip() == image
    pyman("push", "-q", PLAIN, name, f"{registry}/chunked/again:1", env=env)
    assert json.loads(raw(f"docker://{registry}/chunked/again:1"))["layers"] == [placed]
    pyman("push", "-q", PLAIN, "--compression-format", "zstd", name, f"{registry}/chunked:2", env=env)
    assert json.loads(raw(f"docker://{registry}/chunked:2"))["layers"] == [placed]
    pyman("rmi", "-af", env=env)
    pyman("manifest", "create", "chunked-list", image)
    pyman("manifest", "push", "-q", "--add-compression", "zstd:chunked", "chunked-list", f"oci:{base}/chunked-list:1")
    entries = json.loads(raw(f"oci:{base}/chunked-list:1"))["manifests"]
    assert [entry.get("annotations", {}) for entry in entries] == [{}, {"io.github.containers.compression.zstd": "true"}]
    assert "only has gzip" in pyman("push", "--compression-format", "zstd:chunked", "--format", "v2s2", image, name, rc=125).stderr
    assert (
        "levels 1 to 20" in pyman("push", "--compression-format", "zstd:chunked", "--compression-level", "21", image, name, rc=125).stderr
    )
    pyman("rmi", "-af")


def plain_tar(form: int, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, **more: Any) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form, **more) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def test_layers_that_a_table_cannot_tell_are_plain_ones(pyman: Run, registry: str, base: Path) -> None:
    """A name twice, names that are no UTF-8, records of others, data behind the end: zstd without a table, and still the same layer."""
    pax, gnu = tarfile.PAX_FORMAT, tarfile.GNU_FORMAT
    odd = [
        plain_tar(pax, ("twice", b"1"), ("twice", b"1")),
        plain_tar(gnu, ("n\udcff", b"1"), errors="surrogateescape", encoding="utf-8"),
        plain_tar(pax, ("global", b"1"), pax_headers={"comment": "x"}),
        plain_tar(pax, ("a", b"1")) + b"more",
        plain_tar(pax, ("slash/", b"")),
        plain_tar(pax, ("cont", b"1"), kind=tarfile.CONTTYPE),
        odd_layer(),
    ]
    good = plain_tar(pax, ("good", b"1"))
    image = pyman("pull", "-q", layouts.write(base / "chunked-odd", *odd, good)).stdout.strip()
    name = f"{registry}/odd:1"
    pyman("push", "-q", PLAIN, "--compression-format", "zstd:chunked", image, name)
    placed = json.loads(raw(f"docker://{name}"))["layers"]
    assert [bool(one.get("annotations")) for one in placed] == [False] * len(odd) + [True]
    env = {"PYMAN_GRAPHROOT": str(base / "chunked-store")}
    assert pyman("pull", "-q", PLAIN, name, env=env).stdout.strip() == image
    pyman("rmi", "-af", env=env)
    pyman("rmi", "-af")


def test_crc64() -> None:
    def slow(data: bytes, crc: int = 0) -> int:
        crc ^= 2**64 - 1
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0xD800000000000000 if crc & 1 else 0)
        return crc ^ (2**64 - 1)

    assert crc64(b"123456789") == 0xB90956C775A41001
    source = random.Random(0)
    for size in [*range(20), 504, 511, 512, 513, 519, 520, 521, 1024, 2000]:
        data, before = source.randbytes(size), source.getrandbits(64)
        assert crc64(data, before) == slow(data, before), size

"""Pulls of zstd:chunked layers by chunks: what the store has is not fetched; whatever a table of contents says, the layer is the right one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests import layouts
from tests.conftest import Run
from tests.integration.proxy import Proxy
from tests.integration.test_chunked import NOTE, frame
from tests.integration.test_push import PLAIN, add_member, digest, raw
from tests.integration.test_registry import copy, plain_registry

FILES = 120
Table = dict[str, Any]


def layer(changed: int = 0) -> bytes:
    """Files, of which the second version has ten others and half of a big one, two new ones, and one less."""
    data, source = io.BytesIO(), random.Random(1)
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(FILES):
            content = source.randbytes(20_000)
            if changed and (number < 9 or number == 60):
                content = random.Random(1000 + number).randbytes(20_000)
            if not (changed and number == 5):
                add_member(tar, f"usr/share/f{number}", content, mode=0o600, uid=number % 3)
        big = source.randbytes(3 << 19)
        add_member(tar, "usr/big", big[: 1 << 20] + (b"x" * (1 << 19) if changed else big[1 << 20 :]))
        add_member(tar, "usr/zeros", bytes(3 << 20))
        add_member(tar, "usr/hard", type=tarfile.LNKTYPE, linkname="usr/big")
        add_member(tar, "usr/sym", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add_member(tar, "etc/.wh.gone")
        if changed:
            add_member(tar, "new", source.randbytes(50_000))
            add_member(tar, "also new", random.Random(7).randbytes(20_000))
    return data.getvalue()


def contents(plain: bytes) -> list[str]:
    """Lines as sha256sum writes them."""
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        found = [(member.name, tar.extractfile(member)) for member in tar if member.isreg() and ".wh." not in member.name]
        return sorted(f"{hashlib.sha256(file.read()).hexdigest()}  ./{name}" for name, file in found if file)


class Place:
    """A registry behind a proxy with two versions of an image, and a store that has the first."""

    def __init__(self, run: Run, address: str, base: Path, home: Path) -> None:
        self._run, self.address, self.base = run, address, base
        self.proxy = Proxy(address)
        self.env = {"PYMAN_GRAPHROOT": str(base / "s"), "XDG_CONFIG_HOME": str(home)}
        self.root = base / "s"

    def __call__(self, *args: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self._run(*args, env=self.env, **more)

    def switch(self, how: str) -> None:
        """Configure."""
        conf = Path(self.env["XDG_CONFIG_HOME"]) / "pyman/containers.toml"
        conf.parent.mkdir(exist_ok=True)
        conf.write_text(f'[storage]\npartial_pulls = "{how}"\n')

    def fetch(self, name: str) -> int:
        """Pull; the bytes of blobs that were fetched."""
        self.proxy.answers.clear()
        self("pull", "-q", PLAIN, f"{self.proxy.address}/{name}")
        return sum(size for path, _, size in self.proxy.answers if "/blobs/" in path)

    def pull(self, name: str) -> int:
        """Pull the second version, look at each file, remove; the bytes of blobs that were fetched."""
        size = self.fetch(name)
        diff = digest(layer(1))[7:]
        tree = self.root / f"layers/{diff}/diff"
        script = f"cd {tree} && find . -type f ! -path ./usr/hard -exec sha256sum {{}} + && stat -c '%u %a %h' usr/share/f1 usr/hard"
        *found, owner, links = self("unshare", "sh", "-c", script).stdout.splitlines()
        assert sorted(found) == contents(layer(1)) and (owner, links) == ("1 600 1", "0 644 2")
        assert self("system", "check").stdout == ""
        self("rmi", f"{self.proxy.address}/{name}")
        return size


@pytest.fixture(scope="module")
def place(pyman: Run, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("chunks")
    with plain_registry(base / "chunks-registry") as address:
        place = Place(pyman, address, base, home)
        for version in (0, 1):
            image = place("pull", "-q", layouts.write(home / f"in{version}", layer(version))).stdout.strip()
            where = f"oci:{home}/v{version}:latest"
            place("push", "-q", PLAIN, "--compression-format", "zstd:chunked", "--force-compression", image, where)
            copy(str(home / f"v{version}"), f"docker://{address}/image:{version}", "--dest-tls-verify=false")
            place("rmi", "-af")
        place("pull", "-q", PLAIN, f"{place.proxy.address}/image:0")
        place.switch("always")
        yield place
        place("rmi", "-af")
        place.proxy.close()


def size_of(name: str) -> int:
    return int(json.loads(raw(f"docker://{name}"))["layers"][0]["size"])


def test_what_the_store_has_is_not_fetched(place: Place) -> None:
    """Also where connections break, and from a registry that knows one range a request or none; not if it is not worth it."""
    name = "image:1"
    whole = size_of(f"{place.address}/{name}")
    assert place.pull(name) < whole * 0.5  # big, new and ten others
    assert [status for path, status, _ in place.proxy.answers if "/blobs/" in path][1:] == [206, 206]  # behind the configuration
    place.proxy.cut_blobs = 3
    assert place.pull(name) < whole
    assert not place.proxy.cut_blobs
    place.proxy.ranges = 1
    assert place.fetch(name) < whole * 0.6
    place("rmi", f"{place.proxy.address}/{name}")
    place.proxy.ranges = 0
    assert place.fetch(name) >= whole
    place("rmi", f"{place.proxy.address}/{name}")
    place.proxy.ranges = -1
    assert place("pull", PLAIN, f"{place.address}/{name}").stderr.count("the rest was there") == 1
    place("rmi", f"{place.address}/{name}")
    for how in ("never", "auto"):  # the registry is this machine's
        place.switch(how)
        assert place.fetch(name) >= whole
        place("rmi", f"{place.proxy.address}/{name}")
    place.switch("always")


def test_files_that_are_not_what_they_were_are_fetched(place: Place) -> None:
    diff = place.root / f"layers/{digest(layer())[7:]}/diff"
    alter = "printf changed | dd of=f11 conv=notrunc status=none; rm f12; ln -s f11 f12; rm f13; mkfifo f13; rm f14; mkdir f14; : > f17"
    place("unshare", "sh", "-c", f"cp -a {diff}/usr/share {place.root}/kept && cd {diff}/usr/share && {alter}")
    place.fetch("image:1")
    place("unshare", "sh", "-c", f"cd {diff}/usr && rm -r share && mv {place.root}/kept share")
    assert place("system", "check").stdout == ""
    place("rmi", f"{place.proxy.address}/image:1")


def change_name(table: Table) -> None:
    files(table)[3]["name"] = "../../../../etc/hostname"


def files(table: Table) -> list[dict[str, Any]]:
    """The entries with content."""
    return [entry for entry in table["entries"] if entry.get("digest")]


def swap(table: Table) -> None:
    """The places of two files that are to be fetched."""
    one, two = files(table)[0], files(table)[1]
    for key in ("offset", "endOffset"):
        one[key], two[key] = two[key], one[key]


def lie(table: Table) -> None:
    """A file's content is said to be what the store has there."""
    source = random.Random(1)
    files(table)[1]["digest"] = [digest(source.randbytes(20_000)) for _ in range(2)][1]


def set_all(**values: Any) -> Callable[[Table], None]:
    def change(table: Table) -> None:
        for entry in files(table):
            entry.update(values)

    return change


def update(number: int, **values: Any) -> Callable[[Table], None]:
    return lambda table: files(table)[number].update(values)


def many(table: Table) -> None:
    table["entries"] += [{"type": "reg", "name": f"x{number}", "size": 1, "digest": "x"} for number in range(50_001)]


HOSTILE: dict[str, Callable[[Table], Any]] = {
    "another content": lie,
    "another layer's path": change_name,
    "places swapped": swap,
    "behind the layer": update(0, offset=1 << 50, endOffset=(1 << 50) + 9),
    "negative": update(0, offset=-1),
    "end before begin": update(0, endOffset=0),
    "the same chunk for all": set_all(offset=0, endOffset=1000, digest="sha256:" + "0" * 64),
    "a huge file": update(0, size=1 << 60),
    "a huge file of zeros": update(0, size=1 << 60, chunkType="zeros"),
    "zeros instead of content": update(0, chunkType="zeros"),
    "all zeros": set_all(chunkType="zeros", digest="sha256:" + "0" * 64),
    "sizes that are no numbers": update(0, size="20000"),
    "sizes that are truths": update(0, size=True),
    "names that are none": update(0, name=["x"]),
    "a digest that is none": set_all(digest=7),
    "no entries": lambda table: table.pop("entries"),
    "entries that are none": lambda table: table.update(entries=[1, "x", None, [[]]]),
    "a file less": lambda table: table["entries"].pop(next(n for n, entry in enumerate(table["entries"]) if entry.get("digest"))),
    "a file more": lambda table: table["entries"].append({"type": "reg", "name": "x", "size": 1, "offset": 1, "endOffset": 2}),
    "another tar-split": lambda table: table.update(tarSplitDigest="sha256:" + "0" * 64),
    "too many entries": many,
    "a table that is a list": lambda table: [table],
}


def forged(
    base: Path, table: bytes | Table, *, declared: int = 0, split: Callable[[bytes], bytes] | None = None
) -> tuple[bytes, dict[str, str]]:
    """The second version's layer, its chunks as they were, with another table (or its packed bytes) and tar-split; its annotations."""
    placed = json.loads(raw(f"oci:{base}/v1:latest"))["layers"][0]
    blob = (base / "v1/blobs/sha256" / placed["digest"][7:]).read_bytes()
    at = int(placed["annotations"][f"{NOTE}manifest-position"].split(":")[0])
    plain_split = frame(blob, placed["annotations"][f"{NOTE}tarsplit-position"])
    packed_split = zstandard.compress(split(plain_split) if split else plain_split)
    if isinstance(table, bytes):
        plain, packed = b"x" * declared, table
    else:
        if split:
            table["tarSplitDigest"] = digest(packed_split)
        plain = json.dumps(table).encode()
        packed = zstandard.compress(plain)
    head = blob[: at - 8]
    behind = at + len(packed) + 8
    frames = b"".join(b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data for data in (packed, packed_split))
    notes = {
        f"{NOTE}manifest-checksum": digest(packed),
        f"{NOTE}manifest-position": f"{at}:{len(packed)}:{len(plain)}:1",
        f"{NOTE}tarsplit-position": f"{behind}:{len(packed_split)}:{len(plain_split)}",
    }
    return head + frames, notes


def upload(place: Place, blob: bytes, notes: dict[str, str], name: str, work: Path) -> None:
    """An image with this layer, whose diff id is the second version's."""
    layout = work
    layouts.write(layout, layer(1))
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads((layout / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    kind = "application/vnd.oci.image.layer.v1.tar+zstd"
    manifest["layers"] = [{"mediaType": kind, "digest": digest(blob), "size": len(blob), "annotations": notes}]
    (layout / "blobs/sha256" / digest(blob)[7:]).write_bytes(blob)
    data = json.dumps(manifest).encode()
    (layout / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
    index["manifests"][0].update(digest=digest(data), size=len(data), annotations={"org.opencontainers.image.ref.name": "latest"})
    (layout / "index.json").write_text(json.dumps(index))
    copy(str(layout), f"docker://{place.address}/{name}", "--dest-tls-verify=false")


def good_table(base: Path) -> Table:
    placed = json.loads(raw(f"oci:{base}/v1:latest"))["layers"][0]
    blob = (base / "v1/blobs/sha256" / placed["digest"][7:]).read_bytes()
    value: Table = json.loads(frame(blob, placed["annotations"][f"{NOTE}manifest-position"]))
    return value


def test_tables_that_lie(place: Place, tmp_path: Path) -> None:
    """The layer is fetched as a whole, whose digest is right."""
    home = Path(place.env["XDG_CONFIG_HOME"])
    for number, (kind, change) in enumerate(HOSTILE.items()):
        print(kind)  # shown where it fails
        table = good_table(home)
        made = change(table)
        blob, notes = forged(home, made if isinstance(made, list) else table)  # type: ignore[arg-type]
        upload(place, blob, notes, f"hostile/{number}:1", tmp_path / str(number))
        assert place.fetch(f"hostile/{number}:1") >= len(blob), kind
        assert place("system", "check").stdout == "", kind
        place("rmi", f"{place.proxy.address}/hostile/{number}:1")


def lines(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[bytes], bytes]:
    """A change of a tar-split's lines."""

    def apply(split: bytes) -> bytes:
        found = [json.loads(line) for line in split.splitlines()]
        change(found)
        return b"".join(json.dumps(line).encode() + b"\n" for line in found)

    return apply


def test_tar_splits_and_frames_that_lie(place: Place, tmp_path: Path) -> None:
    """A tar-split of other bytes, names and sizes, or none at all; a table that expands without end, or is no zstd; wrong annotations."""
    home = Path(place.env["XDG_CONFIG_HOME"])
    table = good_table(home)
    bomb = zstandard.ZstdCompressor().compress(b'{"version":1,"entries":[' + b" " * (1 << 28))
    bombs = [forged(home, bomb, declared=1 << 28), forged(home, bomb, declared=100), forged(home, b"no zstd", declared=100)]
    splits = (
        lines(lambda found: found[0].update(payload=base64.b64encode(bytes(512)).decode())),
        lines(lambda found: found[0].update(payload="!")),
        lines(lambda found: found[1].update(name="x")),
        lines(lambda found: found[1].update(size=1 << 60)),
        lines(lambda found: found.pop(1)),
        lines(lambda found: found.append(found[1])),
        lambda split: b"",
        lambda split: b"[" * 10_000 + b"\n1\n",
        lambda split: b"x" * (5 << 20),
        lambda split: split + b"\n" * (1 << 26),
    )
    good, notes = forged(home, table)
    wrong = (
        {**notes, f"{NOTE}manifest-checksum": digest(b"x")},
        {**notes, f"{NOTE}manifest-position": "x"},
        {**notes, f"{NOTE}manifest-position": f"{1 << 60}:1:1:1"},
        {**notes, f"{NOTE}manifest-position": "-1:5:5:1"},
        {**notes, f"{NOTE}manifest-position": "0:1000:1000:1"},
        {**notes, f"{NOTE}manifest-position": f"0:{1 << 23}:1000:1"},
        {**notes, f"{NOTE}tarsplit-position": notes[f"{NOTE}manifest-position"][:-2]},
    )
    made = [*bombs, *(forged(home, good_table(home), split=split) for split in splits), *((good, one) for one in wrong)]
    for number, (blob, said) in enumerate(made):
        print(number)  # shown where it fails
        upload(place, blob, said, f"frames/{number}:1", tmp_path / str(number))
        assert place.fetch(f"frames/{number}:1") >= len(blob) * 0.9, number
        place("rmi", f"{place.proxy.address}/frames/{number}:1")
    upload(place, good, notes, "frames/good:1", tmp_path / "good")
    assert place.pull("frames/good:1") < len(good) * 0.5

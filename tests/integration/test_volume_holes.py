"""Files with holes in archives for `volume import` and `cp -`: they have holes again, and no description of holes does harm."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pyman.errors import ImageError
from pyman.storage import tarsparse, tarstream
from tests.conftest import Run, command, environment

FORMATS = {
    "gnu": ["-S", "--format=gnu"],
    "0.1": ["-S", "--format=posix", "--sparse-version=0.1"],
    "1.0": ["-S", "--format=posix", "--sparse-version=1.0"],
    "plain": ["--format=gnu"],
}
TEXT = b"0123456789"


def place(base: Path, volume: str) -> Path:
    return base / "home/.local/share/pyman/volumes" / volume / "_data"


@pytest.mark.parametrize("kind", FORMATS)
def test_what_gnu_tar_packs(pyman: Run, image: str, base: Path, tmp_path: Path, kind: str) -> None:
    """As a file and from a pipe; 60 parts, so that the old format's description goes on behind its header."""
    size = 1 << 26 if kind == "plain" else 1 << 40
    starts = [number << 20 for number in range(60)] + [size - 10]
    long = "x" * 120  # a name of which a record tells
    with (tmp_path / long).open("wb") as file:
        for start in starts:
            os.pwrite(file.fileno(), TEXT, start)
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", size)
    (tmp_path / "full").write_bytes(bytes(range(256)) * 64 + bytes(5000) + TEXT)
    (tmp_path / "empty").touch()
    subprocess.run(["tar", "-C", tmp_path, *FORMATS[kind], "-cf", tmp_path / "a.tar", long, "hole", "full", "empty"], check=True)
    pyman("volume", "create", "holes")
    try:
        for way in ("file", "pipe"):
            if way == "file":
                pyman("volume", "import", "holes", str(tmp_path / "a.tar"))
            else:
                with subprocess.Popen(["cat", tmp_path / "a.tar"], stdout=subprocess.PIPE) as writer:
                    subprocess.run([*command(), "volume", "import", "holes", "-"], env=environment(base), stdin=writer.stdout, check=True)
            there = place(base, "holes")
            assert sorted(os.listdir(there)) == ["empty", "full", "hole", long]
            info = (there / long).stat()
            assert info.st_size == size and info.st_blocks * 512 <= len(starts) * 65536, info
            with (there / long).open("rb") as file:
                for start in starts:
                    assert os.pread(file.fileno(), 14, max(0, start - 2)).strip(b"\0") == TEXT, start
            info = (there / "hole").stat()
            assert info.st_size == size and info.st_blocks <= 8
            assert (there / "full").read_bytes() == (tmp_path / "full").read_bytes() and not (there / "empty").stat().st_size
            for name in os.listdir(there):
                (there / name).unlink()
    finally:
        pyman("volume", "rm", "-f", "holes")


def archive(records: dict[str, str], data: bytes = TEXT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("file")
        info.size, info.pax_headers = len(data), records
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


V1 = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f", "GNU.sparse.realsize": "100"}


@pytest.mark.parametrize(
    ("records", "data", "why"),
    [
        ({"GNU.sparse.map": "0,10", "GNU.sparse.size": "5"}, TEXT, "do not make up a file"),
        ({"GNU.sparse.map": "0,5,3,5", "GNU.sparse.size": "50"}, TEXT, "do not make up a file"),
        ({"GNU.sparse.map": "0,9", "GNU.sparse.size": "50"}, TEXT, "do not make up a file"),
        ({"GNU.sparse.map": "0,10", "GNU.sparse.size": "9223372036854775808"}, TEXT, "do not make up a file"),
        ({"GNU.sparse.map": "0,-10", "GNU.sparse.size": "50"}, TEXT, "no number"),
        ({"GNU.sparse.map": "x", "GNU.sparse.size": "50"}, TEXT, "no number"),
        ({"GNU.sparse.map": ",".join("0" * 20_010), "GNU.sparse.size": "50"}, TEXT, "more than 10000 parts"),
        ({"GNU.sparse.offset": "0", "GNU.sparse.numbytes": "10", "GNU.sparse.size": "50"}, TEXT, "not known"),
        ({"GNU.sparse.major": "2"}, TEXT, "not known"),
        (V1, b"1\n0\n", "not described to the end"),
        (V1, b"2\n0\n1\n".ljust(512, b"\0"), "not described to the end"),
        (V1, b"\n".ljust(512, b"\0"), "no number"),
        (V1, b"99999999\n".ljust(5120, b"\0"), "not described to the end"),
        (V1, b"1\n0\n20\n".ljust(512, b"\0") + TEXT, "do not make up a file"),
    ],
)
def test_descriptions_that_lie(records: dict[str, str], data: bytes, why: str) -> None:
    file = io.BytesIO(archive(records, data))

    def read(size: int) -> bytes:
        found = file.read(size)
        if len(found) < size:
            raise ImageError("damaged archive", "it ends")
        return found

    stream = tarstream.TarStream(read, lambda: file.tell() >= len(file.getvalue()), sparse=True)
    with pytest.raises(ImageError, match=why):
        for member in stream:
            list(stream.data(member.size))


def test_blocks_of_noughts_are_not_written(tmp_path: Path) -> None:
    for at in (0, 1, 4095, 4096):
        for piece in (bytes(20000), b"a" + bytes(20000) + b"b", bytes(4096) + b"c" * 5000 + bytes(8192), b"d" * 9000):
            path = tmp_path / "file"
            with path.open("wb") as file:
                tarsparse.put(file.fileno(), piece, at)
                os.ftruncate(file.fileno(), at + len(piece))
            assert path.read_bytes() == bytes(at) + piece

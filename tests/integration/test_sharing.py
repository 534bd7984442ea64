"""Equal files of different layers: stored once by hard links if that is asked for, and then nothing else is different."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.integration.conftest import Own, runner
from tests.integration.test_system import disk


@pytest.fixture
def own(store: Path) -> Own:
    return runner(store)


def archive(path: Path, second: bool) -> None:
    """A root file system; the second is the first after an update."""
    busybox = Path("/bin/busybox").read_bytes()
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **facts: object) -> None:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode, info.mtime = kind, len(data), 0o755, 1_700_000_000
            for key, value in facts.items():
                setattr(info, key, value)
            tar.addfile(info, BytesIO(data))

        for directory in ("bin", "d"):
            add(directory, kind=tarfile.DIRTYPE)
        add("bin/busybox", busybox)
        add("bin/sh", kind=tarfile.SYMTYPE, linkname="busybox")
        add("d/same", b"s" * 50_000, uid=7, pax_headers={"SCHILY.xattr.user.key": "value"})
        add("d/attribute", b"a" * 50_000, pax_headers={"SCHILY.xattr.user.key": "other" if second else "value"})
        add("d/content", (b"2" if second else b"1") * 50_000)
        add("d/mode", b"m" * 50_000, mode=0o700 if second else 0o755)
        add("d/owner", b"o" * 50_000, uid=8 if second else 7)
        add("d/time", b"t" * 50_000, mtime=1_700_000_001 if second else 1_700_000_000)
        add("d/small", b"x" * 100)
        add("d/twice", b"w" * 50_000)
        add("d/twin", kind=tarfile.LNKTYPE, linkname="d/twice")
        add("d/moved2" if second else "d/moved1", b"v" * 50_000)
        add("etc/new" if second else "etc/old", b"")


def stats(own: Own, store: Path) -> list[dict[str, str]]:
    """For each image, in the order of their names: path -> "inode links time" of its files."""
    found = []
    for name in ("one", "two"):
        diff_id = own("inspect", "-f", "{{index .RootFS.Layers 0}}", name).strip().removeprefix("sha256:")
        text = own("unshare", "sh", "-c", f"cd {store}/home/.local/share/pyman/layers/{diff_id}/diff && find . -printf '%P %i %n %Ts\\n'")
        found.append({line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in text.splitlines()})
    return found


@pytest.mark.parametrize("way", ["link", "none"])
def test_sharing(own: Own, store: Path, way: str) -> None:
    conf = store / "home/.config/pyman/containers.toml"
    conf.parent.mkdir(parents=True)
    conf.write_text(f'[storage]\nshare_files = "{way}"\n')
    for number, name in enumerate(("one", "two")):
        archive(store / "root.tar", bool(number))
        own("import", "-q", str(store / "root.tar"), name)
    one, two = stats(own, store)
    shared = {path for path in one if path in two and one[path] == two[path] and path not in ("", "bin", "d", "etc")}
    assert shared == ({"bin/busybox", "d/same"} if way == "link" else set())
    assert one["d"].split()[2] == two["d"].split()[2] and two["d/same"].split()[2] == "1700000000"
    assert own("system", "check") == ""
    subprocess.run(["sync", "-f", str(store)], check=True)  # only then a file has the blocks that it keeps
    rows = json.loads(own("system", "df", "--format", "json"))
    assert sum(row["RawSize"] for row in rows) == pytest.approx(disk(store), abs=8192)
    # A container's write is its own, and a removed image takes nothing from the other.
    assert own("run", "--rm", "--network", "none", "one", "/bin/busybox", "sh", "-c", "echo changed > /d/same; wc -c < /d/same") == "8\n"
    assert own("run", "--rm", "--network", "none", "two", "/bin/busybox", "wc", "-c", "/d/same").split()[0] == "50000"
    own("rmi", "one")
    assert own("system", "check") == "" and len(os.listdir(store / "home/.local/share/pyman/layers")) == 1
    own("save", "-q", "-o", str(store / "saved.tar"), "two")  # the tar is the one that came

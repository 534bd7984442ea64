"""Volumes whose files are an image's (`volume create --driver image`)."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

NONE = ("--rm", "--network", "none")


@pytest.fixture(autouse=True)
def own_image(pyman: Run, image: str, layout: str) -> Iterator[None]:
    """An image that only these tests use: one layer more than the other."""
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)
    pyman("run", "--name", "maker", "--network", "none", image, "sh", "-c", "mkdir /data; echo image > /data/file")
    pyman("commit", "-q", "maker", "localhost/files:1")
    pyman("rm", "maker")
    yield
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)
    pyman("rmi", "-f", "localhost/files:1", rc=None)


def test_life(pyman: Run, image: str, base: Path) -> None:
    store = base / "home/.local/share/pyman"
    before = {kind: set((store / kind).glob("*")) for kind in ("volumes", "trash", "tmp")}  # other tests may have left something
    assert pyman("volume", "create", "--driver", "image", "--opt", "image=localhost/files:1", "--label", "a=b", "vi").stdout == "vi\n"
    pyman("volume", "create", "--driver", "image", "--opt", "image=localhost/files:1", "--uid", "7", "--gid", "8", "owned")
    found = json.loads(pyman("volume", "inspect", "vi").stdout)[0]
    assert found["Driver"] == "image" and found["Options"] == {"image": "localhost/files:1"} and found["MountCount"] == 0
    assert pyman("volume", "ls", "-f", "driver=image", "--format", "{{.Driver}} {{.Name}}").stdout == "image vi\nimage owned\n"

    # What is written lasts, in this volume alone.
    script = "cat /m/data/file; stat -c %u:%g:%a /m; echo mine > /m/data/file; rm -r /m/usr; touch /m/new; grep -o ' /m rw,nosuid,nodev' /proc/self/mountinfo"
    assert pyman("run", *NONE, "-v", "vi:/m", image, "sh", "-c", script).stdout == "image\n0:0:755\n /m rw,nosuid,nodev\n"
    script = "cat /m/data/file; test -e /m/usr || ls /m/new; touch /m/x || echo no"
    assert pyman("run", *NONE, "-v", "vi:/m:ro", image, "sh", "-c", script).stdout == "mine\n/m/new\nno\n"
    assert pyman("run", *NONE, "-v", "owned:/m", image, "sh", "-c", "cat /m/data/file; stat -c %u:%g /m").stdout == "image\n7:8\n"
    assert pyman("run", *NONE, "localhost/files:1", "cat", "/data/file").stdout == "image\n"

    # Containers that run at the same time see one file system.
    pyman("run", "-d", "--name", "one", "--network", "none", "-v", "vi:/m", image, "sleep", "600")
    pyman("run", *NONE, "-v", "vi:/m", image, "sh", "-c", "echo both > /m/both")
    assert pyman("exec", "one", "cat", "/m/both").stdout == "both\n"
    assert pyman("volume", "inspect", "-f", "{{.MountCount}}", "vi").stdout == "1\n"
    mount = json.loads(pyman("inspect", "-f", "{{json .Mounts}}", "one").stdout)[0]
    assert mount["Driver"] == "image" and mount["Type"] == "volume" and mount["Name"] == "vi"
    assert "is being used" in pyman("volume", "rm", "vi", rc=2).stderr

    ident = pyman("image", "inspect", "-f", "{{.Id}}", "localhost/files:1").stdout.strip()

    # The image stays as long as it has a volume, whoever wants to remove it.
    for words in (("rmi", "localhost/files:1"), ("rmi", "-f", "localhost/files:1")):
        assert "is in use by volume vi and 1 more" in pyman(*words, rc=2).stderr
    pyman("rm", "-f", "-t", "0", "one")
    pyman("untag", "localhost/files:1")
    pyman("image", "prune", "-f")
    assert pyman("run", *NONE, "-v", "vi:/m", image, "cat", "/m/both").stdout == "both\n"

    # Its archive is the whole of it, and what is imported lies over the image's files.
    archive = base / "image-volume.tar"
    pyman("volume", "export", "-o", str(archive), "vi")
    with tarfile.open(archive) as tar:
        assert tar.extractfile("data/file").read() == b"mine\n"  # type: ignore[union-attr]
        assert "bin/busybox" in {name.removeprefix("./") for name in tar.getnames()} and not any("usr" in name for name in tar.getnames())
    pyman("volume", "import", "owned", str(archive))
    script = "cat $($PYMAN volume mount owned)/both; $PYMAN volume unmount owned"
    assert pyman("unshare", "sh", "-c", script, env={"PYMAN": " ".join(command())}).stdout == "both\nowned\n"

    fuse = {"PYMAN_STORAGE_DRIVER": "fuse-overlayfs"}
    assert "need the kernel's overlay" in pyman("run", *NONE, "-v", "vi:/m", image, "true", rc=126, env=fuse).stderr

    pyman("volume", "rm", "vi")
    assert pyman("volume", "prune", "-f").stdout == "owned\n"
    pyman("image", "prune", "-f")
    pyman("image", "exists", ident, rc=1)
    for kind, entries in before.items():
        assert set((store / kind).glob("*")) <= entries, kind


def test_a_shell_of_unshare_and_containers_share_one_mount(pyman: Run, image: str, base: Path) -> None:
    """Two overlays over one upper directory would be undefined: whoever comes later takes the mount that is there."""
    pyman("volume", "create", "--driver", "image", "--opt", "image=localhost/files:1", "vi")
    place = base / "home/.local/share/pyman/volumes/vi"
    pyman_words = " ".join(command())
    script = f"stat -c %d $($PYMAN volume mount vi); read stop; cat {place}/_data/late"  # each mount has another device number
    shell = subprocess.Popen(
        [*command(), "unshare", "sh", "-c", script],
        env=environment(base, PYMAN=pyman_words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdin and shell.stdout
    number = shell.stdout.readline()
    assert number.strip().isdigit()
    assert pyman("run", *NONE, "-v", "vi:/m", image, "sh", "-c", "stat -c %d /m; echo late > /m/late").stdout == number
    # Another shell has a user namespace of its own, as no container runs whose it could share.
    refused = pyman("unshare", "sh", "-c", "$PYMAN volume mount vi", rc=125, env={"PYMAN": pyman_words})
    assert "has it in another user namespace" in refused.stderr
    pyman("volume", "export", "-o", str(base / "shared.tar"), "vi")
    with tarfile.open(base / "shared.tar") as tar:
        assert "late" in tar.getnames()
    pyman("run", "-d", "--name", "one", "--network", "none", "-v", "vi:/m", image, "sleep", "600")
    assert shell.communicate("\n", timeout=120)[0] == "late\n"
    # The container keeps it; with its end, nobody has it, and the next one mounts it anew.
    assert pyman("exec", "one", "stat", "-c", "%d", "/m").stdout == number
    pyman("rm", "-f", "-t", "0", "one")
    assert (place / "visits").exists()
    assert pyman("run", *NONE, "-v", "vi:/m", image, "cat", "/m/late").stdout == "late\n"
    assert not (place / "visits").exists()

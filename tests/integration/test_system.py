"""system df and prune: what the store takes on the disk is what they say, and what they free."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from pyman.state.lock import Lock
from tests.conftest import command, environment
from tests.integration.conftest import Own, runner


@pytest.fixture
def own(store: Path, layout: str) -> Own:
    """own(*args, rc=0) runs pyman in that store, which has two images, a volume and a container; its output."""
    run = runner(store)
    run("pull", "-q", f"oci:{layout}:latest")
    script = "dd if=/dev/zero of=/big bs=1M count=9; ln /big /bigger; dd if=/dev/zero of=/v/x bs=1M count=2"
    run("run", "--name", "box", "--network", "none", "-v", "vol:/v", "demo", "sh", "-c", script)
    run("commit", "-q", "box", "localhost/built")
    subprocess.run(["sync", "-f", str(store)], check=True)  # only then a file has the blocks that it keeps
    return run


def disk(store: Path) -> int:
    """What du says of the store."""
    args = [*command(), "unshare", "du", "-s", "-B1", str(store / "home/.local/share/pyman")]
    return int(subprocess.run(args, env=environment(store), check=True, capture_output=True, text=True).stdout.split()[0])


def test_df(own: Own, store: Path) -> None:
    rows = {row["Type"]: row for row in json.loads(own("system", "df", "--format", "json"))}
    assert sum(row["RawSize"] for row in rows.values()) == pytest.approx(disk(store), rel=0.01)
    assert list(rows) == ["Images", "Containers", "Local Volumes"]
    assert rows["Containers"]["RawSize"] == rows["Containers"]["RawReclaimable"] == pytest.approx(9 << 20, rel=0.02)
    assert rows["Local Volumes"]["RawSize"] == pytest.approx(2 << 20, rel=0.02) and rows["Local Volumes"]["RawReclaimable"] == 0
    images = rows["Images"]
    assert (images["Total"], images["TotalCount"], images["Active"]) == (2, 2, 1) and images["RawReclaimable"] < images["RawSize"]
    lines = own("system", "df").splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"] and lines[2].startswith("Containers     1 ")
    assert lines[1].endswith(images["Reclaimable"]) and f" {images['Size']} " in lines[1]
    assert own("system", "df", "--format", "{{.Type}} {{.Active}} {{.RawSize}}").splitlines()[2] == (
        f"Local Volumes 1 {rows['Local Volumes']['RawSize']}"
    )
    text = own("system", "df", "-v")
    assert "Images space usage:" in text and "UNIQUE SIZE" in text and "Local Volumes space usage:" in text
    shared = [line.split()[-3] for line in text.split("\n\n")[1].splitlines()[1:]]
    assert len(shared) == 2 and shared[0] == shared[1] != "0B"  # the demo image's layer is in both
    assert text.split("\n\n")[3].splitlines()[1].endswith("box") and text.split("\n\n")[5].splitlines()[1].split()[:2] == ["vol", "1"]
    assert "cannot combine" in own("system", "df", "-v", "--format", "json", rc=125)


def test_df_counts_all_that_du_counts(own: Own, store: Path, layout: str) -> None:
    """Artifacts, secrets, events, unfinished work, files with several names in a layer and below several ones: to the last block."""
    root = store / "home/.local/share/pyman"
    for number in range(20):
        own("secret", "create", f"word{number}", "-", input="x" * 1000)
    (store / "file").write_bytes(b"x" * 3_000_000)
    own("artifact", "add", "localhost/thing:1", str(store / "file"))
    (store / "other").write_bytes(b"y" * 1_000_000)
    own("artifact", "add", "localhost/thing:2", str(store / "file"), str(store / "other"))
    env = environment(store, PYMAN_KILL_AT="import:unpacked!")
    with open(store / "archive.tar", "wb") as archive:
        subprocess.run(["tar", "-C", str(store), "-cf", "-", "file"], stdout=archive, check=True)
    assert subprocess.run([*command(), "import", "-q", str(store / "archive.tar")], env=env, check=False, start_new_session=True).returncode
    assert list((root / "tmp").iterdir())
    for change in ("", "link"):
        if change:  # two layers that share a file
            own(
                "unshare",
                "sh",
                "-euc",
                f"cd {root}/layers; set -- */diff/bin/busybox; ln $1 $1.again; ln $1 $(ls -d */diff | tail -1)/shared",
            )
        subprocess.run(["sync", "-f", str(store)], check=True)
        rows = {row["Type"]: row for row in json.loads(own("system", "df", "--format", "json"))}
        assert sum(row["RawSize"] for row in rows.values()) == pytest.approx(disk(store), abs=8192)
    assert rows["Artifacts"]["RawSize"] == pytest.approx(4_000_000, rel=0.02) and rows["Artifacts"]["Total"] == 2
    assert rows["Images"]["RawReclaimable"] > 3_000_000  # what the killed import has left, too
    text = own("system", "df", "-v")
    assert "localhost/thing:2" in text and "left by failed commands" in text and "\nsecrets " in text


def test_prune(own: Own, store: Path, layout: str) -> None:
    root = store / "home/.local/share/pyman"
    # A pull that was killed between its layers and its record leaves a layer and blobs of nobody.
    own("rmi", "-f", "built", "demo")
    env = environment(store, PYMAN_KILL_AT="pull:blobs")
    assert subprocess.run([*command(), "pull", "-q", f"oci:{layout}:latest"], env=env, check=False).returncode == -9
    assert len(list((root / "layers").iterdir())) == 1 and len(list((root / "blobs/sha256").iterdir())) == 2
    sizes = json.loads(own("system", "df", "--format", "json"))
    assert sizes[0]["RawSize"] - 80_000 < sizes[0]["RawReclaimable"] > 100_000  # all but the store's own files
    with Lock(str(root / "layers"), shared=True):  # another pull goes on
        for args in (("image", "prune", "-f"), ("system", "prune", "-f"), ("system", "prune", "--external")):
            said = subprocess.run([*command(), *args], env=environment(store), check=True, capture_output=True, text=True).stderr
            assert "have stayed" in said and len(list((root / "layers").iterdir())) == 1
    own("system", "prune", "--external")
    assert not list((root / "layers").iterdir()) and not list((root / "blobs/sha256").iterdir())

    own("pull", "-q", f"oci:{layout}:latest")
    own("create", "--name", "kept", "--label", "stay", "demo")
    box = own("run", "-d", "--network", "none", "-v", "vol:/v", "demo", "sh", "-c", "echo x > /v/x").strip()
    own("wait", box)
    own("tag", "demo", "localhost/other")
    own("network", "create", "unused")
    assert "stdin has ended" in own("system", "prune", rc=125)
    asked = own("system", "prune", "--volumes", input="n\n")
    assert "all volumes not used" in asked and "all dangling images" in asked and "Deleted" not in asked
    assert "invalid filter" in own("system", "prune", "-f", "--filter", "name=x", rc=125)
    assert "cannot be combined" in own("system", "prune", "--all", "--external", rc=125)
    before = disk(store)
    text = own("system", "prune", "-f", "--filter", "label!=stay")
    assert text.startswith(f"Deleted Containers\n{box}\n") and "Deleted Networks\nunused\n" in text and "Deleted Images" not in text
    assert own("ps", "-aq", "--format", "{{.Names}}") == "kept\n" and own("volume", "ls", "-q") == "vol\n"
    own("rm", "kept")
    before = disk(store)
    text = own("system", "prune", "-af", "--volumes", input="")
    assert "Deleted Volumes\nvol\n" in text and text.count("\n") == 5 and "Deleted Images" in text
    freed = text.splitlines()[-1].removeprefix("Total reclaimed space: ")
    assert freed.endswith("MB") and float(freed[:-2]) * 1e6 == pytest.approx(before - disk(store), rel=0.01)
    assert not own("images", "-q") and not list((root / "layers").iterdir())
    assert json.loads(own("system", "df", "--format", "json"))[0]["RawReclaimable"] == 0, "nothing is promised that prune does not free"


def test_migrate_and_renumber(own: Own) -> None:
    assert own("system", "migrate") == own("system", "renumber") == ""
    assert "keeps the runtime" in own("system", "migrate", "--new-runtime", "crun", rc=125)


def test_layers_of_a_broken_pull_are_not_kept_for_ever(own: Own, store: Path, layout: str) -> None:
    """Those of an archive go with the next command that stores something, those of a registry after a week or with a prune."""
    root = store / "home/.local/share/pyman"
    own("rm", "-af")
    own("rmi", "-af")
    env = environment(store, PYMAN_KILL_AT="pull:blobs")
    broken = [*command(), "pull", "-q", f"oci:{layout}:latest"]
    empty = store / "empty.tar"
    tarfile.open(empty, "w").close()
    for keep, days, left in ((False, 0, 1), (True, 6, 2), (True, 8, 1)):
        assert subprocess.run(broken, env=env, check=False).returncode == -9
        (intent,) = (root / "intents").iterdir()
        file = intent / "intent.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **({"keep": True} if keep else {})}))  # as from a registry
        os.utime(file, (time.time() - days * 86400,) * 2)
        own("import", "-q", str(empty))
        assert len(list((root / "layers").iterdir())) == left, (keep, days)
        own("rmi", "-af")
        own("system", "prune", "-f")
        assert not list((root / "layers").iterdir()) and not list((root / "intents").iterdir())

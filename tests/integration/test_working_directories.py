"""Working directories that are missing: made inside what is mounted around them, and nowhere else. With pyman's own runtime: crun and runc
make them in the whole root, and follow links there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, environment
from tests.integration.conftest import Bundle
from tests.integration.test_hostile_roots import make_root
from tests.integration.test_hostile_volumes import make_image
from tests.integration.test_runtime_old_kernel import CALLS, HIDE

NONE = ("--rm", "--network", "none")
LOOK = ("sh", "-c", "pwd; stat -c '%a %u:%g' .; touch new 2>/dev/null || echo kept out")


@pytest.fixture(autouse=True)
def no_volumes(pyman: Run) -> Iterator[None]:
    yield
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of the host to be mounted; what lies beside it must stay as it is."""
    (tmp_path / "in").mkdir()
    (tmp_path / "beside").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("mask", [0, 0o77], ids=oct)
@pytest.mark.parametrize(
    ("mount", "path", "writable"),
    [
        (("-v", "wd:/wd"), "/wd/x", True),
        (("-v", "{place}:/wd"), "/wd/./x//y/", True),
        (("-v", "{place}:/wd:ro", "-v", "wd:/wd/x/v"), "/wd/x/v/y", True),
        (("-v", "{place}:/wd:O"), "/wd/x", True),
        (("-v", "wd:/wd:O"), "/wd/x", True),
        (("--tmpfs", "/wd"), "/wd/x/y/z", True),
        (("--tmpfs", "/wd:ro"), "/wd/x", False),
        (("--read-only",), "/tmp/x", True),
        (("--userns", "keep-id", "-u", "0", "-v", "wd:/wd"), "/wd/x", True),
        ((), "/dev/shm/x", True),
    ],
)
def test_it_is_made_in_a_mount(pyman: Run, image: str, place: Path, mask: int, mount: tuple[str, ...], path: str, writable: bool) -> None:
    mount = tuple(word.format(place=place) for word in mount)
    before = os.umask(mask)
    try:
        for _ in range(2):
            done = pyman("run", *NONE, "-w", path, *mount, image, *LOOK)
            assert done.stdout == os.path.normpath(path) + "\n755 0:0\n" + ("" if writable else "kept out\n")
    finally:
        os.umask(before)
    assert os.listdir(place.parent / "beside") == []


def test_it_is_the_containers_roots(pyman: Run, image: str, place: Path) -> None:
    """Whoever the user is, as with Podman; and it stays when the container is gone."""
    pyman("create", "--name", "wd-made", "--network", "none", "-u", "1000:1000", "-w", "/wd/x", "-v", "wd:/wd", image, *LOOK)
    assert pyman("start", "-a", "wd-made").stdout == "/wd/x\n755 0:0\nkept out\n"
    pyman("rm", "wd-made")
    assert pyman("run", *NONE, "-v", "wd:/v", image, "ls", "/v").stdout == "x\n"
    assert pyman("run", *NONE, "-u", "1000", "-w", "/wd/x/y", "-v", f"{place}:/wd", image, *LOOK).stdout == "/wd/x/y\n755 0:0\nkept out\n"
    assert (place / "x/y").stat().st_uid == os.getuid()


def test_that_of_an_image(pyman: Run, base: Path, place: Path) -> None:
    root = make_root(base, "wd-root")
    (root / "data").mkdir()
    layout = base / "wd-layout"
    make_image(root, layout, {"Volumes": {"/data": {}}, "WorkingDir": "/data/wk", "Cmd": ["/bin/sh", "-c", "pwd"]})
    name = pyman("pull", "-q", f"oci:{layout}:latest").stdout.strip()
    for mount in ((), ("-v", "wd:/data"), ("-v", f"{place}:/data"), ("--tmpfs", "/data")):
        assert pyman("run", *NONE, *mount, name).stdout == "/data/wk\n"
    assert os.listdir(place) == ["wk"]
    (place / "wk").rmdir()
    assert "/data/wk" in pyman("run", *NONE, "-v", f"{place}:/data:ro", name, rc=126).stderr
    assert os.listdir(place) == []
    pyman("rmi", "-f", name)


@pytest.mark.parametrize(
    "mounts",
    [
        ("-v", "{place}:/wd:ro"),
        ("-v", "wd:/wd:ro"),
        ("-v", "wd:/wd", "-v", "{place}:/wd/x:ro"),
        ("-v", "{place}:/wd:ro", "-v", "wd:/wd/in"),
        ("--mount", "type=bind,src={place},dst=/wd,readonly"),
    ],
)
def test_nothing_is_written_where_mounts_are_read_only(pyman: Run, image: str, place: Path, mounts: tuple[str, ...]) -> None:
    (place / "in").mkdir()
    mounts = tuple(word.format(place=place) for word in mounts)
    assert "/wd/x/y" in pyman("run", *NONE, *mounts, "-w", "/wd/x/y", image, "true", rc=126).stderr
    assert os.listdir(place) == ["in"] and os.listdir(place / "in") == []


def test_elsewhere_it_is_refused(pyman: Run, image: str, place: Path) -> None:
    for path in ("/nw/x", "/wd2/x", "/wd/../nw/x", "/dev/x", "/proc/x", "/sys/x", "/sys/fs/cgroup/x", "/dev/null/x"):
        assert path in pyman("run", *NONE, "-v", f"{place}:/wd", "-w", path, image, "true", rc=126).stderr
    (place / "file").touch()
    assert "/wd/file/x" in pyman("run", *NONE, "-v", f"{place}:/wd", "-w", "/wd/file/x", image, "true", rc=126).stderr
    assert "/wd/x" in pyman("run", *NONE, "-v", f"{place}/file:/wd", "-w", "/wd/x", image, "true", rc=126).stderr
    assert os.listdir(place) == ["file"]


def test_no_link_leads_out_of_the_mount(pyman: Run, image: str, place: Path) -> None:
    """Those that stay in it are followed."""
    (place / "dir").mkdir()
    outside = (
        "../beside",
        "../other",
        str(place.parent / "beside"),
        "/etc",
        "/other",
        "/nowhere",
        "../../../etc",
        "/proc/self/cwd",
        "loop",
    )
    links = {f"out{number}": target for number, target in enumerate(outside)} | {"loop": "loop", "within": "dir/../dir"}
    for name, target in links.items():
        (place / name).symlink_to(target)
    mounts = ("-v", f"{place}:/wd", "-v", f"{place.parent}/beside:/other", "-v", f"{place.parent}/beside:/ro/other:ro")
    assert pyman("run", *NONE, *mounts, "-w", "/wd/within/x", image, "pwd", "-P").stdout == "/wd/dir/x\n"
    for name in links:
        if name != "within":
            assert name in pyman("run", *NONE, *mounts, "-w", f"/wd/{name}/x", image, "true", rc=126).stderr
    assert sorted(os.listdir(place)) == sorted(["dir", *links]) and os.listdir(place / "dir") == ["x"]
    assert os.listdir(place.parent / "beside") == []


def test_one_that_is_there_is_entered_through_any_link(pyman: Run, image: str, place: Path) -> None:
    (place / "link").symlink_to("/etc")
    assert pyman("run", *NONE, "-v", f"{place}:/wd:ro", "-w", "/wd/link", image, "pwd", "-P").stdout == "/etc\n"


def test_so_it_is_without_the_callers_id(pyman: Run, image: str) -> None:
    options = (*NONE, "--userns", "nomap", "-v", "wd:/wd", "-v", "other:/other")
    assert pyman("run", *options, image, "ln", "-s", "../other", "/wd/out").stdout == ""
    assert pyman("run", *options, "-w", "/wd/x", image, *LOOK).stdout == "/wd/x\n755 0:0\n"
    for path in ("/nw/x", "/wd/out/x"):
        assert path in pyman("run", *options, "-w", path, image, "true", rc=126).stderr
    assert pyman("run", *options, image, "ls", "/other").stdout == ""


def test_exec_makes_none(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "wd-exec", "--network", "none", "-v", "wd:/wd", image, "sleep", "100")
    assert "/wd/x" in pyman("exec", "-w", "/wd/x", "wd-exec", "true", rc=127).stderr
    assert pyman("exec", "wd-exec", "ls", "/wd").stdout == ""
    pyman("rm", "-f", "-t", "0", "wd-exec")


@pytest.mark.parametrize("kernel", ["", *sorted(CALLS)])
def test_with_the_runtime_program_and_on_older_kernels(bundle: Bundle, place: Path, base: Path, kernel: str) -> None:
    bundle.spec["mounts"].append({"destination": "/wd", "type": "bind", "source": str(place), "options": ["bind"]})
    bundle.sh(LOOK[2])
    bundle.save(cwd="/wd/x/y")
    hide = [sys.executable, "-c", HIDE.format(root=str(ROOT), names=CALLS[kernel])] if kernel else []
    args = [*hide, sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), "run", "--bundle", str(bundle.path), "wd"]
    done = subprocess.run(args, capture_output=True, text=True, env=environment(base), timeout=300, check=False)
    assert (done.stdout, done.returncode) == ("/wd/x/y\n755 0:0\n", 0), done
    shutil.rmtree(place / "x")

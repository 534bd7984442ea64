"""Volumes and secrets against containers and images that mean harm: nothing of the host is read, written, owned or labelled."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layouts
from tests.conftest import Run, command, environment
from tests.integration.test_hostile_roots import make_root

NONE = ("--rm", "--network", "none")


@pytest.fixture(autouse=True)
def no_objects(pyman: Run) -> Iterator[None]:
    yield
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)
    pyman("secret", "rm", "--all", rc=None)


@pytest.fixture
def victim(base: Path) -> Iterator[Path]:
    """A directory of the host; nothing in it may change."""
    path = base / "volume-victim"
    shutil.rmtree(path, ignore_errors=True)
    (path / "sub").mkdir(parents=True)
    (path / "keep").write_text("host's own")
    (path / "sub/file").write_text("host's own")

    def state() -> list[tuple[str, int, int, int, int]]:
        found = []
        for top, dirs, files in os.walk(path):
            for name in [".", *dirs, *files]:
                info = os.lstat(os.path.join(top, name))
                found.append((os.path.join(top, name), info.st_uid, info.st_mode, info.st_size, info.st_mtime_ns))
        return sorted(found)

    before = state()
    yield path
    assert state() == before


@pytest.fixture
def swapping(pyman: Run, base: Path, victim: Path) -> Iterator[Path]:
    """A volume `race-data` in which the directory `d` is exchanged with a symlink to the victim, as fast as one core can."""
    pyman("volume", "create", "race-data")
    data = base / "home/.local/share/pyman/volumes/race-data/_data"
    (data / "d/sub").mkdir(parents=True)
    for number in range(20):
        (data / f"d/sub/{number}").write_text("volume's own")
    (data / "link").symlink_to(victim)
    libc = ctypes.CDLL(None, use_errno=True)
    stop, swaps = threading.Event(), [0]
    one, two = os.fsencode(data / "d"), os.fsencode(data / "link")

    def swap() -> None:
        while not stop.is_set():
            libc.renameat2(-100, one, -100, two, 2)  # RENAME_EXCHANGE
            swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    yield data
    stop.set()
    thread.join()
    assert swaps[0] > 1000, "the race was not run"


def export(base: Path, name: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*command(), "volume", "export", name], env=environment(base), capture_output=True, check=False)


def test_export_of_a_changing_volume(base: Path, swapping: Path) -> None:
    for _ in range(20):
        done = export(base, "race-data")
        assert b"host's own" not in done.stdout and b"Traceback" not in done.stderr
        if done.returncode == 0:
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                assert not [name for name in archive.getnames() if name.endswith("keep")]


def test_import_into_a_changing_volume(pyman: Run, base: Path, swapping: Path, victim: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("d/keep", "d/sub/file", "d/new", "d/sub/new", "d/sub/deep/new"):
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o777, 8
            archive.addfile(member, io.BytesIO(b"imported"))
    (base / "race.tar").write_bytes(buffer.getvalue())
    libc = ctypes.CDLL(None, use_errno=True)
    runs, met = 0, 0
    while runs < 20 or (not met and runs < 500):
        runs += 1
        done = pyman("volume", "import", "race-data", str(base / "race.tar"), rc=None)
        assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr
        met += done.returncode > 0  # the link came between two steps
        while not any(entry.is_symlink() for entry in os.scandir(swapping)):
            # The import met the link and has put the directory in its place: have a link again.
            met += 1
            (swapping / "next").symlink_to(victim)
            libc.renameat2(-100, os.fsencode(swapping / "next"), -100, os.fsencode(swapping / "link"), 2)
            shutil.rmtree(swapping / "next", ignore_errors=True)
    assert met, "no import met the link"


def test_owner_of_a_changing_volume(pyman: Run, image: str, swapping: Path) -> None:
    codes = []
    for number in range(12):
        options = ("-u", str(1000 + number), "-v", "race-data:/v:U")
        done = pyman("run", *NONE, *options, image, "true", rc=None)
        assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr, done.stderr
        codes.append(done.returncode)
    assert 0 in codes


def test_subpath_of_a_changing_volume(pyman: Run, image: str, swapping: Path) -> None:
    for _ in range(10):
        done = pyman(
            "run", *NONE, "--mount", "type=volume,src=race-data,dst=/v,subpath=d", image, "sh", "-c", "cat /v/keep; ls /v", rc=None
        )
        assert "host" not in done.stdout and "Traceback" not in done.stderr


def test_copy_up_from_images_that_point_elsewhere(pyman: Run, base: Path, victim: Path) -> None:
    """VOLUME /.., and a place in the image that is a symlink: what is copied is the image's own, or nothing."""
    root = make_root(base, "volume-root")
    (root / "etc").mkdir()
    (root / "etc/mark").write_text("image's own")
    (root / "absolute").symlink_to(victim)
    (root / "upwards").symlink_to("../" * 20 + str(victim).lstrip("/"))
    (root / "inside").symlink_to("/etc")
    (root / "magic").symlink_to("/proc/self/root")
    volumes = {"/../..": {}, "///x/../../etc": {}, "/absolute": {}, "/upwards": {}, "/inside": {}, "/magic": {}, "relative": {}, "/": {}}
    layout = base / "volume-layout"
    make_image(
        root, layout, {"Volumes": volumes, "Cmd": ["/bin/sh", "-c", "cat /inside/mark; ls /absolute /upwards; echo x > /absolute/x"]}
    )
    name = pyman("pull", "-q", f"oci:{layout}:latest").stdout.strip()
    done = pyman("run", "--network", "none", "--name", "odd", name, rc=None)
    assert "Traceback" not in done.stderr and "host" not in done.stdout
    for volume in pyman("volume", "ls", "-q").stdout.split():
        assert b"host's own" not in export(base, volume).stdout
    pyman("rm", "-v", "odd", rc=None)
    pyman("run", *NONE, "--secret", "none", name, rc=125)
    pyman("rmi", "-f", name)


def make_image(root: Path, layout: Path, config: dict[str, object]) -> None:
    """An OCI layout with one layer made of `root`."""
    shutil.rmtree(layout, ignore_errors=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(root, arcname=".")
    layouts.write(layout, buffer.getvalue(), tag="latest", config=config)


@pytest.mark.parametrize("place", ["run", "run/secrets", "run/secrets/s", "own", "own/place"])
def test_secrets_in_roots_that_point_elsewhere(pyman: Run, base: Path, victim: Path, place: str) -> None:
    root = make_root(base, "secret-root")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(victim / "keep" if place.endswith(("/s", "/place")) else victim)
    pyman("secret", "create", "s", "-", input="value-of-s")
    options = ("--secret", "s", "--secret", "s,target=/own/place")
    done = pyman("run", *NONE, *options, "--rootfs", str(root), "/bin/sh", "-c", "echo started; cat /run/secrets/s", rc=None)
    assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr
    assert done.stdout in ("", "started\nvalue-of-s")
    for top, _, files in os.walk(root):
        for name in files:
            path = Path(top) / name
            assert path.is_symlink() or b"value-of-s" not in path.read_bytes(), path


def test_odd_things_in_a_volume(pyman: Run, image: str, base: Path, victim: Path) -> None:
    """Modes, depth, pipes and names that a container may leave: every command copes, none hangs."""
    script = f"""cd /v; mkfifo pipe; mknod node c 1 3 2>/dev/null; mkdir closed; echo x > closed/f; chmod 0 closed; ln -s {victim} link
        printf x > "$(printf 'new\\nline\\033[31m')"; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; chmod 0 /v"""
    pyman("run", *NONE, "-v", "odd:/v", image, "sh", "-c", script)
    done = export(base, "odd")
    assert done.returncode == 0, done.stderr
    (base / "odd.tar").write_bytes(done.stdout)
    with tarfile.open(base / "odd.tar") as archive:
        names = archive.getnames()
    assert {"pipe", "closed/f", "link", "/".join(["d"] * 300)} <= set(names)
    pyman("volume", "create", "copy")
    pyman("volume", "import", "copy", str(base / "odd.tar"))
    assert export(base, "copy").stdout == done.stdout
    pyman("run", *NONE, "-u", "7", "-v", "odd:/v:U", image, "test", "-O", "/v")
    assert os.lstat(victim).st_uid == os.getuid()
    pyman("volume", "rm", "odd", "copy")


def test_labels_are_set_by_descriptor_and_only_where_they_differ(base: Path, victim: Path) -> None:
    """What :z and :Z do, with an attribute that needs no SELinux."""
    from pyman.linux import trees

    tree = base / "labelled"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "d").mkdir(parents=True)
    (tree / "d/f").write_text("x")
    (tree / "link").symlink_to(victim / "keep")
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    seen = [0]
    trees.label_tree(fd, b"one", "user.test", tick=lambda: seen.__setitem__(0, seen[0] + 1))
    assert seen[0] == 3 and {os.getxattr(path, "user.test") for path in (tree, tree / "d", tree / "d/f")} == {b"one"}
    changed = os.stat(tree / "d/f").st_ctime_ns
    trees.label_tree(fd, b"one", "user.test")
    assert os.stat(tree / "d/f").st_ctime_ns == changed, "what is right already is left alone"
    assert not os.listxattr(victim / "keep")
    os.close(fd)

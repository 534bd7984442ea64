"""Path components below a shared volume change while containers start: no mount, directory or file lands on the host."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run

NONE = ("--rm", "--network", "none")


def snapshot(path: Path) -> list[str]:
    return sorted(f"{directory}/{name}" for directory, dirs, files in os.walk(path) for name in dirs + files)


@pytest.fixture
def swapping(base: Path) -> Iterator[tuple[Path, Path]]:
    """A directory in which `d` is exchanged with a symlink to a victim directory of the host, as fast as one core can."""
    volume, victim = base / "race-volume", base / "race-victim"
    for path in (volume, victim):
        shutil.rmtree(path, ignore_errors=True)
    (volume / "d/sub").mkdir(parents=True)
    victim.mkdir()
    (victim / "sub").mkdir()
    (victim / "keep").write_text("host")
    os.symlink(victim, volume / "link")
    libc = ctypes.CDLL(None, use_errno=True)
    stop = threading.Event()
    one, two = os.fsencode(volume / "d"), os.fsencode(volume / "link")
    swaps = [0]

    def swap() -> None:
        while not stop.is_set():
            libc.renameat2(-100, one, -100, two, 2)  # RENAME_EXCHANGE
            swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    yield volume, victim
    stop.set()
    thread.join()
    assert swaps[0] > 1000, "the race was not run"


@pytest.mark.parametrize(
    "options",
    [
        ("-v", "{inner}:/v/d/sub/bound"),
        ("--tmpfs", "/v/d/sub/tmp"),
        ("-w", "/v/d/sub/work"),
        ("-v", "race-named:/v/d/sub/named"),
        ("--mount", "type=bind,src={inner}/file,dst=/v/d/sub/file"),
        ("--device", "/dev/null:/v/d/sub/null"),
    ],
    ids=lambda value: value[0] + value[1].rpartition("/")[2],
)
def test_targets_below_a_changing_volume(pyman: Run, image: str, base: Path, swapping: tuple[Path, Path], options: tuple[str, str]) -> None:
    volume, victim = swapping
    inner = base / "race-inner"
    inner.mkdir(exist_ok=True)
    (inner / "file").write_text("inner")
    before = snapshot(victim)
    given = [option.format(inner=inner) for option in options]
    codes = set()
    for _ in range(15):
        done = pyman("run", *NONE, "-v", f"{volume}:/v", *given, image, "true", rc=None)
        assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr, done.stderr
        codes.add(done.returncode)
        assert snapshot(victim) == before
    assert (victim / "keep").read_text() == "host"
    assert codes


def test_subpaths_and_overlays_of_a_changing_volume(pyman: Run, image: str, base: Path, swapping: tuple[Path, Path]) -> None:
    """The links lead to a path that exists on the host only: what the container sees is never the victim's file."""
    volume, victim = swapping
    before = snapshot(victim)
    for _ in range(10):
        pyman("run", *NONE, "-v", f"{volume}:/v:O", image, "sh", "-c", "mkdir -p /v/d/new; touch /v/d/x", rc=None)
        done = pyman("run", *NONE, "-v", f"{volume}:/v:subpath=d", image, "cat", "/v/keep", rc=None)
        assert "host" not in done.stdout
    assert snapshot(victim) == before


def test_two_containers_race(pyman: Run, image: str, base: Path) -> None:
    """The same from inside: one container exchanges the component while others are started with mounts below it."""
    swap = "while :; do mv /v/d /v/e; ln -s / /v/d; rm /v/d; mv /v/e /v/d; done"
    pyman("run", "-d", "--name", "racer", "--network", "none", "-v", "race:/v", image, "sh", "-c", "mkdir -p /v/d; " + swap)
    marker = f"race-{os.getpid()}"
    for _ in range(15):
        done = pyman("run", *NONE, "-v", "race:/v", "--tmpfs", f"/v/d/{marker}", "-w", f"/v/d/{marker}", image, "true", rc=None)
        assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr
        assert not os.path.exists(f"/{marker}")
    pyman("rm", "-f", "-t", "0", "racer")

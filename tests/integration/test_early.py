"""Namespaces that the launcher begins before the interpreter: never other ones than the command wants, and nothing of a stranger's is executed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment, until

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def launcher(base: Path) -> Iterator[str]:
    """The launcher in an environment like those of venv, with the package of this tree."""
    place = base / "launched"
    packages = place / "lib/python3/site-packages"
    packages.mkdir(parents=True)
    (packages / "pyman").symlink_to(ROOT / "pyman")
    (place / "bin").mkdir()
    (place / "bin/python3").symlink_to(os.path.realpath(sys.executable))
    subprocess.run(["cc", "-o", str(place / "bin/pyman"), str(ROOT / "shims/launcher.c")], check=True)
    yield str(place / "bin/pyman")
    shutil.rmtree(place)


@pytest.fixture
def launch(launcher: str, base: Path) -> Call:
    """launch(*args, rc=0, before=()): pyman by its launcher, without standard error unless it fails."""

    def run(*args: str, rc: int = 0, before: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*before, launcher, *args],
            env=environment(base, **more),
            cwd=base,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == rc, done.stderr
        return done

    return run


@pytest.fixture
def noted(launch: Call, base: Path, image: str) -> Path:
    """What the launcher goes by, as the command before has left it."""
    path = base / "run/pyman/namespaces"
    path.unlink(missing_ok=True)
    launch("run", "--rm", "--network", "none", image, "true")
    return path


def holders(base: Path) -> list[str]:
    """Processes that hold namespaces for a command of these tests."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if (
                entry.isdecimal()
                and Path(f"/proc/{entry}/comm").read_text() == "pyman:[ns]\n"
                and os.stat(f"/proc/{entry}").st_uid == os.getuid()
            ):
                found.append(entry)
        except OSError:
            pass
    return found


def started_first(launch: Call, base: Path, image: str) -> bool:
    """Whether the launcher had a child before it executed the interpreter. (Under strace newuidmap has no rights: the command fails.)"""
    trace = base / "early-trace"
    launch(
        "run", "--rm", image, "true", rc=125, before=("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=execve,clone,clone3,fork,vfork")
    )
    steps = re.findall(r'(python3"|(?:clone|fork)[3]?\()', trace.read_text())
    return steps[0] != 'python3"'


def test_the_second_command_begins_with_its_namespaces(launch: Call, noted: Path, base: Path, image: str) -> None:
    words = noted.read_bytes().decode().split("\0")
    assert all(word.isdecimal() or word == "--" for word in words[:-1]) and words[-1] == "" and noted.stat().st_mode & 0o777 == 0o600
    plain = launch("run", "--rm", "--network", "none", image, "cat", "/proc/self/uid_map", "/proc/self/gid_map").stdout
    noted.unlink()
    assert plain == launch("run", "--rm", "--network", "none", image, "cat", "/proc/self/uid_map", "/proc/self/gid_map").stdout
    assert started_first(launch, base, image)
    noted.unlink()
    assert not started_first(launch, base, image)
    until(lambda: not holders(base))


def test_namespaces_are_made_once(launch: Call, base: Path, image: str) -> None:
    directory, log = base / "mappers", base / "mapped"
    directory.mkdir()
    (directory / "newuidmap").write_text(f'#!/bin/sh\necho >>{log}; exec /usr/bin/newuidmap "$@"\n')
    (directory / "newuidmap").chmod(0o755)
    path = f"{directory}:{os.environ['PATH']}"
    for times in range(1, 4):
        launch("run", "--rm", "--network", "none", image, "true", PATH=path)
        assert log.read_text() == "\n" * times
    launch("run", "--rm", "--network", "none", image, "true")  # with another one: what the launcher has begun is of no use
    (base / "run/pyman/namespaces").unlink()


def test_the_ids_have_changed_meanwhile(launch: Call, noted: Path, base: Path, image: str) -> None:
    """What was begun with the old ids is dropped; the next command goes by the new ones."""
    right = noted.read_bytes()
    words = right.split(b"\0")
    noted.write_bytes(b"\0".join([*words[:3], *words[words.index(b"--") :]]))
    maps = launch("run", "--rm", "--network", "none", image, "cat", "/proc/self/uid_map").stdout.split("\n")
    assert len([line for line in maps if line]) == words.index(b"--") // 3, "all ranges are there"
    assert noted.read_bytes() == right
    until(lambda: not holders(base))


@pytest.mark.parametrize("kind", ["program", "link", "hard link", "writable", "fifo", "directory", "empty", "no end", "large", "two"])
def test_what_lies_there_does_no_harm(launch: Call, noted: Path, base: Path, image: str, kind: str) -> None:
    """A container that is given the runtime directory may write there: nothing of it is executed, and only the user's own file is believed."""
    mark, evil = base / "executed", base / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {mark}\n")
    evil.chmod(0o755)
    right = noted.read_bytes()
    programs = (
        b"maps\0" + os.fsencode(evil) + b"\0" + b"0\0" + b"1000\0" + b"1\0--\0" + os.fsencode(evil) + b"\0" + b"0\0" + b"1000\0" + b"1\0"
    )
    noted.unlink()
    if kind in ("link", "hard link"):
        (base / "elsewhere").write_bytes(programs)
        noted.symlink_to(base / "elsewhere") if kind == "link" else noted.hardlink_to(base / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(noted)
    elif kind == "directory":
        noted.mkdir()
    else:
        texts = {"empty": b"", "no end": right[:-1], "large": right + b"1\0" * 4096, "two": right + b"--\0" + right}
        noted.write_bytes(texts.get(kind, programs))
        noted.chmod(0o666 if kind == "writable" else 0o600)
    try:
        assert launch("run", "--rm", "--network", "none", image, "echo", "fine").stdout == "fine\n"
        assert not mark.exists()
    finally:
        shutil.rmtree(noted) if kind == "directory" else noted.unlink()
        (base / "elsewhere").unlink(missing_ok=True)


@pytest.mark.usefixtures("noted")
def test_descriptors_of_the_caller_are_the_containers_only(launch: Call, base: Path, image: str) -> None:
    shell = 'exec 3</etc/hostname 4</dev/null; exec "$0" "$@"'
    look = ("run", "--rm", "--network", "none", "--preserve-fds", "2", image, "sh", "-c", "cat <&3; ls /proc/self/fd")
    seen = launch(*look, before=("sh", "-c", shell)).stdout.split("\n", 1)
    assert seen[0] == Path("/etc/hostname").read_text().strip() and seen[1].split()[:5] == ["0", "1", "2", "3", "4"]
    assert len(seen[1].split()) <= 6, "the last one is ls's own"
    plain = launch("run", "--rm", "--network", "none", image, "ls", "/proc/self/fd").stdout.split()
    assert len(plain) == 4
    for closed in ("0<&-", "1>&-", "2>&-"):
        launch("run", "--rm", "--network", "none", image, "true", before=("sh", "-c", f'exec {closed}; exec "$0" "$@"'))


@pytest.mark.usefixtures("noted")
def test_a_command_that_ends_before_it_needs_them(launch: Call, launcher: str, base: Path, image: str) -> None:
    launch("run", "--restart", "nonsense", image, rc=125)
    launch("start", "no-such-container", rc=125)
    for _ in range(12):
        killed = subprocess.Popen([launcher, "run", "--rm", image, "true"], env=environment(base), stdin=-3, stdout=-3, stderr=-3)
        while killed.poll() is None and not holders(base):
            pass
        killed.kill()
        killed.wait()
    until(lambda: not holders(base), "they end with their command")


@pytest.mark.usefixtures("noted")
def test_beside_a_living_container_its_namespace_is_joined(launch: Call, base: Path, image: str) -> None:
    look = ("run", "--rm", "--network", "none", image, "readlink", "/proc/self/ns/user")
    launch("run", "-d", "--name", "living", "--network", "none", image, "sleep", "600")
    assert launch("exec", "living", "readlink", "/proc/self/ns/user").stdout == launch(*look).stdout
    launch("rm", "-f", "-t", "0", "living")

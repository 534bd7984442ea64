"""fuse-overlayfs: what works with the kernel's overlay works with it, and its daemons end with their mounts, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until

FUSE = ("--storage-driver", "fuse-overlayfs")


def daemons(base: Path) -> list[int]:
    """Those that serve this test run's store."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"fuse-overlayfs" and str(base).encode() in b" ".join(words):
            found.append(int(entry))
    return found


@pytest.fixture
def box(pyman: Run, image: str, base: Path) -> Iterator[str]:
    """A stopped container with a file of its own."""
    assert not daemons(base)
    pyman(*FUSE, "run", "--name", "box", "--network", "none", image, "sh", "-c", "echo own >/own; rm -r /usr")
    yield "box"
    pyman("rm", "box")
    until(lambda: not daemons(base), "daemons of fuse-overlayfs are left")


def test_commands_on_a_stopped_container(pyman: Run, box: str, base: Path, tmp_path: Path) -> None:
    assert "A /own" in pyman(*FUSE, "diff", box).stdout and "D /usr" in pyman(*FUSE, "diff", box).stdout
    pyman(*FUSE, "export", "-o", str(tmp_path / "tar"), box)
    listed = subprocess.run(["tar", "tf", str(tmp_path / "tar")], capture_output=True, text=True, check=True).stdout.split()
    assert "own" in listed and "usr/" not in listed
    pyman(*FUSE, "cp", f"{box}:/own", str(tmp_path / "own"))
    assert (tmp_path / "own").read_text() == "own\n"
    made = pyman(*FUSE, "commit", "-q", box).stdout.strip()
    assert pyman(*FUSE, "run", "--rm", "--network", "none", made, "cat", "/own").stdout == "own\n"
    until(lambda: not daemons(base), "daemons are left by commands that have ended")
    pyman("rmi", made)


def test_mounts_of_a_shell(pyman: Run, image: str, box: str, base: Path) -> None:
    """They last as long as the shell, or until they are unmounted; the daemon of one keeps no other."""
    inner = " ".join([*command(), *FUSE])
    script = (
        f"one=$({inner} mount {box}); two=$({inner} image mount {image}); cat $one/own; test -d $two/bin && {inner} image unmount {image}"
    )
    shown = pyman(*FUSE, "unshare", "sh", "-c", script).stdout.split()
    assert shown[0] == "own" and len(shown) == 2
    until(lambda: not daemons(base), "daemons are left by a shell that has ended")


def test_a_killed_command(box: str, base: Path) -> None:
    """An export that nobody reads, with all its processes killed."""
    with subprocess.Popen(
        [*command(), *FUSE, "export", box], env=environment(base), stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        until(lambda: daemons(base))
        assert child.stdout and child.stdout.read(1)
        os.killpg(child.pid, signal.SIGKILL)
    until(lambda: not daemons(base), "a daemon is left by a killed command")


def test_a_daemon_that_was_killed(pyman: Run, image: str, base: Path, tmp_path: Path) -> None:
    """What needs the root says why it cannot be had, and what to do; the container's files are kept."""
    assert not daemons(base)
    pyman(*FUSE, "run", "-d", "--name", "up", "--network", "none", image, "sh", "-c", "echo own >/own; sleep 600")
    until(lambda: "own" in pyman("exec", "up", "ls", "/").stdout)
    os.kill(daemons(base)[0], signal.SIGKILL)
    until(lambda: not daemons(base))
    inner = " ".join(command())
    commands = [
        ["exec", "up", "echo"],
        ["exec", "up", "/bin/echo"],
        ["exec", "-w", "/usr", "up", "echo"],
        ["exec", "-u", "root", "up", "echo"],
    ]
    commands += [["exec", "-d", "up", "echo"], ["exec", "-t", "up", "echo"], ["cp", "up:/own", "-"], ["cp", "/etc/hostname", "up:/"]]
    for words in [*commands, ["unshare", "sh", "-c", f"{inner} mount up"]]:
        said = pyman(*words, rc=126 if words[0] == "exec" and "-d" not in words else 125).stderr
        assert "the daemon of its root file system (fuse-overlayfs) has ended" in said and "pyman restart up" in said, (words, said)
    assert "(fuse-overlayfs) has ended" in pyman("why", "up").stdout and "pyman restart up" in pyman("why", "up").stdout
    pyman("export", "-o", str(tmp_path / "tar"), "up")  # needs no mount of the container's
    pyman("restart", "-t", "0", "up")
    assert pyman("exec", "up", "cat", "/own").stdout == "own\n" and "has ended" not in pyman("why", "up").stdout
    assert "no such program" in pyman("exec", "up", "nosuch", rc=127).stderr
    pyman("rm", "-f", "-t", "0", "up")
    until(lambda: not daemons(base))


def test_a_running_container(pyman: Run, image: str, base: Path) -> None:
    pyman(*FUSE, "run", "-d", "--name", "up", "--network", "none", image, "sh", "-c", "echo own >/own; sleep 600")
    until(lambda: "own" in pyman("exec", "up", "ls", "/").stdout)
    assert len(daemons(base)) == 1 and pyman(*FUSE, "exec", "up", "cat", "/own").stdout == "own\n"
    pyman("rm", "-f", "-t", "0", "up")
    until(lambda: not daemons(base), "its daemon is left")

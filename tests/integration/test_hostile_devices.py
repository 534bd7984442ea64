"""Files that the runtime puts into /dev, /proc and /sys, or over what it masks, while another container exchanges what lies there."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment
from tests.integration.test_hostile_races import snapshot

NONE = ("--rm", "--network", "none")
# Every component below /v is a directory, a link to the host, a link to procfs, or nothing, in turn.
SWAP = """
mkdir -p /v/a /v/b; cd /v
while :; do
    rm -rf d; ln -s VICTIM d; rm -f d; ln -s / d; rm -f d; ln -s /proc d; rm -f d; ln -s /proc/self/root d; rm -f d
    mkdir -p d/null d/pts d/sub; rm -rf d; mkdir d; ln -s VICTIM/null d/null; ln -s VICTIM d/pts; ln -s /proc/sys d/sub; echo > d/file
done
"""


@pytest.fixture
def racer(pyman: Run, image: str, base: Path) -> Iterator[Path]:
    """A container that exchanges path components in the volume `devrace` as fast as it can; gives the victim's directory."""
    victim = base / "device-victim"
    shutil.rmtree(victim, ignore_errors=True)
    (victim / "sub").mkdir(parents=True)
    (victim / "null").write_text("host")
    pyman("run", "-d", "--name", "swap", "--network", "none", "-v", "devrace:/v", image, "sh", "-c", SWAP.replace("VICTIM", str(victim)))
    before = snapshot(victim)
    host = os.listdir("/")
    yield victim
    assert snapshot(victim) == before and (victim / "null").read_text() == "host"
    assert os.listdir("/") == host
    assert pyman("inspect", "swap", "--format", "{{.State.Status}}").stdout == "running\n", "the race was not run"
    pyman("rm", "-f", "-t", "0", "swap")


@pytest.mark.parametrize(
    "options",
    [
        ("--security-opt", "mask=/v/d/sub:/v/d/file:/v/d"),
        ("--device", "/dev/null:/v/d/null"),
        ("--device", "/dev/zero:/v/d/pts/zero"),
        ("--tmpfs", "/v/d/pts"),
        ("--mount", "type=tmpfs,dst=/v/d/sub,tmpcopyup"),
        ("-v", "devrace:/v/d/sub:ro"),
        ("--mount", "type=devpts,dst=/v/d/pts"),
        ("--volume", "/dev/null:/v/d/null"),
        ("--env", "A=1", "-w", "/v/d/sub"),
    ],
    ids=lambda value: value[1],
)
def test_places_below_a_changing_volume(pyman: Run, image: str, racer: Path, options: tuple[str, ...]) -> None:
    # The kernel's own files, seen from inside afterwards: none was covered or uncovered by what went astray.
    look = "stat -Lc %t:%T /dev/null /proc/interrupts /dev/zero; (echo 1 > /proc/sys/vm/swappiness) 2>/dev/null && echo writable; ls /proc/1 >/dev/null && echo proc"
    for _ in range(12):
        done = pyman("run", *NONE, "-v", "devrace:/v", *options, image, "sh", "-c", look, rc=None)
        # A mask that the user wants below the volume may be led onto the container's own /proc: it hides more, never less.
        hidden = "mask=" in options[1] and done.returncode == 1 and "writable" not in done.stdout
        assert (done.returncode in (0, 125, 126, 127) or hidden) and "Traceback" not in done.stderr, done
        if done.returncode == 0:
            assert done.stdout == "1:3\n1:3\n1:5\nproc\n", done


@pytest.mark.parametrize("place", ["dev/console", "dev/pts", "dev/ptmx", "dev/pts/ptmx", "dev/pts/0", "dev/tty"])
@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_terminals_in_odd_roots(pyman: Run, base: Path, place: str, kind: str) -> None:
    """The terminal comes from the container's own devpts by descriptor, whatever the image has at its names."""
    from tests.integration.test_hostile_roots import make_root

    root = make_root(base, "tty-root")
    victim = base / "tty-victim"
    victim.write_text("host")
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "file":
        path.write_text("image")
    else:
        os.mkfifo(path)
    master, slave = pty.openpty()
    script = "test -t 0 && test -c /dev/console && tty && echo on-a-terminal"
    argv = [*command(), "run", "-it", *NONE, "--rootfs", str(root), "/bin/busybox", "sh", "-c", script]
    child = subprocess.Popen(argv, env=environment(base), stdin=slave, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    text = b""
    while True:
        try:
            text += os.read(master, 4096)
        except OSError:
            break
    _, errors = child.communicate()
    os.close(master)
    assert (child.returncode == 0 and b"on-a-terminal" in text) or child.returncode in (125, 126, 127, 255), (text, errors)
    assert b"Traceback" not in errors and victim.read_text() == "host"


@pytest.mark.parametrize("place", ["/dev/null", "/dev/pts", "/dev/console", "/dev/ptmx", "/proc/sys", "/proc/kcore", "/sys/firmware"])
def test_own_mounts_over_kernel_files(pyman: Run, image: str, base: Path, place: str) -> None:
    """A volume over such a place is the user's business; the masks are made from the host's null device all the same."""
    source = base / "own-mount"
    source.mkdir(exist_ok=True)
    (base / "own-file").write_text("mine")
    for what in (source, base / "own-file"):
        done = pyman("run", *NONE, "-v", f"{what}:{place}", image, "sh", "-c", "stat -Lc %t:%T /proc/interrupts /proc/timer_list", rc=None)
        assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr, done
        assert done.returncode or done.stdout == "1:3\n1:3\n", done
    assert (base / "own-file").read_text() == "mine" and not os.listdir(source)

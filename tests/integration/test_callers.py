"""What callers hand down: signals that they ignore, an environment without HOME, limits of processes and of file sizes."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, command, environment, until
from tests.integration.conftest import Bundle

NONE = ("--network", "none")
IGNORING = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
Called = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def called(base: Path) -> Called:
    """called(before, *args, rc=0): pyman, started by the words `before`; its standard output is a pipe."""

    def run(before: list[str], *args: str, rc: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        words = [*before, *command(), *args]
        there = environment(base) if env is None else env
        done = subprocess.run(words, env=there, cwd=base, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == rc, done.stderr
        return done

    return run


def test_one_that_ignores_the_ends_of_children(called: Called, image: str) -> None:
    ignoring = [sys.executable, "-c", IGNORING]
    called(ignoring, "run", "--rm", *NONE, image, "sh", "-c", "exit 7", rc=7)
    called(ignoring, "run", "-d", "--name", "i", *NONE, image, "sleep", "600")
    called(ignoring, "exec", "i", "sh", "-c", "exit 5", rc=5)
    for args in (
        ("restart", "-t", "0", "i"),
        ("commit", "-q", "i", "ignored"),
        ("cp", "i:/etc/passwd", "-"),
        ("diff", "i"),
        ("unshare", "true"),
    ):
        called(ignoring, *args)
    assert "SigIgn:\t0000000000000000\n" in called(ignoring, "exec", "i", "cat", "/proc/self/status").stdout
    called(ignoring, "rm", "-f", "-t", "0", "i")
    called(ignoring, "rmi", "ignored")


def test_the_runtime_is_called_by_one_that_ignores_the_ends_of_children(bundle: Bundle, base: Path, tmp_path: Path) -> None:
    place = bundle.save(args=["/bin/sh", "-c", "exit 7"])
    words = [
        sys.executable,
        "-SI",
        str(ROOT / "pyman/runtime/__main__.py"),
        "--root",
        str(tmp_path / "state"),
        "run",
        "--bundle",
        str(place),
        "i",
    ]
    assert subprocess.run([sys.executable, "-c", IGNORING, *words], env=environment(base), check=False).returncode == 7


def test_one_without_a_home(called: Called, base: Path, image: str) -> None:
    """The home is that of the user database then, also within the user namespace, where the user is root."""
    there = {name: value for name, value in environment(base).items() if not name.startswith(("HOME", "XDG_CACHE"))}
    there["XDG_DATA_HOME"] = str(base / "home/.local/share")
    cache = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache/pyman/pasta.json"
    cache.unlink(missing_ok=True)
    called([], "run", "--rm", image, "true", env=there)
    assert cache.exists()
    cache.write_text("{")  # it is only a cache
    called([], "run", "--rm", image, "true", env=there)


def test_one_who_may_have_no_more_processes(called: Called, image: str) -> None:
    limited = ["bash", "-c", 'ulimit -u 1; exec "$0" "$@"']
    said = called(limited, "run", "--rm", *NONE, image, "true", rc=125).stderr
    assert "cannot start a process: Resource temporarily unavailable" in said and "ulimit -u" in said


def limited(kib: int) -> list[str]:
    return ["bash", "-c", f'ulimit -f {kib}; exec "$0" "$@"']


def test_one_whose_files_may_not_grow(called: Called, pyman: Run, image: str) -> None:
    """Nothing is killed for it: what cannot be written is named, and why."""
    create = ("create", "--name", "f", *NONE, image, "true")
    first = called(limited(0), *create, rc=125).stderr
    pyman(*create)
    for said in (first, called(limited(4), "start", "f", rc=125).stderr):
        assert "File too large" in said and "ulimit -f" in said
    pyman("rm", "f")


def test_a_log_that_may_not_grow(called: Called, pyman: Run, image: str) -> None:
    """To the container it is as a full disk: it goes on, and its lines until then are there."""
    writing = "yes | head -c 200000; echo the end; exit 3"
    called(limited(20), "run", "-d", "--name", "g", *NONE, image, "sh", "-c", writing)
    until(lambda: pyman("wait", "g").stdout == "3\n")
    lines = pyman("logs", "g").stdout.split("\n")
    assert lines[0] == "y" and 100 < len(lines) < 20480 and "the end" not in lines
    said = pyman("why", "g").stdout
    assert "exit code 3" in said and "ulimit -f" in said and "disk" not in said
    done = called(limited(20), "start", "--attach", "g", rc=3)
    assert done.stdout.endswith("y\nthe end\n") and len(done.stdout) > 200000
    pyman("rm", "g")

"""Fixtures of the tests of `pyman-runtime`: a bundle with busybox in it, and the program as a manager would call it. A store for one test."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyman.runtime import cgroup
from tests.conftest import ROOT, command, environment

Runtime = Callable[..., "subprocess.CompletedProcess[str]"]
Own = Callable[..., str]


def _sweep(top: Path) -> None:
    """Remove the control groups that nobody lives in."""
    for place, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(place)
        except OSError:
            pass  # somebody lives there, or another run has swept it


@pytest.fixture(scope="session", autouse=True)
def own_subtree() -> Iterator[None]:
    """A control group for this test run: what a killed one has left, or another one does, lies beside it."""
    here = Path(cgroup.path_of() or "/nowhere/at-all")
    tree = here.parent
    if here.name != "runner" or not os.access(tree, os.W_OK):
        yield  # the tests that need it say so: `own`
        return
    for old in tree.glob("suite-*"):
        if not os.path.exists(f"/proc/{old.name.split('-')[1]}"):
            _sweep(old)
    for controller in (tree / "cgroup.controllers").read_text().split():
        try:
            (tree / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            pass  # it cannot be had here: the tests get as many as there are
    suite = tree / f"suite-{os.getpid()}-{time.time_ns():x}"
    (suite / "runner").mkdir(parents=True)
    try:
        (suite / "runner/cgroup.procs").write_text("0")
    except OSError:
        pass  # then they run where they are
    yield
    try:
        (here / "cgroup.procs").write_text("0")
    except OSError:
        pass  # the next run sweeps it
    _sweep(suite)


class Bundle:
    """A bundle directory; `spec` is written by `save`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path / "rootfs"
        self.spec: dict[str, Any] = json.loads((path / "config.json").read_text())

    def save(self, **process: object) -> Path:
        """Write the spec, with the given parts of its process changed."""
        self.spec["process"].update(process)
        (self.path / "config.json").write_text(json.dumps(self.spec))
        return self.path

    def sh(self, script: str) -> Path:
        """Let the container run a shell script."""
        return self.save(args=["/bin/sh", "-c", script])


@pytest.fixture
def runtime(base: Path) -> Runtime:
    """runtime(*args, rc=0, input=None, pass_fds=(), env={}) runs pyman-runtime and checks its exit code (rc=None: any)."""

    numbers = itertools.count()

    def run(
        *args: object, rc: int | None = 0, input: str = "", pass_fds: tuple[int, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), *map(str, args)]
        # A created container keeps its caller's stdout open, so output goes to files, not to pipes that would never end. What it
        # writes later must not come into those of the next command.
        call = f"runtime-{os.getpid()}-{next(numbers)}"
        out, err, into = base / f"{call}.out", base / f"{call}.err", base / f"{call}.in"
        into.write_text(input)
        with out.open("w") as stdout, err.open("w") as stderr, into.open() as stdin:
            done = subprocess.run(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment(base, **(env or {})),
                timeout=300,
                check=False,
                pass_fds=pass_fds,
            )
        result = subprocess.CompletedProcess(command, done.returncode, out.read_text(), err.read_text())
        for file in (out, err, into):
            file.unlink()
        assert "Traceback" not in result.stderr, result.stderr
        assert rc is None or result.returncode == rc, f"{args}: {result.returncode}: {result.stderr}{result.stdout}"
        return result

    return run


@pytest.fixture
def bundle(tmp_path: Path, runtime: Runtime) -> Any:
    """A bundle of the template, without a terminal, writable; its containers are deleted at the end."""
    root = tmp_path / "rootfs"
    (root / "bin").mkdir(parents=True)
    for name in ("busybox", "sh", "cat", "echo", "sleep", "ls", "id", "mount", "grep", "hostname", "touch", "ulimit", "env", "true"):
        (root / "bin" / name).symlink_to("busybox") if name != "busybox" else (root / "bin/busybox").write_bytes(
            Path("/bin/busybox").read_bytes()
        )
    (root / "bin/busybox").chmod(0o755)
    runtime("spec", "--bundle", tmp_path)
    made = Bundle(tmp_path)
    made.spec["root"]["readonly"] = False
    made.save(args=["/bin/sleep", "600"], terminal=False, cwd="/")
    yield made
    for name in runtime("list", "-q").stdout.split():
        runtime("delete", "--force", name)


@pytest.fixture
def own() -> Path:
    """The delegated cgroup above the one the tests run in."""
    path = Path(cgroup.path_of())
    if path.name != "runner" or not os.access(path.parent, os.W_OK):
        pytest.fail("no delegated cgroup: run the tests by tests/run, or below tests/delegate ACCOUNT")
    return path.parent


@pytest.fixture
def store() -> Iterator[Path]:
    """A store that nothing else uses; the directory of its home and runtime directories."""
    path = Path(tempfile.mkdtemp(prefix="pm-"))
    environment(path)
    yield path
    subprocess.run([*command(), "system", "reset", "-f"], env=environment(path), check=True)
    subprocess.run(["rm", "-rf", str(path)], check=True)


def runner(store: Path, errors: bool = False) -> Own:
    """run(*args, rc=0, input="", **env) runs pyman in that store; its output, with stderr's if it fails or `errors` are asked for."""

    def run(*args: str, rc: int = 0, input: str = "", **env: str) -> str:
        done = subprocess.run([*command(), *args], env=environment(store, **env), input=input, capture_output=True, text=True, timeout=300)
        assert done.returncode == rc, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + (done.stderr if rc or errors else "")

    return run

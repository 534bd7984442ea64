"""Fixtures of the tests of `pyman-runtime`: a bundle with busybox in it, and the program as a manager would call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyman.runtime import cgroup
from tests.conftest import ROOT, environment

Runtime = Callable[..., "subprocess.CompletedProcess[str]"]


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

    def run(
        *args: object, rc: int | None = 0, input: str = "", pass_fds: tuple[int, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), *map(str, args)]
        # A created container keeps its caller's stdout open, so output goes to files, not to pipes that would never end.
        out, err, into = base / "runtime.out", base / "runtime.err", base / "runtime.in"
        into.write_text(input)
        with out.open("w") as stdout, err.open("w") as stderr, into.open() as stdin:
            done = subprocess.run(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment(base, **(env or {})),
                timeout=60,
                check=False,
                pass_fds=pass_fds,
            )
        result = subprocess.CompletedProcess(command, done.returncode, out.read_text(), err.read_text())
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
    made.save(args=["/bin/sleep", "60"], terminal=False, cwd="/")
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

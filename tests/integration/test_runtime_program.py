"""`pyman-runtime` as a program of its own: an OCI bundle from create to delete, as any manager would drive it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment


@pytest.fixture
def bundle(tmp_path: Path, base: Path) -> Path:
    root = tmp_path / "rootfs"
    root.mkdir()
    (root / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "busybox").chmod(0o755)
    runtime(base, "spec", "--bundle", str(tmp_path))
    change(tmp_path, args=["/busybox", "sleep", "60"], terminal=False)
    return tmp_path


def change(bundle: Path, **process: object) -> None:
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"].update(process)
    path.write_text(json.dumps(spec))


def runtime(base: Path, *args: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), *args]
    # A created container keeps its caller's stdout open, so output goes to files, not to pipes that would never end.
    out, err = base / "runtime.out", base / "runtime.err"
    with out.open("w") as stdout, err.open("w") as stderr:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment(base), timeout=60, check=False
        )
    result = subprocess.CompletedProcess(command, done.returncode, out.read_text(), err.read_text())
    assert result.returncode == rc, result.stderr
    return result


def test_life_of_a_bundle(base: Path, bundle: Path) -> None:
    runtime(base, "create", "--bundle", str(bundle), "--pid-file", str(bundle / "pid"), "life")
    state = json.loads(runtime(base, "state", "life").stdout)
    assert state["status"] == "created" and state["pid"] == int((bundle / "pid").read_text()) and state["bundle"] == str(bundle)
    assert "exists" in runtime(base, "create", "--bundle", str(bundle), "life", rc=1).stderr
    runtime(base, "start", "life")
    assert json.loads(runtime(base, "state", "life").stdout)["status"] == "running"
    assert runtime(base, "exec", "life", "/busybox", "echo", "inside").stdout == "inside\n"
    assert "running" in runtime(base, "delete", "life", rc=1).stderr
    assert "life" in runtime(base, "list").stdout
    runtime(base, "kill", "life", "KILL")
    runtime(base, "delete", "--force", "life")
    assert "does not exist" in runtime(base, "state", "life", rc=1).stderr


def test_run_returns_the_exit_code(base: Path, bundle: Path) -> None:
    change(bundle, args=["/busybox", "sh", "-c", "echo out; exit 9"])
    assert runtime(base, "run", "--bundle", str(bundle), "once", rc=9).stdout == "out\n"
    change(bundle, args=["/nope"])
    runtime(base, "run", "--bundle", str(bundle), "once", rc=127)
    assert runtime(base, "list", "-q").stdout == ""


def test_errors_go_to_the_log_as_json(base: Path, bundle: Path) -> None:
    log = bundle / "log"
    change(bundle, cwd="relative")
    runtime(base, "--log", str(log), "--log-format", "json", "create", "--bundle", str(bundle), "bad", rc=1)
    assert "cwd is not absolute" in json.loads(log.read_text())["msg"]
    assert runtime(base, "list", "-q").stdout == ""
    assert json.loads(runtime(base, "features").stdout)["ociVersionMax"] == "1.2.0"

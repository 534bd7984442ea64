"""Commands that are killed, or run at the same time: the id can be used again, nothing is half there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment, until
from tests.integration.conftest import Bundle, Runtime


def begin(base: Path, *args: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), *map(str, args)]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment(base), stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)


def test_a_create_that_is_killed_leaves_its_id_free(bundle: Bundle, runtime: Runtime, base: Path, tmp_path: Path) -> None:
    root = tmp_path / "state"
    bundle.save(args=["/bin/sleep", "1000"])
    for step in range(16):
        killed = begin(base, "--root", root, "create", "--bundle", bundle.path, "killed")
        time.sleep(step * 0.012)  # wherever it is by then: nothing depends on it
        killed.kill()
        killed.wait()
        assert killed.stderr is not None
        killed.stderr.close()
        listed = runtime("--root", root, "list", "-q").stdout
        if listed:  # it had got far enough to be known
            assert '"killed"' in runtime("--root", root, "state", "killed").stdout
        runtime("--root", root, "delete", "--force", "killed")
        assert runtime("--root", root, "list", "-q").stdout == ""
        runtime("--root", root, "create", "--bundle", bundle.path, "killed")
        runtime("--root", root, "delete", "--force", "killed")


def test_what_older_kills_left_is_no_container(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    for name, command in (("one", "run"), ("two", "delete")):
        (root / name).mkdir(parents=True, mode=0o700)
        root.chmod(0o700)
        os.mkfifo(root / name / "start")
        if command == "delete":
            runtime("--root", root, "delete", "--force", name)
            assert not (root / name).exists()
        else:
            runtime("--root", root, "run", "--bundle", bundle.save(args=["/bin/true"]), name)
    (root / ".aside-1-2").mkdir()
    (root / ".aside-1-2" / "config.json").touch()
    os.utime(root / ".aside-1-2", (1, 1))
    runtime("--root", root, "run", "--bundle", bundle.path, "three")
    assert os.listdir(root) == []


@pytest.mark.parametrize("kind", ["created", "running"])
def test_deletes_at_the_same_time_all_succeed(bundle: Bundle, runtime: Runtime, base: Path, kind: str) -> None:
    bundle.spec["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo x >>{bundle.path}/stopped"]}]}
    bundle.save(args=["/bin/sleep", "1000"])
    for number in range(1, 4):
        runtime("create", "--bundle", bundle.path, "many")
        if kind == "running":
            runtime("start", "many")
        deletes = [begin(base, "delete", "--force", "many") for _ in range(4)]
        assert [done.communicate()[1] for done in deletes] == [b""] * 4
        assert [done.returncode for done in deletes] == [0] * 4
        assert (bundle.path / "stopped").read_text() == "x\n" * number, "the hooks run once"
    assert runtime("list", "-q").stdout == ""


def test_a_container_whose_creator_was_killed_is_stopped(bundle: Bundle, runtime: Runtime, base: Path) -> None:
    """It hangs in a hook of its creator's: nobody will ever start it, and it needs no force to be deleted."""
    mark = bundle.path / "hooked"
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ >{mark}; exec sleep 1000"]}]}
    bundle.save(args=["/bin/true"])
    killed = begin(base, "create", "--bundle", bundle.path, "orphan")
    until(lambda: mark.exists() and mark.read_text().endswith("\n"))
    assert '"creating"' in runtime("state", "orphan").stdout
    assert "it is creating" in runtime("delete", "orphan", rc=1).stderr
    killed.kill()
    killed.communicate()
    os.kill(int(mark.read_text()), 9)
    assert '"stopped"' in runtime("state", "orphan").stdout
    runtime("delete", "orphan")
    assert runtime("list", "-q").stdout == ""

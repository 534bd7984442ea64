"""system reset: everything of pyman's goes, from a damaged store too, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyman import stages
from tests.conftest import command, environment, until
from tests.integration.conftest import Own, runner


@pytest.fixture
def own(store: Path, layout: str) -> Own:
    """own(*args, rc=0) runs pyman in a store that has one of everything; its output."""
    run = runner(store, errors=True)
    run("pull", "-q", f"oci:{layout}:latest")
    run("network", "create", "extra")
    run("secret", "create", "word", "-", input="x")
    script = "chown 7:8 /v; touch /v/f; chown 9:9 /v/f; chmod 0 /v; mkdir -m 0 /x; trap '' TERM; echo up; sleep 10000"
    run("run", "-d", "--name", "box", "--network", "none", "-v", "vol:/v", "demo", "sh", "-c", script)
    run("create", "--name", "idle", "demo")
    until(lambda: "up" in run("logs", "box"))
    return run


def processes(store: Path) -> list[str]:
    """Processes that name the store."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes() if entry.isdigit() else b""
        except OSError:
            continue
        if str(store).encode() in line:
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def gone(store: Path) -> None:
    """Nothing is left on disk, and soon no process."""
    assert not (store / "home/.local/share/pyman").exists() and not (store / "run/pyman").exists()
    until(lambda: not processes(store))


def test_reset(own: Own, store: Path, layout: str) -> None:
    root = store / "home/.local/share/pyman"
    assert "stdin has ended" in own("system", "reset", rc=125)
    text = own("system", "reset", input="n\n")
    assert (
        text.startswith("WARNING! This will remove:\n        - all containers\n        - all images\n") and f'directory: "{root}"' in text
    )
    assert own("ps", "-q").count("\n") == 1 and own("images", "-q")
    # What is not pyman's stays, also behind links that lie in the store.
    precious = store / "precious"
    (precious / "deep").mkdir(parents=True)
    (precious / "deep/file").write_text("keep")
    (root / "layers" / ("a" * 64)).symlink_to(precious)
    (root / "volumes/out").symlink_to(precious)
    (root / "mine.txt").write_text("keep")
    assert f"{root}/mine.txt is not pyman's" in own("system", "reset", "--force")
    assert (precious / "deep/file").read_text() == "keep" and os.listdir(root) == ["mine.txt"]
    (root / "mine.txt").unlink()
    root.rmdir()
    gone(store)
    assert own("system", "reset", "-f") == ""
    own("pull", "-q", f"oci:{layout}:latest")
    assert own("run", "--rm", "--network", "none", "demo", "echo", "fine") == "fine\n"
    assert own("network", "ls", "-q").split() == ["podman"] and not own("secret", "ls", "-q") and not own("volume", "ls", "-q")


def test_reset_of_a_damaged_store(own: Own, store: Path) -> None:
    """Nothing need be readable: not the index, not a container's files, not the directories; links do not lead the deletion away."""
    root = store / "home/.local/share/pyman"
    (root / "images.json").write_text("{")
    for box in (root / "containers").iterdir():
        (box / "state.json").write_text("[]")
        (box / "config.json").unlink()
    precious = store / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    subprocess.run(["rm", "-rf", str(root / "trash"), str(root / "networks")], check=True)
    (root / "trash").symlink_to(precious)
    (root / "networks").write_text("no directory")
    (root / "layers").chmod(0)
    assert all(line.startswith("Warning: cannot use ") for line in own("system", "reset", "--force").splitlines())
    assert (precious / "file").read_text() == "keep" and os.listdir(precious) == ["file"]
    gone(store)


def test_reset_refuses_what_is_not_its_own(own: Own, store: Path) -> None:
    home = store / "home"
    for place in (home, store / "run"):
        key = "PYMAN_GRAPHROOT" if place == home else "PYMAN_RUNROOT"
        assert "refusing to reset" in own("system", "reset", "--force", rc=125, **{key: str(place)})
    # A mount below the store, in the user's own namespace of mounts.
    script = f'mount --bind {store}/other {home}/.local/share/pyman/volumes; exec "$@"'
    (store / "other").mkdir()
    (store / "other/file").write_text("keep")
    env = environment(store)
    args = [
        "unshare",
        "-Urm",
        "sh",
        "-c",
        script,
        "sh",
        "unshare",
        "-U",
        f"--map-user={os.getuid()}",
        *command(),
        "system",
        "reset",
        "--force",
    ]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 125 and "is mounted at" in done.stderr, done.stdout + done.stderr
    assert (store / "other/file").read_text() == "keep" and own("ps", "-q").count("\n") == 1
    own("system", "reset", "--force")
    gone(store)


@pytest.mark.parametrize("stage", stages.RESET)
def test_killed_reset(own: Own, store: Path, layout: str, stage: str) -> None:
    own("system", "reset", "-f", rc=-9, PYMAN_KILL_AT=stage)
    assert not own("ps", "-aq")
    own("pull", "-q", f"oci:{layout}:latest")
    assert not os.listdir(store / "home/.local/share/pyman/trash")
    assert own("run", "--rm", "--network", "none", "demo", "echo", "fine") == "fine\n"
    own("system", "reset", "-f")
    gone(store)

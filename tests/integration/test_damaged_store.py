"""Every file of a container damaged in every way, while it runs: it is listed, stopped and removed, and takes no other away. In a store of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyman.linux import process
from tests.conftest import Run, until

NONE = ("--network", "none")
WAYS = ("list", "missing", "fifo", "link")
# What is damaged of one container at a time.
PARTS = {
    "config": ("config.json",),
    "state": ("state.json", "exit.json"),
    "both": ("config.json", "state.json"),
    "name": (),
    "rest": ("health.json", "health.plan", "ctr.log", "restart", "spec.json", "cgroup", "event"),
}


@pytest.fixture
def store(base: Path, pyman: Run, layout: str) -> Iterator[tuple[Path, Run]]:
    """The store's directory, and what runs a command in it: never with a traceback, nor for longer than a minute."""
    top = base / "damaged"
    env = {"PYMAN_GRAPHROOT": str(top), "PYMAN_RUNROOT": str(base / "damaged-run")}

    def run(*args: str, rc: int | None = 0, **_: object) -> subprocess.CompletedProcess[str]:
        done = pyman(*args, rc=rc, env=env, timeout=120)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    run("pull", "-q", f"oci:{layout}:latest")
    yield top, run
    run("rm", "-af", "-t", "0")
    run("unshare", "rm", "-rf", str(top))
    shutil.rmtree(base / "damaged-run", ignore_errors=True)


def damage(path: Path, way: str) -> None:
    """Replace a file by something that no program put there."""
    if path.is_symlink() or path.exists():
        path.unlink()
    if way in ("empty", "list"):
        path.write_text("" if way == "empty" else "[]")
    elif way == "fifo":
        os.mkfifo(path)
    elif way == "link":
        path.symlink_to("/nonexistent/place")
    elif way == "directory":
        path.mkdir()


def started(run: Run, name: str) -> tuple[str, list[tuple[int, int]]]:
    """A running container's id; its init and its monitor with their start times."""
    options = ("--health-cmd", "true", "--restart", "on-failure:2")
    ident = run("run", "-d", "-q", "--name", name, *NONE, *options, "demo", "sleep", "600").stdout.strip()
    pids = run("inspect", name, "--format", "{{.State.Pid}} {{.State.ConmonPid}}").stdout.split()
    return ident, [(int(pid), process.start_time(int(pid))) for pid in pids]


def ended(processes: list[tuple[int, int]]) -> bool:
    return not any(process.alive(pid, start) for pid, start in processes)


@pytest.mark.parametrize("way", WAYS)
def test_what_runs_can_be_listed_stopped_and_removed(store: tuple[Path, Run], way: str) -> None:
    top, run = store
    whole, _ = started(run, "whole")
    made = {name: started(run, name) for name in PARTS}
    for name, files in PARTS.items():
        for file in files:
            damage(top / "containers" / made[name][0] / file, way)
    damage(top / "names" / "name", way)
    damage(top / "events/events.log", way)
    listed = run("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").stdout.splitlines()
    assert sorted(listed) == sorted([f"{ident} {name} running" for name, (ident, _) in made.items()] + [f"{whole} whole running"])
    for name in PARTS:
        for command in (("inspect", name), ("why", name)):
            done = run(*command, rc=None)
            assert done.returncode in (0, 125) and (not done.returncode or made[name][0] in done.stderr or "config.json" in done.stderr)
    run("stop", "-t", "0", *PARTS)
    for name in PARTS:
        until(lambda name=name: ended(made[name][1]), name)
    run("system", "df", rc=None)
    run("rm", "-f", *(name if number % 2 else made[name][0] for number, name in enumerate(PARTS)))
    assert run("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout == "whole running\n"
    assert os.listdir(top / "names") == ["whole"] and os.listdir(top / "containers") == [whole]
    log = top / "events/events.log"
    if log.is_dir():
        log.rmdir()
    else:
        log.unlink(missing_ok=True)


@pytest.mark.parametrize("way", WAYS)
def test_what_runs_goes_with_force(store: tuple[Path, Run], way: str) -> None:
    """Nothing is looked at before, which would mend it."""
    top, run = store
    made = {name: started(run, name) for name in ("config", "state", "both", "name")}
    for name, (ident, _) in made.items():
        for file in PARTS[name]:
            damage(top / "containers" / ident / file, way)
    damage(top / "names" / "name", way)
    assert "in use" in run("create", "--name", "name", *NONE, "demo", "true", rc=125).stderr
    damage(top / "names" / "name", way)
    for name in made:
        assert run("rm", "-f", "-t", "0", name).stdout == f"{name}\n"
        until(lambda name=name: ended(made[name][1]), name)
    assert os.listdir(top / "names") == [] and os.listdir(top / "containers") == []
    run("create", "--name", "name", *NONE, "demo", "true")


@pytest.mark.parametrize("way", ["empty", "link", "closed"])
def test_a_directory_that_is_none(store: tuple[Path, Run], way: str) -> None:
    top, run = store
    made = {name: started(run, name) for name in ("by-name", "by-id")}
    for name, (ident, _) in made.items():
        place = top / "containers" / ident
        if way == "closed":
            place.chmod(0)
        else:
            place.rename(top / name)
            damage(place, way)
    assert sorted(run("ps", "-a", "--format", "{{.Names}}").stdout.split()) == sorted(made)
    run("stop", "-t", "0", "by-id", rc=125 if way == "link" else 0)
    run("rm", "-f", "-t", "0", "by-name")
    run("rm", "-f", "-t", "0", made["by-id"][0])
    for _, processes in made.values():
        until(lambda processes=processes: ended(processes))
    assert os.listdir(top / "names") == [] and os.listdir(top / "containers") == []


def test_values_of_a_wrong_kind(store: tuple[Path, Run]) -> None:
    """Below the top of a record: who fails at one names the file."""
    top, run = store
    ident = run("create", "--name", "deep", *NONE, "-v", "deep:/v", "demo", "true").stdout.strip()
    config, state, volume = (
        top / "containers" / ident / "config.json",
        top / "containers" / ident / "state.json",
        top / "volumes/deep/volume.json",
    )
    cases = (
        (config, "options", {"env": 5}, "inspect"),
        (config, "options", {"env": [5]}, "start"),
        (config, "options", {"volume": [5]}, "inspect"),
        (config, "layers", [5], "inspect"),
        (config, "image", {}, "inspect"),
        (state, "ports", [5], "inspect"),
        (state, "command", [5], "ps"),
        (volume, "options", 5, "start"),
    )
    for path, key, value, command in cases:
        whole = path.read_text()
        path.write_text(json.dumps({**json.loads(whole), key: value}))
        done = run(command, "-a", rc=125) if command == "ps" else run(command, "deep", rc=125)
        assert str(path) in done.stderr and "hint:" in done.stderr
        path.write_text(whole)
    run("rm", "-f", "deep")

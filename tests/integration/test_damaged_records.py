"""Containers whose files were damaged by a power cut, a full disk or a hand: nothing of the others is lost, and what can be known is known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run, until
from tests.integration.test_restart_policies import directory, field

DAMAGES = (None, "", '{"status":"run', "[]", '{"a":1}', '{"status":5,"name":null}')


def spoil(path: Path, damage: str | None) -> None:
    """Put `damage` there, or take the file away."""
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_is_made_again(pyman: Run, image: str, base: Path, damage: str | None) -> None:
    none = ("--network", "none")
    pyman("run", "-d", "--name", "dr-up", *none, "-v", "dr-volume:/v", image, "sleep", "600")
    pyman("rename", "dr-up", "dr-living")
    pyman("create", "--name", "dr-new", "--label", "kept=1", *none, image, "true")
    pyman("run", "--name", "dr-over", *none, image, "sh", "-c", "exit 3", rc=3)
    names = ("dr-living", "dr-new", "dr-over")
    before = [field(pyman, name, "{{.Id}} {{.State.Pid}} {{.State.ConmonPid}} {{.Config.Labels}}") for name in names]
    paths = [directory(pyman, base, name) / "state.json" for name in names]
    for path in paths:
        spoil(path, damage)
    first, second = (pyman("ps", "-a", "--filter", "name=^dr-", "--format", "{{.Names}} {{.State}}") for _ in range(2))
    assert sorted(first.stdout.splitlines()) == ["dr-living running", "dr-new created", "dr-over exited"]
    told = [line for line in first.stderr.splitlines() if "has been made again" in line]
    assert len(told) == 3 and all(any(word in line for word in ("it is damaged", "JSON object", "it is missing")) for line in told)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert [field(pyman, name, "{{.Id}} {{.State.Pid}} {{.State.ConmonPid}} {{.Config.Labels}}") for name in names] == before
    assert field(pyman, "dr-over", "{{.State.ExitCode}}") == "3"
    assert pyman("exec", "dr-living", "echo", "alive").stdout == "alive\n"
    assert "being used" in pyman("volume", "rm", "dr-volume", rc=2).stderr
    spoil(paths[0], damage)
    pyman("stop", "-t", "0", "dr-living")
    assert field(pyman, "dr-living", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    spoil(paths[0], damage)
    pyman("start", "dr-living")
    assert "was damaged" in json.loads(paths[1].read_text())["note"]
    for path in paths:
        spoil(path, damage)
    pyman("rm", "-f", "-t", "0", *names)
    pyman("volume", "rm", "dr-volume")


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"layers":[],"options":5,"image":3,"image_config":[],"id":1,"name":2}'])
def test_a_container_without_configuration_can_be_removed(pyman: Run, image: str, base: Path, damage: str) -> None:
    pyman("create", "--name", "dr-gone", "--network", "none", image, "true")
    (directory(pyman, base, "dr-gone") / "config.json").write_text(damage)
    assert "dr-gone" in pyman("ps", "-a").stdout
    for command in (("start", "dr-gone"), ("inspect", "dr-gone"), ("commit", "-q", "dr-gone"), ("logs", "dr-gone")):
        done = pyman(*command, rc=None)
        assert done.returncode in (0, 125) and "Traceback" not in done.stderr
        assert not done.returncode or "config.json" in done.stderr
    assert "Traceback" not in pyman("system", "df", rc=None).stderr
    pyman("rm", "-f", "dr-gone")
    assert "dr-gone" not in pyman("ps", "-a").stdout
    for end in (("stop", "-t", "0"), ("rm", "-f", "-t", "0")):  # one that runs, too
        pyman("run", "-d", "--name", "dr-gone", "--network", "none", image, "sleep", "600")
        (directory(pyman, base, "dr-gone") / "config.json").write_text(damage)
        pyman(*end, "dr-gone")
        pyman("rm", "-f", "--ignore", "dr-gone")


def test_a_name_that_leads_nowhere(pyman: Run, image: str, base: Path) -> None:
    """Who asks for a container by its name, or lists them, gives the name back to it."""
    names = base / "home/.local/share/pyman/names"
    pyman("create", "--name", "dr-lost", "--network", "none", image, "true")
    ident = field(pyman, "dr-lost", "{{.Id}}")
    for look in (("inspect", "dr-lost"), ("ps", "-a"), ("start", "dr-lost")):
        (names / "dr-lost").unlink()
        pyman(*look)
        assert os.readlink(names / "dr-lost") == ident
    assert "in use" in pyman("create", "--name", "dr-lost", image, rc=125).stderr
    (names / "dr-lost").unlink()
    assert pyman("rm", "-f", "dr-lost").stdout == "dr-lost\n" and not (base / "home/.local/share/pyman/containers" / ident).exists()
    pyman("container", "exists", "dr-lost", rc=1)


def test_fifos_keep_nobody_waiting(pyman: Run, image: str, base: Path) -> None:
    """Where files of the store are looked for."""
    store = base / "home/.local/share/pyman"
    pyman("run", "--name", "dr-pipe", "--network", "none", "--health-cmd", "true", image, "true")
    place = directory(pyman, base, "dr-pipe")
    for path in (place / "health.json", place / "ctr.log", store / "events/events.log"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    stranger = store / "containers" / ("f" * 64)
    os.mkfifo(stranger)
    try:
        assert "dr-pipe" in pyman("ps", "-a").stdout
        for command in (("why", "dr-pipe"), ("inspect", "dr-pipe"), ("start", "-a", "dr-pipe"), ("rm", "dr-pipe")):
            assert "Traceback" not in pyman(*command, rc=None).stderr
        assert "dr-pipe" not in pyman("ps", "-a").stdout
        pyman("rm", "-f", stranger.name)
        assert not stranger.exists() and not os.path.lexists(store / "names" / stranger.name[:12])
    finally:
        stranger.unlink(missing_ok=True)
        (store / "events/events.log").unlink(missing_ok=True)


def test_a_rename_that_cannot_be_written(pyman: Run, image: str, base: Path) -> None:
    """The container is called what it was, and the other name is free."""
    pyman("create", "--name", "dr-old", "--network", "none", image, "true")
    place = directory(pyman, base, "dr-old")
    place.chmod(0o500)
    assert "cannot write" in pyman("rename", "dr-old", "dr-other", rc=125).stderr
    place.chmod(0o700)
    assert field(pyman, "dr-old", "{{.Name}}") == "dr-old"
    pyman("create", "--name", "dr-other", "--network", "none", image, "true")
    pyman("rm", "dr-old", "dr-other")


def test_records_of_a_running_container(pyman: Run, image: str, base: Path) -> None:
    """Whoever needs what a record does not say names it, and what makes it again; nobody prints a traceback, and all can be ended."""
    options = ("--network", "none", "--health-cmd", "true", "--health-interval", "disable")
    pyman("run", "-d", "--name", "dr-run", *options, image, "sleep", "600")
    place = directory(pyman, base, "dr-run")
    session = pyman("exec", "-d", "dr-run", "sleep", "600").stdout.strip()
    good = json.loads((place / "spec.json").read_text())
    wrong = {"capabilities": 5, "env": 5, "args": "x", "user": [], "rlimits": [{}], "cwd": None}
    damages = [{}, {**good, "process": {}}, {**good, "mounts": 5}] + [
        {**good, "process": {**good["process"], **{key: value}}} for key, value in wrong.items()
    ]
    looks = [
        ("inspect", "dr-run"),
        ("ps", "-a"),
        ("top", "dr-run"),
        ("update", "--health-cmd", "false", "dr-run"),
        ("cp", "dr-run:/etc/passwd", "-"),
    ]
    execs = [("exec", *options, "dr-run", "true") for options in ((), ("-d",), ("-it",))]
    named = 0
    for damage in damages:
        for command in [*looks, *execs]:
            (place / "spec.json").write_text(json.dumps(damage))
            done = pyman(*command, rc=None)
            assert "Traceback" not in done.stderr and "pyman:[" not in done.stderr, (damage, command)
            if done.returncode:
                named += 1
                assert f"cannot use {place}/spec.json" in done.stderr and "pyman restart dr-run makes it again" in done.stderr, (
                    command,
                    done.stderr,
                )
    assert named >= 12
    for path in (place / "exec" / session, place / "health.json", place / "health.plan"):
        for text in ("{}", '{"id":5,"pid":"x","Status":5,"Log":5}'):
            path.write_text(text)
            for command in (
                ("inspect", "dr-run"),
                ("inspect", session),
                ("ps", "-a"),
                ("exec", "dr-run", "true"),
                ("healthcheck", "run", "dr-run"),
            ):
                assert "Traceback" not in pyman(*command, rc=None).stderr, (path, command)
    (place / "spec.json").unlink()
    assert "its spec.json is missing" in pyman("update", "--health-cmd", "false", "dr-run", rc=125).stderr
    pyman("restart", "-t", "0", "dr-run")
    assert pyman("exec", "dr-run", "echo", "again").stdout == "again\n"
    (place / "spec.json").write_text("{}")
    pyman("rm", "-f", "-t", "0", "dr-run")


def test_an_exit_record_with_nonsense(pyman: Run, image: str, base: Path) -> None:
    """It is none: the others are listed, and the container can be removed."""
    pyman("run", "-d", "--name", "dr-end", "--network", "none", image, "sleep", "600")
    place = directory(pyman, base, "dr-end")
    os.kill(int(field(pyman, "dr-end", "{{.State.Pid}}")), 9)
    until((place / "exit.json").exists)
    (place / "exit.json").write_text('{"exit_code":3,"time":"x"}')
    assert "dr-end" in pyman("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout
    pyman("rm", "dr-end")

"""Containers whose directory is taken out of the store while they run: they are told of, nobody gets what is theirs, and nothing of them stays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Run, until
from tests.integration import leftovers


def store(base: Path) -> Path:
    return base / "home/.local/share/pyman"


def taken_away(pyman: Run, base: Path, container_id: str) -> None:
    pyman("unshare", "rm", "-rf", str(store(base) / "containers" / container_id))
    assert not os.path.lexists(store(base) / "containers" / container_id)


@pytest.fixture(params=["none", "pasta", "kept"])
def gone(request: pytest.FixtureRequest, pyman: Run, image: str, base: Path) -> tuple[str, list[str]]:
    """(the id of a container of which the directory has gone, what there was before it)."""
    if request.param == "kept":
        pyman("network", "create", "--subnet", "10.97.71.0/24", "kept", rc=None)
    before = leftovers.found(base)
    made = pyman("run", "-d", "--name", "gone", "--network", request.param, image, "sh", "-c", "echo said; exec sleep 600").stdout.strip()
    until(lambda: pyman("logs", "gone").stdout == "said\n")
    taken_away(pyman, base, made)
    return made, before


WHY = "container gone: its directory was removed from the store while it ran"


@pytest.mark.parametrize("verb", ["ps", "stop", "rm", "kill", "logs", "top", "inspect", "prune", "id"])
def test_each_command_finds_it_first(pyman: Run, gone: tuple[str, list[str]], base: Path, image: str, verb: str) -> None:
    made, before = gone
    if verb == "ps":
        done = pyman("ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
        assert done.stdout == f"{made} gone running\n"
        assert [row["Names"] for row in json.loads(pyman("ps", "--format", "json").stdout)] == [["gone"]]
        assert " [gone] " in pyman("ps", "--format", "{{.}}").stdout
    elif verb == "stop":
        done = pyman("stop", "-t", "0", "gone")
        assert pyman("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout == "gone exited\n"
    elif verb == "kill":
        done = pyman("kill", "gone")
        until(lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout == "exited\n")
    elif verb == "logs":
        done = pyman("logs", "gone")
        assert done.stdout == "said\n"
    elif verb == "top":
        done = pyman("top", "gone", "args")
        assert "sleep 600" in done.stdout
    elif verb == "inspect":
        done = pyman("inspect", "gone", rc=125)
        assert "config.json: it is missing" in done.stderr and "rm --force" in done.stderr
    elif verb == "prune":
        done = pyman("container", "prune", "-f")
        assert pyman("ps", "-q").stdout.strip() == made[:12]
    else:
        done = pyman("rm", "-f", "-t", "0", made[:12] if verb == "id" else "gone")
    assert done.stderr.count(WHY) == 1, done.stderr
    pyman("rm", "-f", "-t", "0", "gone")
    assert pyman("ps", "-aq").stdout == ""
    leftovers.nothing(base, before)


def test_its_name_and_address_are_nobody_elses(pyman: Run, base: Path, image: str) -> None:
    pyman("network", "create", "--subnet", "10.97.72.0/24", "held")
    before = leftovers.found(base)
    made = pyman("run", "-d", "--name", "gone", "--network", "held:ip=10.97.72.7", image, "sleep", "600").stdout.strip()
    taken_away(pyman, base, made)
    taken = pyman("run", "--rm", "--network", "held", "--ip", "10.97.72.7", image, "true", rc=126).stderr
    assert WHY in taken and "10.97.72.7" in taken
    pyman("unshare", "rm", "-rf", str(store(base) / "containers" / made))
    taken = pyman("run", "--rm", "--name", "gone", "--network", "none", image, "true", rc=125).stderr
    assert WHY in taken and "already in use" in taken
    assert "gone" in pyman("network", "rm", "held", rc=2).stderr
    pyman("rm", "-f", "-t", "0", "gone")
    assert pyman("run", "--rm", "--name", "gone", "--network", "held", "--ip", "10.97.72.7", image, "echo", "free").stdout == "free\n"
    leftovers.nothing(base, before)
    pyman("network", "rm", "held")


def test_one_that_ends_before_anybody_looks_leaves_nothing(pyman: Run, base: Path, image: str) -> None:
    before = leftovers.found(base)
    made = pyman(
        "run", "-d", "--name", "gone", "--network", "none", image, "sh", "-c", "until [ -e /end ]; do usleep 10000; done"
    ).stdout.strip()
    pid = int(pyman("inspect", "--format", "{{.State.Pid}}", "gone").stdout)
    taken_away(pyman, base, made)
    os.kill(pid, 9)
    until(
        lambda: (
            not os.path.exists(f"/proc/{pid}") and not any("pyman-monitor" in line for line in leftovers.found(base) if line not in before)
        )
    )
    assert pyman("ps", "-aq").stdout == ""
    leftovers.nothing(base, before)
    assert "no container" in pyman("start", "gone", rc=125).stderr


def test_what_stays_of_its_directory_is_no_reason_to_kill_it(pyman: Run, base: Path, image: str) -> None:
    before = leftovers.found(base)
    made = pyman("run", "-d", "--name", "gone", "--network", "none", image, "sleep", "600").stdout.strip()
    place = store(base) / "containers" / made
    for entry in place.iterdir():
        if entry.is_file():
            entry.unlink()
    done = pyman("ps", "--format", "{{.Names}} {{.State}}")
    assert done.stdout == "gone running\n" and WHY in done.stderr
    pyman("rm", "-f", "-t", "0", "gone")
    leftovers.nothing(base, before)


def _lost(pyman: Run, base: Path, image: str, *options: str, records: tuple[str, ...] = ()) -> str:
    """The id of a container `gone` that runs and has lost its directory, or only the files `records`."""
    made = pyman("run", "-d", "--name", "gone", "--network", "none", *options, image, "sleep", "600").stdout.strip()
    if not records:
        taken_away(pyman, base, made)
    for name in records:
        (store(base) / "containers" / made / name).unlink()
    return made


@pytest.mark.parametrize("records", [(), ("state.json", "spec.json")])
@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_its_volumes_stay(pyman: Run, base: Path, image: str, tmp_path: Path, driver: str, records: tuple[str, ...]) -> None:
    before = leftovers.found(base)
    (tmp_path / "device").mkdir(mode=0o755)
    config = tmp_path / "containers.toml"
    config.write_text(f'[storage]\ndriver = "{driver}"\n')
    pyman("volume", "create", "--opt", "type=tmpfs", "v-tmpfs")
    pyman("volume", "create", "--opt", "type=bind", "--opt", f"device={tmp_path / 'device'}", "v-bind")
    pyman("volume", "create", "v-free")
    kinds = ["-v", "v-plain:/plain", "-v", "v-tmpfs:/tmpfs", "-v", "v-bind:/bind", "-v", "v-below:/below:O", "-v", "/anonymous"]
    kinds += ["--mount", "type=volume,src=v-part,dst=/part,subpath=."]
    made = pyman(
        "run", "-d", "--name", "gone", "--network", "none", *kinds, image, "sleep", "600", env={"PYMAN_CONF": str(config)}
    ).stdout.strip()
    names = [mount["Name"] for mount in json.loads(pyman("inspect", "gone").stdout)[0]["Mounts"]]
    assert len(names) == 6
    for name in records:
        (store(base) / "containers" / made / name).unlink()
    if not records:
        taken_away(pyman, base, made)
    assert pyman("volume", "prune", "-f").stdout == "v-free\n"
    for name in names:
        refused = pyman("volume", "rm", name, rc=2).stderr
        assert "used by the following container(s): gone" in refused
    assert sorted(pyman("volume", "ls", "-q").stdout.split()) == sorted(names)
    pyman("stop", "-t", "0", "gone")
    assert pyman("volume", "prune", "-f").stdout == ""
    pyman("rm", "-v", "gone")
    assert sorted(pyman("volume", "prune", "-f").stdout.split()) == sorted(name for name in names if len(name) < 64)
    leftovers.nothing(base, before)


@pytest.mark.parametrize("way", ["unlisted", "unknown"])
def test_no_volume_goes_while_nothing_tells_which_it_has(pyman: Run, base: Path, image: str, way: str) -> None:
    before = leftovers.found(base)
    made = _lost(pyman, base, image, "-v", "data:/data")
    place = store(base) / "containers" / made
    if way == "unlisted":
        place.parent.chmod(0o500)  # its directory cannot be made again
    else:
        pyman("ps")
        state = json.loads((place / "state.json").read_text())
        (place / "state.json").write_text(json.dumps({**state, "volume_at": {}, "volumes_unknown": True}))
    for words in (["volume", "prune", "-f"], ["volume", "rm", "data"], ["volume", "rm", "-f", "data"]):
        refused = pyman(*words, rc=125).stderr
        assert "cannot tell which volumes are in use: container gone may have any" in refused and "pyman rm --force gone" in refused
    assert pyman("volume", "ls", "-q").stdout == "data\n"
    if way == "unlisted":
        place.parent.chmod(0o700)
    pyman("rm", "-f", "-t", "0", "gone")
    assert pyman("volume", "prune", "-f").stdout == "data\n"
    leftovers.nothing(base, before)


def test_volumes_of_one_that_has_lost_its_state(pyman: Run, image: str, base: Path) -> None:
    """It does not run, and its configuration says which it was given; also before its first start, and for those below overlays."""
    given = ["-v", "a:/a", "-v", "b:/b:O", "--mount", "type=volume,src=c,dst=/c", "-v", "/anonymous", "-v", "/etc:/etc-of-host:ro"]
    pyman("create", "--name", "kept", "--network", "none", *given, image, "true")
    pyman("create", "--name", "other", "--network", "none", "--volumes-from", "kept", image, "true")
    for started in (False, True):
        for name in ("kept", "other"):
            (store(base) / "containers" / pyman("inspect", "-f", "{{.Id}}", name).stdout.strip() / "state.json").unlink()
        assert not {"a", "b", "c"} & set(pyman("volume", "prune", "-f").stdout.split())
        for volume in "abc":
            said = pyman("volume", "rm", volume, rc=2).stderr
            assert "kept (" in said and "other (" in said
        if not started:
            pyman("start", "-a", "kept")
            pyman("start", "-a", "other")
    pyman("rm", "-v", "kept", "other")
    assert {"a", "b", "c"} <= set(pyman("volume", "prune", "-f").stdout.split())


def test_a_repair_ends_it(pyman: Run, base: Path, image: str) -> None:
    before = leftovers.found(base)
    made = _lost(pyman, base, image, "--cgroups", "disabled")
    assert f"Deleted damaged container: {made}" in pyman("system", "check", "--repair", "--force").stdout
    assert pyman("ps", "-aq").stdout == ""
    leftovers.nothing(base, before)


def test_a_check_of_the_store_names_it(pyman: Run, base: Path, image: str) -> None:
    before = leftovers.found(base)
    made = _lost(pyman, base, image)
    for _ in range(2):  # nobody has met it yet; it has a directory again
        done = pyman("system", "check", rc=125)
        assert f"Damaged container {made}:" in done.stdout
        assert "the directory of container gone was removed from the store while it ran" in done.stdout
    assert pyman("ps", "-q").stdout.strip() == made[:12]
    pyman("rm", "-f", "-t", "0", "gone")
    pyman("system", "check")
    leftovers.nothing(base, before)


def test_what_cannot_be_started_again_is_not_ended_by_a_restart(pyman: Run, base: Path, image: str) -> None:
    before = leftovers.found(base)
    made = _lost(pyman, base, image)
    for words in (["gone"], ["--all"], ["--running"]):
        refused = pyman("restart", "-t", "0", *words, rc=125).stderr
        assert "cannot restart container gone: once stopped it could not be started again, so it goes on running" in refused
        assert "was removed from the store while it ran" in refused and "pyman rm --force gone" in refused
        assert pyman("ps", "-q").stdout.strip() == made[:12]
    said = pyman("exec", "gone", "true", rc=255).stderr
    assert "was removed from the store while it ran" in said and "pyman restart" not in said
    assert "root:" in pyman("cp", "gone:/etc/passwd", "-").stdout
    pyman("rm", "-f", "-t", "0", "gone")
    leftovers.nothing(base, before)

"""Containers whose files were damaged by a power cut, a full disk or a hand: nothing of the others is lost, and what can be known is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_restart_policies import directory, field

DAMAGES = ("", '{"status":"run', "[]", '{"a":1}', '{"status":5,"name":null}')


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_is_made_again(pyman: Run, image: str, base: Path, damage: str) -> None:
    none = ("--network", "none")
    pyman("run", "-d", "--name", "dr-up", *none, "-v", "dr-volume:/v", image, "sleep", "600")
    pyman("rename", "dr-up", "dr-living")
    pyman("create", "--name", "dr-new", "--label", "kept=1", *none, image, "true")
    pyman("run", "--name", "dr-over", *none, image, "sh", "-c", "exit 3", rc=3)
    names = ("dr-living", "dr-new", "dr-over")
    before = [field(pyman, name, "{{.Id}} {{.State.Pid}} {{.State.ConmonPid}} {{.Config.Labels}}") for name in names]
    paths = [directory(pyman, base, name) / "state.json" for name in names]
    for path in paths:
        path.write_text(damage)
    first, second = (pyman("ps", "-a", "--filter", "name=^dr-", "--format", "{{.Names}} {{.State}}") for _ in range(2))
    assert sorted(first.stdout.splitlines()) == ["dr-living running", "dr-new created", "dr-over exited"]
    told = [line for line in first.stderr.splitlines() if "has been made again" in line]
    assert len(told) == 3 and all("it is damaged" in line or "JSON object" in line for line in told)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert [field(pyman, name, "{{.Id}} {{.State.Pid}} {{.State.ConmonPid}} {{.Config.Labels}}") for name in names] == before
    assert field(pyman, "dr-over", "{{.State.ExitCode}}") == "3"
    assert pyman("exec", "dr-living", "echo", "alive").stdout == "alive\n"
    assert "being used" in pyman("volume", "rm", "dr-volume", rc=2).stderr
    paths[0].write_text(damage)
    pyman("stop", "-t", "0", "dr-living")
    assert field(pyman, "dr-living", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    paths[0].write_text(damage)
    pyman("start", "dr-living")
    assert "was damaged" in json.loads(paths[1].read_text())["note"]
    for path in paths:
        path.write_text(damage)
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

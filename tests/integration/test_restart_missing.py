"""A restart that fails for want of something of pyman's own is tried again; what the user named and is not there ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run, until
from tests.integration.test_restart_policies import field

SCRIPT = "until [ -e /s/go ]; do sleep 0.02; done; exit 3"


def begin(pyman: Run, image: str, tmp_path: Path) -> None:
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "always", "-v", f"{tmp_path}:/s", image, "sh", "-c", SCRIPT)


@pytest.mark.parametrize("place", ["home/.local/share/pyman/layers", "run/pyman/containers"])
@pytest.mark.parametrize("instead", [False, True])
def test_tried_again(pyman: Run, image: str, base: Path, tmp_path: Path, place: str, instead: bool) -> None:
    begin(pyman, image, tmp_path)
    path = base / place
    away = path.rename(path.with_name("away"))
    if not instead and place.startswith("run"):
        path.symlink_to("nowhere/at/all")  # a plain directory would be made anew
    elif instead:
        path.touch()
    try:
        (tmp_path / "go").touch()
        until(lambda: "the restart failed, and is tried again: " in field(pyman, "r", "{{.State.Error}}"))
        assert field(pyman, "r", "{{.State.Status}} {{.State.Restarting}} {{.RestartCount}}") == "exited true 0"
        assert pyman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Restarting (3) ")
    finally:
        if instead or path.is_symlink():
            path.unlink()
        away.rename(path)
    until(lambda: int(field(pyman, "r", "{{.RestartCount}}")) > 1)
    pyman("rm", "-f", "-t", "0", "r")


def test_given_up(pyman: Run, image: str, tmp_path: Path) -> None:
    begin(pyman, image, tmp_path)
    away = tmp_path.rename(tmp_path.with_name("away"))
    try:
        (away / "go").touch()
        until(lambda: "the restart failed: " in field(pyman, "r", "{{.State.Error}}"))
    finally:
        away.rename(tmp_path)
    assert field(pyman, "r", "{{.State.Restarting}} {{.RestartCount}}") == "false 0"
    pyman("rm", "-f", "-t", "0", "r")


def test_a_missing_file_of_its_own_is_no_missing_command(pyman: Run, image: str, base: Path) -> None:
    path = base / "run/pyman/containers"
    away = path.rename(path.with_name("away"))
    path.symlink_to("nowhere/at/all")
    try:
        done = pyman("run", "--rm", "--name", "r", "--network", "none", image, "true", rc=126)
    finally:
        path.unlink()
        away.rename(path)
    assert f"cannot start container r: {path}" in done.stderr
    assert "r" not in pyman("ps", "-a", "--format", "{{.Names}}").stdout.split()

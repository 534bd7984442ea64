"""Modules of the configuration: --module, lists that grow, containers that keep theirs, and units that name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run

ECHO = ("--network", "none", "demo", "sh", "-c", "echo $ONE-$TWO-$THREE")


@pytest.fixture
def folder(base: Path) -> Path:
    """The user's folder of modules, with two in it."""
    path = base / "home/.config/pyman/containers.toml.modules"
    path.mkdir(parents=True, exist_ok=True)
    (path / "one.toml").write_text('[containers]\nenv = ["ONE=1"]\n')
    (path / "two.toml").write_text('[containers]\nenv = ["TWO=2", {append = true}]\n[engine]\nstop_timeout = 3\n')
    return path


def test_modules_are_read_in_their_order(pyman: Run, image: str, folder: Path, tmp_path: Path) -> None:
    assert pyman("run", "--rm", *ECHO).stdout == "--\n"
    assert pyman("--module=one.toml", "run", "--rm", *ECHO).stdout == "1--\n"
    assert pyman("--module=one.toml", "--module", "two.toml", "run", "--rm", *ECHO).stdout == "1-2-\n"
    assert pyman("--module=two.toml", "--module=one.toml", "run", "--rm", *ECHO).stdout == "1-2-\n"  # it goes on growing
    (tmp_path / "three.toml").write_text('[containers]\nenv = ["THREE=3", {append = false}]\n')
    assert pyman("--module=two.toml", f"--module={tmp_path}/three.toml", "run", "--rm", *ECHO).stdout == "--3\n"
    assert pyman("run", "--rm", *ECHO).stdout == "--\n"  # nothing of it is kept


def test_a_container_keeps_its_modules(pyman: Run, image: str, folder: Path) -> None:
    pyman("--module=two.toml", "create", "--name", "kept", *ECHO)
    assert pyman("start", "-a", "kept").stdout == "-2-\n"
    assert pyman("--module=one.toml", "start", "-a", "kept").stdout == "1-2-\n"
    data = json.loads(pyman("inspect", "kept").stdout)[0]
    assert data["Config"]["StopTimeout"] == 3 and "--module=two.toml" in data["Config"]["CreateCommand"]
    assert f"\nContainersConfModule={folder}/two.toml\n" in pyman("quadlet", "from", "kept").stdout
    (folder / "two.toml").rename(folder / "away.toml")
    done = pyman("start", "kept", rc=125)
    assert f"cannot read the module {folder}/two.toml" in done.stderr
    assert pyman("rm", "kept").stdout


def test_what_cannot_be_read_is_an_error(pyman: Run, image: str, folder: Path, tmp_path: Path) -> None:
    done = pyman("--module=absent.toml", "ps", rc=125)
    assert "cannot use the module 'absent.toml'" in done.stderr and str(folder) in done.stderr
    (folder / "wrong.toml").write_text("[containers]\nbogus = 1\n")
    done = pyman("--module=wrong.toml", "run", "--rm", *ECHO, rc=125)
    assert f"{folder}/wrong.toml:2: unknown key bogus" in done.stderr
    (folder / "wrong.toml").write_text("[containers]\nenv = [{append = 1}]\n")
    done = pyman("--module=wrong.toml", "run", "--rm", *ECHO, rc=125)
    assert "wrong type for env" in done.stderr

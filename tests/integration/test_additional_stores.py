"""Additional image stores: their images are used where they lie, nothing there is ever written, and one that cannot be read is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import command, environment
from tests.integration.conftest import Own, runner


@pytest.fixture
def store(store: Path) -> Iterator[Path]:
    yield store
    runner(store)("unshare", "rm", "-rf", str(store / "far"), str(store / "away"))


@pytest.fixture
def own(store: Path) -> Own:
    return runner(store)


def state(store: Path) -> str:
    """Everything of the additional store, with the times at which it was last changed."""
    script = f"cd {store}/far && find . -printf '%P %i %s %T@ %C@ %n\\n' | sort"
    return subprocess.run(
        [*command(), "unshare", "sh", "-c", script], env=environment(store), check=True, capture_output=True, text=True
    ).stdout


def test_additional_store(own: Own, store: Path, layout: str) -> None:
    far, root = store / "far", store / "home/.local/share/pyman"
    own("pull", "-q", f"oci:{layout}:latest", PYMAN_GRAPHROOT=str(far))
    assert own("images", "-q") == ""
    conf = store / "home/.config/pyman/containers.toml"
    conf.parent.mkdir(parents=True)
    conf.write_text(f'[storage]\nadditional_image_stores = ["{far}", "{store}/nowhere"]\n')
    before = state(store)

    text = own("images")
    assert (
        text.splitlines()[0].endswith("R/O") and text.splitlines()[1].startswith("localhost/demo") and text.splitlines()[1].endswith("true")
    )
    identity = own("images", "-q", "--no-trunc").strip()
    assert own("run", "--rm", "--network", "none", "demo", "sh", "-c", "echo x > /file; cat /file") == "x\n"
    own("run", "--name", "box", "--network", "none", "demo", "sh", "-c", "echo new > /new")
    assert str(far) in own("inspect", "-f", "{{.GraphDriver.Data.LowerDir}}", "demo")
    assert "A /new" in own("diff", "box")
    own("commit", "-q", "box", "localhost/made")
    own("tag", "demo", "localhost/mine")
    names = own("images", "--format", "{{.Repository}} {{.ReadOnly}}")
    (root / "images.json").write_text("")
    own("system", "check", "--repair")
    assert own("images", "--format", "{{.Repository}} {{.ReadOnly}}") == names and "localhost/mine" in names
    own("save", "-q", "-o", str(store / "saved.tar"), "demo")
    own("push", "-q", "demo", f"oci:{store}/pushed")
    own("pull", "-q", f"oci:{layout}:latest")
    assert own("run", "--rm", "--network", "none", "made", "cat", "/new") == "new\n"
    assert len(os.listdir(root / "layers")) == 1  # the committed one: nothing was copied
    assert own("system", "check") == ""
    own("rm", "box")
    own("rmi", "mine", "demo:latest")
    assert own("images", "-q", "--no-trunc", "demo").strip() == identity
    assert "which is never written" in own("rmi", "demo", rc=2)
    own("image", "prune", "-af")
    own("system", "prune", "-f", "--filter", "label=none")
    own("rmi", "-af")
    assert own("images", "-q", "--no-trunc").strip() == identity
    assert state(store) == before

    # What is gone or damaged there is named by who misses it, and breaks nothing else.
    own("create", "--name", "kept", "--network", "none", "demo", "true")
    far.rename(store / "away")
    named = f"the additional image store {far} cannot be used: No such file or directory"
    assert named in own("start", "kept", rc=125)
    assert named in own("run", "--pull", "never", "--rm", "demo", "true", rc=125)
    assert own("images", "-q") == "" and own("ps", "-a", "--format", "{{.Names}}") == "kept\n"
    (store / "away").rename(far)
    own("start", "kept")
    own("rm", "-f", "kept")
    index = far / "images.json"
    good = index.read_text()
    for bad, text in (
        ("{", "it is damaged"),
        ('{"images": {"x": {}}}', "damaged records: x"),
        (good.replace('"layers":["', '"layers":["../'), "damaged"),
    ):
        index.write_text(bad)
        assert text in own("image", "inspect", "demo", rc=125) or text in own("run", "--pull", "never", "demo", rc=125)
    index.write_text(good)
    own("pull", "-q", f"oci:{layout}:latest")
    assert own("run", "--rm", "--network", "none", "demo", "echo", "fine") == "fine\n"

"""kill -9 at every stage of `rm`: the next commands know what is there, and nothing of the container stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration import leftovers
from tests.integration.test_stages import kill_at

STAGES = ("remove:volumes", "remove:unmade", "remove:name", "remove:renamed")


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
@pytest.mark.parametrize("whole", ["", "!"])
@pytest.mark.parametrize("stage", STAGES)
def test_removal(pyman: Run, image: str, base: Path, stage: str, whole: str, driver: str) -> None:
    env = {"PYMAN_STORAGE_DRIVER": driver}
    before = leftovers.found(base)
    pyman("run", "-d", "--name", "killed", "-v", "/anonymous", "-v", "kept:/kept", image, "sleep", "600", env=env)
    assert kill_at(base, stage + whole, "rm", "-f", "-v", "-t", "0", "killed", **env) != 0, f"{stage} was not reached"
    # It is there, and ended, or it is not: never half.
    shown = pyman("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout
    assert shown in ("", "killed exited\n"), shown
    pyman("rm", "killed", rc=0 if shown else 1)
    assert pyman("volume", "ls", "-q").stdout.split().count("kept") == 1
    assert pyman("run", "--rm", "--name", "killed", "-v", "kept:/kept", image, "echo", "fine", env=env).stdout == "fine\n"
    pyman("volume", "prune", "-f")
    leftovers.nothing(base, before)

"""kill -9 at every stage of the verbs that work on a container: once it is removed, nothing of it is left anywhere.

The container has all that can leak: an address and a port on a bridge, secrets as file and variable, a named and an anonymous volume.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyman import stages
from tests.conftest import Run, until
from tests.integration import leftovers
from tests.integration.test_bridge import leases, named
from tests.integration.test_stages import kill_at

OPTIONS = ("--name", "killed", "--network", "leaks", "-p", "127.0.0.1::80", "-v", "kept:/kept", "-v", "/anonymous")
SECRETS = ("--secret", "leak", "--secret", "leak,type=env,target=LEAK")
START = [stage for stage in stages.RUN if stage.startswith("start:")]
CASES = {
    "create": [*(stage for stage in stages.RUN if stage.startswith("create:")), "create:volume"],
    "start": [*START, *stages.BRIDGE],
    "exec": stages.EXEC,
    "exec -d": stages.EXEC_DETACHED,
    "stop": stages.STOP,
    "restart": [*stages.RESTART, *START],
    "commit": stages.COMMIT,
    "volume import": ["volume:unpacked", "volume:importing"],
}
SECRET = "a value that nobody else has"


def words(verb: str, image: str, archive: Path) -> tuple[str, ...]:
    """The command that is killed."""
    return {
        "create": ("create", *OPTIONS, *SECRETS, image, "sleep", "600"),
        "start": ("start", "killed"),
        "exec": ("exec", "killed", "true"),
        "exec -d": ("exec", "-d", "killed", "true"),
        "stop": ("stop", "-t", "0", "killed"),
        "restart": ("restart", "-t", "0", "killed"),
        "commit": ("commit", "-q", "killed", "localhost/leaks:1"),
        "volume import": ("volume", "import", "kept", str(archive)),
    }[verb]


@pytest.mark.parametrize("whole", ["", "!"])
@pytest.mark.parametrize("verb", CASES)
def test_nothing_is_left(pyman: Run, image: str, base: Path, verb: str, whole: str) -> None:
    (base / "leak").write_text(SECRET)
    archive = base / "leaks.tar"
    subprocess.run(["tar", "-C", str(base), "-cf", str(archive), "leak"], check=True)
    pyman("network", "create", "leaks")
    pyman("secret", "create", "leak", str(base / "leak"))
    pyman("volume", "create", "kept")
    before = leftovers.found(base)
    for stage in CASES[verb]:
        if verb == "start":
            pyman("create", *OPTIONS, *SECRETS, image, "sleep", "600")
        elif verb != "create":
            pyman("run", "-d", *OPTIONS, *SECRETS, image, "sleep", "600")
        code = kill_at(base, stage + whole, *words(verb, image, archive))
        assert code != 0 or stage in ("exec:recorded", "exec:reported", "start:reported"), f"{stage} was not reached"
        pyman("rm", "-f", "-v", "-t", "0", "--ignore", "killed")
        pyman("rmi", "-f", "--ignore", "localhost/leaks:1")
        pyman("image", "prune", "-f")
        pyman("volume", "ls")
        pyman("network", "inspect", "leaks")
        leftovers.nothing(base, before)
        until(lambda: not leases(base) and not named(base), f"{stage}: {leases(base)} {named(base)}")
        holders = [str(path) for top in (base / "run", base / "home") for path in _files(top) if SECRET.encode() in path.read_bytes()]
        assert not [path for path in holders if "/volumes/kept/" not in path], (stage, holders)
    pyman("volume", "rm", "kept")
    pyman("secret", "rm", "leak")
    pyman("network", "rm", "leaks")


def _files(top: Path) -> list[Path]:
    return [
        path
        for place, _, names in os.walk(top)
        for path in (Path(place, name) for name in names)
        if path.is_file() and path.stat().st_size < 1 << 20
    ]

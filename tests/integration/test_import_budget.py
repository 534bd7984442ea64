"""Hot commands import no third party and none of the slow modules; the same for the number of interpreters and fsyncs of a run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

DENIED = set(
    "typer rich oras requests pyroute2 jsonschema pydantic tomli tomllib dataclasses inspect typing argparse asyncio logging subprocess tempfile pathlib "
    "shutil urllib http ssl email importlib.metadata json re enum socket signal contextlib collections functools random datetime site threading ctypes sysconfig".split()
)


def loaded(pyman: Run, base: Path, *args: str, rc: int | None = 0) -> set[str]:
    path = base / "modules"
    path.unlink(missing_ok=True)
    pyman(*args, rc=rc, env={"PYMAN_DEBUG_MODULES": str(path)})
    return set(path.read_text().split("\n"))


@pytest.mark.parametrize(
    "verb", ["version", "ps", "images", "inspect", "logs", "exec", "run", "create", "stop", "start", "kill", "wait", "rm"]
)
def test_hot_commands_stay_lean(pyman: Run, image: str, base: Path, verb: str) -> None:
    pyman("run", "-d", "--name", "hot", "--network", "none", image, "sleep", "600")
    args = {
        "version": (),
        "images": (),
        "ps": ("-a",),
        "exec": ("hot", "true"),
        "run": ("--rm", "--network", "none", image, "true"),
        "create": (image,),
        "stop": ("-t", "0", "hot"),
        "wait": ("hot",),
        "rm": ("-f", "-t", "0", "hot"),
    }.get(verb, ("hot",))
    if verb == "wait":
        pyman("stop", "-t", "0", "hot")
    # The last: `os` is the lean one (pyman/leanos.py).
    assert not loaded(pyman, base, verb, *args) & (DENIED | {"_collections_abc"})


def test_the_check_detects_a_violation(pyman: Run, image: str, base: Path) -> None:
    assert {"typer", "re"} <= loaded(pyman, base, "ps", "--help") & DENIED


def test_one_interpreter_and_no_fsync_per_run(base: Path, pyman: Run, image: str) -> None:
    # A traced newuidmap has no privileges: the run joins the user namespace of a living container, which needs none.
    pyman("run", "-d", "--name", "alive", "--network", "none", image, "sleep", "600")
    trace = base / "trace"
    args = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=execve,fsync,fdatasync,syncfs", *command()]
    subprocess.run([*args, "run", "--rm", "--network", "none", image, "true"], env=environment(base), check=True, stdin=subprocess.DEVNULL)
    pyman("rm", "-f", "-t", "0", "alive")
    text = trace.read_text()
    # A call that another process's line stands in is written in two: its result is not on the line that names the program.
    assert len(re.findall(r'execve\("[^"]*/python[0-9.]*", (?!.*= -1 )', text)) == 1, text
    assert "sync(" not in text

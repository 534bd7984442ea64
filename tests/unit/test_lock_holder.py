"""Who holds a lock, in words that may stand in an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyman.state import lock_holder

HOLD = "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(flush=True); time.sleep(600)"
COMMANDS = [(["run", "-e", "PASS=hunter2"], "pyman run"), (["--root", "/r", "container", "cleanup", "ID"], "pyman container cleanup")]


@pytest.mark.parametrize("words, shown", COMMANDS)
def test_a_holder_is_named_without_its_arguments(tmp_path: Path, words: list[str], shown: str) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path), "/lib/pyman/__main__.py", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline()
        said = lock_holder.described(str(tmp_path))
        holder.kill()
    assert said == f"process {holder.pid} ({shown})"

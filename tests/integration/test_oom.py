"""The out-of-memory note: only for a kill that the kernel's counter tells of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run


@pytest.mark.parametrize(
    ("counted", "number", "noted"), [(1, signal.SIGKILL, True), (0, signal.SIGKILL, False), (1, signal.SIGTERM, False)]
)
def test_the_monitor_compares_the_counter(base: Path, counted: int, number: int, noted: bool) -> None:
    place = base / "oom"
    place.mkdir(exist_ok=True)
    counter, record = place / "memory.events", place / "exit.json"
    record.unlink(missing_ok=True)
    counter.write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 4\noom_group_kill 0\n")
    parent = os.fork()
    if parent == 0:  # the monitor is init's parent
        child = os.fork()
        if child == 0:
            os.execv("/bin/sleep", ["sleep", "600"])
        (place / "init").write_text(str(child))
        monitor = str(ROOT / "pyman/_native/pyman-monitor")
        os.execv(monitor, [monitor, "--init", str(child), "--run-dir", str(place), "--exit-file", str(record), "--oom", str(counter)])
    while not (place / "attach").exists():  # it listens: the first count is taken
        os.sched_yield()
    subprocess.run(["sleep", "0.1"], check=True)
    counter.write_text(f"oom_kill {4 + counted}\n")
    os.kill(int((place / "init").read_text()), number)
    os.waitpid(parent, 0)
    assert json.loads(record.read_text())["oom"] is noted


def test_an_ordinary_kill_is_no_oom(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "k", "--network", "none", image, "sleep", "600")
    pyman("kill", "k")
    pyman("wait", "k")
    assert pyman("inspect", "k", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}").stdout == "false 137\n"
    pyman("rm", "k")

"""The out-of-memory note: only for a kill that the kernel's counter tells of."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, until


@pytest.mark.parametrize(
    ("counted", "number", "noted"), [(1, signal.SIGKILL, True), (0, signal.SIGKILL, False), (1, signal.SIGTERM, False)]
)
def test_the_monitor_compares_the_counter(base: Path, counted: int, number: int, noted: bool) -> None:
    place = base / "oom"
    place.mkdir(exist_ok=True)
    counter, record, log, group = place / "memory.events", place / "exit.json", place / "events.log", place / "group"
    record.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    group.mkdir(exist_ok=True)
    (group / "memory.max").write_text("16777216\n")
    (group / "memory.peak").write_text("16777000\n")
    counter.write_text("low 0\nhigh 0\nmax 3\noom 1\noom_kill 4\noom_group_kill 0\n")
    parent = os.fork()
    if parent == 0:  # the monitor is init's parent
        child = os.fork()
        if child == 0:
            os.execv("/bin/sleep", ["sleep", "600"])
        (place / "init").write_text(str(child))
        monitor = str(ROOT / "pyman/_native/pyman-monitor")
        args = ["--init", str(child), "--run-dir", str(place), "--exit-file", str(record), "--oom", str(counter)]
        args += ["--cgroup", str(group), "--events", str(log), "--event", '"ID":"abc","Name":"n"']
        os.execv(monitor, [monitor, *args])
    until((place / "exit.json.tmp").exists)  # there is room for the record: the first count is taken
    counter.write_text(f"oom_kill {4 + counted}\n")
    os.kill(int((place / "init").read_text()), number)
    os.waitpid(parent, 0)
    told = json.loads(record.read_text())
    assert told["oom"] is noted and told.get("OOMKills", 0) == counted
    died, cleanup = [json.loads(line) for line in log.read_text().splitlines()]
    assert (died["Status"], died["Signal"], cleanup["Status"]) == ("died", number, "cleanup")
    if counted:
        assert (told["MemoryMax"], told["MemoryPeak"]) == (16777216, 16777000) == (died["MemoryMax"], died["MemoryPeak"])
    assert died.get("OOMKilled", False) is noted


def test_an_ordinary_kill_is_no_oom(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "k", "--network", "none", image, "sleep", "600")
    pyman("kill", "k")
    pyman("wait", "k")
    assert pyman("inspect", "k", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}").stdout == "false 137\n"
    pyman("rm", "k")

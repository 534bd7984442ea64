"""Waits for a lock: who is waited for is said, and a stopped process holds up neither kill nor rm --force for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pyman.linux import process
from tests.conftest import Run, command, environment, until
from tests.integration.test_restart_policies import directory, ended, field

HOLD = "import fcntl, os, signal, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); os.kill(os.getpid(), signal.SIGSTOP)"


def stopped_holder(path: Path) -> subprocess.Popen[bytes]:
    """A process that has taken the lock and was stopped, as by Ctrl-Z."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path), "\033[1m\n"])
    until(lambda: process.state(holder.pid) == "T")
    return holder


def start(base: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*command(), *words], env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_stopped_process_holds_the_lock(pyman: Run, image: str, base: Path) -> None:
    for name in ("killed", "removed", "stopped"):
        pyman("run", "-d", "--name", name, "--network", "none", image, "sleep", "600")
    pyman("create", "--name", "made", image, "true")
    init = int(field(pyman, "killed", "{{.State.Pid}}"))
    holders = {name: stopped_holder(directory(pyman, base, name)) for name in ("killed", "removed", "stopped", "made")}
    named = {name: f"process {holder.pid} ({Path(sys.executable).name})" for name, holder in holders.items()}
    try:
        kill, remove = start(base, "kill", "killed"), start(base, "rm", "-f", "-t", "0", "removed")
        stop, kill_made = start(base, "stop", "-t", "0", "stopped"), start(base, "kill", "made")

        assert (*kill.communicate(timeout=120), kill.returncode) == ("killed\n", "", 0)
        until(lambda: ended(init))
        for refused, name in ((remove, "removed"), (kill_made, "made")):
            shown, said = refused.communicate(timeout=120)
            assert (shown, refused.returncode) == ("", 125)
            assert named[name] in said and "which is stopped" in said and f"kill -CONT {holders[name].pid}" in said

        assert stop.stderr
        line = stop.stderr.readline()
        assert line.startswith(f"Warning: this waits for {named['stopped']}") and "which is stopped" in line and "\033" not in line
        holders["stopped"].send_signal(signal.SIGCONT)
        assert (*stop.communicate(timeout=120), stop.returncode) == ("stopped\n", "", 0)
    finally:
        for holder in holders.values():
            holder.kill()
            holder.wait()
    assert field(pyman, "killed", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    assert "kill" in pyman("events", "--stream=false", "--filter", "container=killed", "--format", "{{.Status}}").stdout.split()
    pyman("rm", "-f", "-t", "0", "killed", "removed", "stopped", "made")


def test_a_lock_that_was_left_to_a_child(pyman: Run, image: str, base: Path) -> None:
    """The kernel's list of locks names the parent, which has ended."""
    pyman("create", "--name", "r", image, "true")
    script = "import os, sys; os.fork() and os._exit(0); os.kill(os.getpid(), 19)"
    taken = HOLD.partition("os.kill")[0] + script
    with subprocess.Popen([sys.executable, "-c", taken, str(directory(pyman, base, "r"))]) as parent:
        pass
    assert parent.returncode == 0
    child = until(lambda: [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if script in words(pid)])[0]
    try:
        until(lambda: process.state(child) == "T")
        assert f"process {child} (" in pyman("rm", "-f", "r", rc=125).stderr
    finally:
        os.kill(child, signal.SIGKILL)
    pyman("rm", "-f", "r")


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""

"""Nothing outlives what it served: namespace holders, pasta, FUSE daemons, whoever is killed and whenever."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until


def _mine(base: Path) -> dict[int, str]:
    """Command lines of the processes whose environment or arguments name the session's directory."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mine = os.stat(f"/proc/{entry}").st_uid == os.getuid()
            status = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if mine and (str(base) in line or line.startswith("pyman-namespaces")) and status != "Z":
            found[int(entry)] = line
    return found


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_helpers_end_with_a_killed_monitor_and_its_container(pyman: Run, image: str, base: Path, driver: str) -> None:
    before = _mine(base)
    pyman("--storage-driver", driver, "run", "-d", "--name", "h", image, "sleep", "600")

    def runs(name: str) -> bool:
        return any(name in line for pid, line in _mine(base).items() if pid not in before)

    for name in ("pasta", "pyman-monitor", *(["fuse-overlayfs"] if driver == "fuse-overlayfs" else [])):
        until(lambda name=name: runs(name), f"no {name} runs")  # type: ignore[misc]
    pids = pyman("inspect", "h", "--format", "{{.State.ConmonPid}} {{.State.Pid}}").stdout.split()
    pyman("unshare", "kill", "-9", *pids, rc=None)  # init dies with its monitor: it may be gone when its turn comes
    until(lambda: not set(_mine(base)) - set(before), "helpers are left")
    pyman("rm", "-f", "h")


def test_fuse_daemon_lives_while_the_container_does(pyman: Run, image: str, base: Path) -> None:
    pyman("--storage-driver", "fuse-overlayfs", "run", "-d", "--name", "f", "--network", "none", image, "sleep", "600")
    pyman("exec", "f", "sh", "-c", "echo data > /file && cat /file")
    pyman("stop", "-t", "0", "f")
    until(lambda: not any("fuse-overlayfs" in line for line in _mine(base).values()))
    pyman("--storage-driver", "fuse-overlayfs", "start", "f")
    assert pyman("exec", "f", "cat", "/file").stdout == "data\n"
    pyman("rm", "-f", "-t", "0", "f")


def test_a_failed_or_killed_command_leaves_no_holder(pyman: Run, image: str, base: Path) -> None:
    before = set(_mine(base))
    pyman("run", "--rm", "--pull", "never", "no/such/image", rc=125)
    until(lambda: set(_mine(base)) <= before)
    for pause in (0.0, 0.01, 0.02, 0.03, 0.05):
        child = subprocess.Popen([*command(), "run", "--rm", image, "true"], env=environment(base), stdin=subprocess.DEVNULL)
        time.sleep(pause)
        child.send_signal(signal.SIGKILL)
        child.wait()
    until(lambda: set(_mine(base)) <= before, "holders are left")
    until(lambda: not pyman("ps", "-aq").stdout)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_no_cgroup_of_another_runtime_stays(pyman: Run, image: str, base: Path, runtime: str) -> None:
    """Where the user may make cgroups, other runtimes do; nobody calls their `delete`."""
    for _ in range(2):
        made = pyman("create", "--runtime", runtime, "--network", "none", image, "true").stdout.strip()
        pyman("start", "-a", made)
        pyman("start", "-a", made)
        pyman("rm", made)
        found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", made], capture_output=True, text=True, check=False)
        assert found.stdout == ""

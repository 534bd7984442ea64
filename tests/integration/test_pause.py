"""pause, unpause and update of what ends at that moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pyman.runtime import cgroup
from tests.conftest import Run, until
from tests.integration.test_restart_policies import ended


def test_what_ends_while_it_is_paused_or_updated(pyman: Run, image: str) -> None:
    """Its control group is empty, or has gone, and nobody has noted its end yet: that is told at once, and is no failure of the limits."""
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sleep", "600")
    monitor, init = (int(word) for word in pyman("inspect", "-f", "{{.State.ConmonPid}} {{.State.Pid}}", "box").stdout.split())
    group = Path(cgroup.path_of(init))
    os.kill(monitor, signal.SIGSTOP)
    try:
        os.kill(init, signal.SIGKILL)
        until(lambda: ended(init))
        meanwhile = '"box" is not running, can\'t pause: container state improper: it ended meanwhile'
        assert meanwhile in pyman("pause", "box", rc=125).stderr
        for directory in [*(path for path in sorted(group.rglob("*"), reverse=True) if path.is_dir()), group]:
            directory.rmdir()
        assert meanwhile in pyman("pause", "box", rc=125).stderr
        assert pyman("pause", "--all").stdout == ""
        pyman("update", "--pids-limit", "50", "box")
    finally:
        os.kill(monitor, signal.SIGCONT)
    pyman("wait", "box")
    assert pyman("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.PidsLimit}}", "box").stdout == "exited 137 50\n"
    pyman("rm", "box")


@pytest.mark.parametrize("stage", ["pause:noted", "pause:frozen"])
@pytest.mark.parametrize("after", [("ps", "--format", "{{.State}}"), ("exec", "box", "echo", "running"), ("stop", "-t", "0", "box")])
def test_a_commit_that_was_killed_keeps_nothing_frozen(pyman: Run, image: str, stage: str, after: tuple[str, ...]) -> None:
    """The next command lets the container go on, whichever it is."""
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sleep", "600")
    pyman("commit", "-q", "--pause", "box", "made", rc=-signal.SIGKILL, env={"PYMAN_KILL_AT": stage})
    shown = pyman(*after).stdout
    assert shown == ("box\n" if after[0] == "stop" else "running\n")
    if after[0] != "stop":
        assert Path(cgroup.path_of(int(pyman("inspect", "-f", "{{.State.Pid}}", "box").stdout)), "cgroup.freeze").read_text() == "0\n"
        pyman("pause", "box")  # the user's own stays
        assert pyman("ps", "-a", "--format", "{{.State}}").stdout == "paused\n"
    pyman("rm", "-f", "-t", "0", "box")
    pyman("rmi", "-f", "made", rc=None)

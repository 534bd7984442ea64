"""pause, unpause and update of what ends at that moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

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

"""A command whose terminal is closed, as a lost session does, ends; the container lives on. The exit codes are Podman's."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until
from tests.integration.test_restart_policies import field

NONE = ("--network", "none")
ENDLESS = "trap '' HUP; while :; do echo x; echo y >&2; usleep 1000; done"


def left(base: Path, *args: str) -> int:
    """The exit code of pyman on a terminal that is closed once something is seen on it."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(command()[0], [*command(), *args], environment(base))
    seen = b""
    while b"x" not in seen:  # from then on the shell ignores the signal that the closed terminal means
        seen += os.read(fd, 4096)
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def endless(pyman: Run, image: str) -> Iterator[str]:
    pyman("create", "--name", "t", *NONE, image, "sh", "-c", ENDLESS)
    yield "t"
    pyman("rm", "-f", "-t", "0", "t")


@pytest.mark.parametrize("options", [(), ("-i",), ("-t",), ("-it",), ("--rm",)], ids=["plain", "stdin", "terminal", "both", "rm"])
def test_run(base: Path, pyman: Run, image: str, options: tuple[str, ...]) -> None:
    assert left(base, "run", *options, "--name", "t", *NONE, image, "sh", "-c", ENDLESS) == 126
    assert pyman("exec", "t", "echo", "alive").stdout == "alive\n"
    pyman("kill", "t")
    if options == ("--rm",):
        until(lambda: not pyman("ps", "-aq").stdout)
    else:
        pyman("rm", "-f", "-t", "0", "t")


def test_attach_and_start(base: Path, pyman: Run, endless: str) -> None:
    assert left(base, "start", "--attach", endless) == 125
    assert left(base, "attach", endless) == 125
    assert left(base, "attach", "--no-stdin", endless) == 125
    assert field(pyman, endless, "{{.State.Status}}") == "running"


def test_exec_on_a_terminal(base: Path, pyman: Run, endless: str) -> None:
    """Its command learns it (with Podman it goes on unseen), and nothing of ours breaks when the closed terminal is given back."""
    pyman("start", endless)
    assert left(base, "exec", "-it", endless, "sh", "-c", "trap 'exit 5' HUP; while :; do echo x; usleep 1000; done") == 5

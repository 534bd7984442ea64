"""Commands that attach to a container that runs: they lose nothing while they read, hold nobody up for ever, and tell what happened."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyman.monitor import attach as client
from tests.conftest import Run, command, environment, until
from tests.integration.test_restart_policies import field

LINES = "".join(f"{number}\n" for number in range(1, 200001))
WRITE = "until test -e /go; do usleep 1000; done; seq 1 200000; touch /done; until test -e /end; do usleep 1000; done; exit 7"


@pytest.fixture
def writer(pyman: Run, image: str) -> Iterator[str]:
    """A container that writes many lines once told to, and ends with 7 once told to."""
    pyman("run", "-d", "--name", "writer", "--network", "none", "--init", image, "sh", "-c", WRITE)
    yield "writer"
    pyman("rm", "-f", "-t", "0", "writer")


def begin(base: Path, pyman: Run, number: int = 1) -> list[subprocess.Popen[str]]:
    """So many commands that attach; they are attached when this returns."""
    argv = [*command(), "attach", "--no-stdin", "--sig-proxy=false", "writer"]
    pipe = subprocess.PIPE
    started = [subprocess.Popen(argv, env=environment(base), stdout=pipe, stderr=pipe, text=True) for _ in range(number)]
    identifier = field(pyman, "writer", "{{.ID}}")
    attached = ("events", "--stream=false", "--filter", f"container={identifier}", "--filter", "event=attach", "--format", "{{.Status}}")
    until(lambda: len(pyman(*attached).stdout.split()) == number)
    return started


def state(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_who_reads_gets_everything(base: Path, pyman: Run, writer: str) -> None:
    attached = begin(base, pyman, 3)
    pyman("exec", writer, "touch", "/go", "/end", rc=None)
    with ThreadPoolExecutor() as pool:
        for out, err in pool.map(lambda process: process.communicate(timeout=300), attached):
            assert (out, err) == (LINES, "")
    assert [process.returncode for process in attached] == [0] * 3


def test_a_stopped_one_does_not_stop_the_container(base: Path, pyman: Run, writer: str) -> None:
    stopped, reader = begin(base, pyman, 2)
    others = ThreadPoolExecutor().submit(reader.communicate, timeout=300)
    os.kill(stopped.pid, signal.SIGSTOP)
    until(lambda: state(stopped) == "T")
    pyman("exec", writer, "touch", "/go")
    until(lambda: pyman("exec", writer, "test", "-e", "/done", rc=None).returncode == 0)
    os.kill(stopped.pid, signal.SIGCONT)
    pyman("exec", writer, "touch", "/end", rc=None)  # the end of the container may come before its own
    out, err = stopped.communicate(timeout=300)
    assert stopped.returncode == 0
    found = re.findall(r"Warning: (\d+) bytes of the output of container writer are not shown", err)
    assert len(out) + sum(map(int, found)) == len(LINES) and len(found) == err.count("\n") >= 1
    assert LINES.startswith(out[:1000])
    assert others.result() == (LINES, "") and reader.returncode == 0


def test_a_stopped_one_learns_the_end(base: Path, pyman: Run, writer: str) -> None:
    (stopped,) = begin(base, pyman)
    os.kill(stopped.pid, signal.SIGSTOP)
    until(lambda: state(stopped) == "T")
    pyman("exec", writer, "touch", "/go")
    pyman("stop", "-t", "0", writer)
    assert field(pyman, writer, "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    os.kill(stopped.pid, signal.SIGCONT)
    out, err = stopped.communicate(timeout=300)
    assert (out, err, stopped.returncode) == (pyman("logs", writer).stdout, "", 0)


@pytest.mark.parametrize("again", [False, True], ids=["ended", "again"])
def test_one_that_was_not_awaited_at_the_end(base: Path, pyman: Run, writer: str, again: bool) -> None:
    (stopped,) = begin(base, pyman)
    monitor = int(field(pyman, writer, "{{.State.ConmonPid}}"))
    os.kill(stopped.pid, signal.SIGSTOP)
    until(lambda: state(stopped) == "T")
    pyman("exec", writer, "touch", "/go", "/end", rc=None)
    until(lambda: field(pyman, writer, "{{.State.Status}}") == "exited")
    until(lambda: not os.path.exists(f"/proc/{monitor}"))
    assert field(pyman, writer, "{{.State.ExitCode}}") == "7"
    if again:
        pyman("start", writer)
    os.kill(stopped.pid, signal.SIGCONT)
    out, err = stopped.communicate(timeout=300)
    assert LINES.startswith(out)
    if again:
        assert stopped.returncode == 125 and "Error: cannot tell how container writer ended: it was started again" in err
    else:
        assert stopped.returncode == 0
        assert (
            err
            == "Warning: the last output of container writer may not be shown, since nobody took it here for 10 seconds: pyman logs writer\n"
        )


def test_the_exit_code_of_one_that_starts_it(base: Path, pyman: Run, image: str) -> None:
    """`start --attach` is a later client where the container was initialized before, and ends with its code."""
    pyman("create", "--name", "initialized", "--network", "none", image, "sh", "-c", "seq 1 200000; exit 7")
    pyman("init", "initialized")
    assert pyman("start", "--attach", "initialized", rc=7).stdout == LINES
    pyman("rm", "initialized")


def test_more_than_there_can_be(base: Path, pyman: Run, writer: str) -> None:
    directory = base / "run/pyman/containers" / field(pyman, writer, "{{.ID}}")
    sockets = [client.connect(str(directory)) for _ in range(16)]
    done = pyman("attach", "--no-stdin", writer, rc=125)
    assert "cannot attach to container writer: 16 commands are attached to it already" in done.stderr
    for socket in sockets:
        socket.close()

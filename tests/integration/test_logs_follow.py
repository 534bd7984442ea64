"""Logs that are followed while the container writes more than the files that stay for a reader can hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until

LINES = 120_000  # of a thousand bytes


def _start(pyman: Run, image: str, base: Path, driver: str) -> tuple[subprocess.Popen[bytes], Path]:
    """The container, which waits, and a reader of its log that writes to a file."""
    program = f'BEGIN {{ for (i = 1; i <= {LINES}; i++) printf "%0999d\\n", i }}'
    script = f"echo ready; while [ ! -e /go ]; do sleep 0.02; done; awk '{program}'"
    options = ["--log-driver", driver, "--log-opt", "max-size=1048576", "--log-opt", "max-file=2"]
    pyman("run", "-d", "--name", "fast", "--network", "none", *options, image, "sh", "-c", script)
    out = base / "fast.out"
    with out.open("wb") as stdout:
        reader = subprocess.Popen([*command(), "logs", "-f", "fast"], env=environment(base), stdout=stdout, stderr=subprocess.PIPE)
    until(lambda: out.read_bytes() == b"ready\n")
    return reader, out


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_nothing_is_lost_or_doubled(pyman: Run, image: str, base: Path, driver: str) -> None:
    """A hundred rotations: the container waits for a reader that is slower than it is."""
    reader, out = _start(pyman, image, base, driver)
    pyman("exec", "fast", "touch", "/go")
    assert reader.communicate(timeout=1200)[1] == b""
    with out.open("rb") as lines:
        assert next(lines) == b"ready\n"
        number = 0
        for number, line in enumerate(lines, 1):
            assert len(line) == 1000 and int(line.lstrip(b"0")) == number
    assert number == LINES
    out.unlink()
    pyman("rm", "-f", "-t", "0", "fast")


def test_a_reader_that_has_stopped_does_not_stop_the_container(pyman: Run, image: str, base: Path) -> None:
    reader, out = _start(pyman, image, base, "k8s-file")
    reader.send_signal(19)
    pyman("exec", "fast", "touch", "/go")
    pyman("wait", "fast", timeout=1200)
    reader.send_signal(18)
    assert b"were rotated away before they could be read" in reader.communicate(timeout=1200)[1]
    with out.open("rb") as lines:
        *_, last = lines
    assert int(last) == LINES, "it goes on with what is there"
    out.unlink()
    pyman("rm", "-f", "-t", "0", "fast")


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_without_follow_it_is_what_was_there(pyman: Run, image: str, driver: str) -> None:
    """However fast the container writes, and however often its log is rotated meanwhile."""
    options = ("--log-driver", driver, "--log-opt", "max-size=10k", "--log-opt", "max-file=3")
    pyman("run", "-d", "--name", "fast", "--network", "none", *options, image, "sh", "-c", "i=0; while :; do echo $((i += 1)); done")
    until(lambda: len(pyman("logs", "fast").stdout.split()) > 100)
    for _ in range(20):
        first, second, third = pyman("logs", "--tail", "3", "fast").stdout.split()
        assert int(second) == int(first) + 1 and str(int(first) + 2).startswith(third)  # the last line may have been written in part
        assert pyman("logs", "--tail", "0", "fast").stdout == ""
        numbers = list(map(int, pyman("logs", "fast").stdout.split()))[:-1]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) < 3 * 10_000 / 2
    pyman("rm", "-f", "-t", "0", "fast")


def test_files_that_were_kept_for_a_reader_go_with_the_end(pyman: Run, image: str, base: Path) -> None:
    options = ("--log-opt", "max-size=10k", "--log-opt", "max-file=2", "--log-opt", f"path={base}/kept.log")
    script = "echo ready; while [ ! -e /go ]; do sleep 0.02; done; seq 1 20000; touch /done; while [ ! -e /end ]; do sleep 0.02; done"
    pyman("run", "-d", "--name", "fast", "--network", "none", *options, image, "sh", "-c", script)
    out = base / "fast.out"
    with out.open("wb") as stdout:
        reader = subprocess.Popen([*command(), "logs", "-f", "fast"], env=environment(base), stdout=stdout)
    until(lambda: out.read_bytes() == b"ready\n")
    reader.send_signal(19)
    pyman("exec", "fast", "sh", "-c", "touch /go; while [ ! -e /done ]; do sleep 0.02; done")
    assert len(list(base.glob("kept.log*"))) > 10
    reader.kill()
    reader.wait()
    pyman("exec", "fast", "touch", "/end")
    pyman("wait", "fast")
    assert sorted(path.name for path in base.glob("kept.log*")) == ["kept.log", "kept.log.1"]
    assert pyman("logs", "--tail", "1", "fast").stdout == "20000\n"
    out.unlink()
    pyman("rm", "fast")

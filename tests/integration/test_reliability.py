"""Clients that are stopped, slow or gone, terminals that close and change, numbers that mean another process by now, many at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyman import stages
from tests.bench import soak
from tests.conftest import Run, command, environment
from tests.integration.test_restart_policies import directory, ended, field, until

NONE = ("--network", "none")


def attached(base: Path, *args: str, **streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*command(), "run", *NONE, *args], env=environment(base), cwd=base, **streams)  # type: ignore[call-overload, no-any-return]


def test_every_run_ends_with_its_own_code_and_output(base: Path, pyman: Run, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environment(base))
    wrong = soak.soak(command(), 60, 4)
    assert wrong == [], "\n".join(wrong)


def test_a_stopped_client_stops_nobody_else(base: Path, pyman: Run, image: str) -> None:
    process = attached(
        base, "--name", "c", image, "sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done", stdout=subprocess.PIPE
    )
    assert process.stdout
    until(lambda: pyman("ps", "-q").stdout)
    first = os.read(process.stdout.fileno(), 1000)
    os.kill(process.pid, signal.SIGSTOP)
    # The container waits for its client in the end; everybody else is answered.
    assert pyman("ps", "--format", "{{.Names}}").stdout == "c\n"
    assert pyman("exec", "c", "echo", "alive").stdout == "alive\n"
    pyman("stop", "-t", "0", "c")
    assert field(pyman, "c", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    logged = pyman("logs", "c").stdout
    os.kill(process.pid, signal.SIGCONT)
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 137
    assert len(first) + len(rest) == len(logged), "the client has lost nothing"
    pyman("rm", "c")


@pytest.mark.parametrize("options", [(), ("-i",), ("-t",)], ids=["plain", "stdin", "terminal"])
@pytest.mark.parametrize("end", ["stop", "rm", "itself"])
def test_a_stopped_exec_keeps_no_container_from_ending(base: Path, pyman: Run, image: str, options: tuple[str, ...], end: str) -> None:
    """Its command is seen off by the kernel, and its end still told."""
    pyman("run", "-d", "--name", "x", *NONE, "--init", image, "sh", "-c", "until test -e /end; do usleep 10000; done; exit 4")
    argv = [*command(), "exec", *options, "x", "sh", "-c", "touch /begun; exec sleep 500"]
    session = subprocess.Popen(argv, env=environment(base), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until(lambda: pyman("exec", "x", "test", "-e", "/begun", rc=None).returncode == 0)
    blocked = re.compile(r"^SigBlk:\s*[0-9a-f]*[13579bdf][0-9a-f]{4}$", re.MULTILINE)  # SIGCHLD: it passes data
    until(lambda: blocked.search(Path(f"/proc/{session.pid}/status").read_text()))
    os.kill(session.pid, signal.SIGSTOP)
    try:
        if end == "itself":
            pyman("exec", "x", "touch", "/end", rc=None)
            assert pyman("wait", "x").stdout == "4\n"
        else:
            pyman(end, *(("-f",) if end == "rm" else ()), "-t", "0", "x")
        assert pyman("ps", "-q").stdout == ""
    finally:
        os.kill(session.pid, signal.SIGCONT)
        assert session.wait(timeout=300) == 137
        pyman("rm", "-f", "-t", "0", "-i", "x")


def test_the_exit_code_of_exec(base: Path, pyman: Run, image: str) -> None:
    """It is that of the command: not of one that it was stopped, nor of background jobs of a shell that has become `pyman exec`."""
    pyman("run", "-d", "--name", "x", *NONE, "--init", image, "sleep", "1000")
    shell = ("sh", "-c", '(exit 3) & sleep 0.2 & exec "$@"', "sh")
    stops = "(sleep 0.2; kill -CONT $$) & kill -STOP $$; "
    for before in ((), shell):
        for code, script in (
            (0, ""),
            (9, "exit 9"),
            (9, "sleep 0.3; exit 9"),
            (137, "kill -9 $$"),
            (9, f"{stops} exit 9"),
            (143, f"{stops} kill $$"),
        ):
            argv = [*before, *command(), "exec", "x", "sh", "-c", script]
            assert subprocess.run(argv, env=environment(base), check=False).returncode == code, (before, script)
    pyman("rm", "-f", "-t", "0", "x")


@pytest.mark.parametrize("tty", [(), ("-t",)], ids=["pipe", "terminal"])
def test_the_reader_of_endless_output_goes(base: Path, pyman: Run, image: str, tty: tuple[str, ...]) -> None:
    """`pyman ... | head -1` ends, as a pipeline without a container does. An exec's process is told; a container runs on."""
    env = environment(base)

    def first_line(*args: str) -> tuple[bytes, int]:
        process = subprocess.Popen([*command(), *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert process.stdout
        line = process.stdout.readline()
        process.stdout.close()
        return line.strip(), process.wait(timeout=120)

    pause = "while echo y; do usleep 1000; done"  # usleep: an endless writer would fill the disk
    assert first_line("run", "--name", "endless", *NONE, *tty, image, "sh", "-c", pause) == (b"y", 141)
    assert field(pyman, "endless", "{{.State.Status}}") == "running"
    assert first_line("attach", "endless") == (b"y", 141)
    assert first_line("exec", *tty, "endless", "yes")[0] == b"y"
    until(lambda: "yes" not in pyman("top", "endless", "args").stdout.split())
    assert first_line("exec", *tty, "endless", "sh", "-c", "yes; echo $? >/ended; exit 7")[0] == b"y"
    until(lambda: "yes" not in pyman("top", "endless", "args").stdout.split())
    pyman("rm", "-f", "-t", "0", "endless")


def test_nobody_reads(base: Path, pyman: Run, image: str) -> None:
    """A full pipe holds the container up; when its reader goes away, the run ends."""
    process = attached(base, "--rm", image, "sh", "-c", "head -c 3000000 /dev/zero; echo done >&2; exit 5", stdout=subprocess.PIPE)
    until(lambda: pyman("ps", "-q").stdout)
    pyman("ps", "-a")
    assert process.stdout
    process.stdout.close()
    process.wait(timeout=300)
    until(lambda: not pyman("ps", "-aq").stdout)


def test_closed_streams(base: Path, pyman: Run, image: str) -> None:
    argv = [*command(), "run", "--rm", *NONE, image, "sh", "-c", "cat; echo out; exit 6"]
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *argv], env=environment(base), timeout=300, stdout=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 6, (closed, done)
    until(lambda: not pyman("ps", "-aq").stdout)


def terminal(base: Path, rows: int, columns: int, *args: str, options: str = "-it") -> tuple[int, int]:
    """`run -it`, or with other options, on a terminal of that size: (pid, the terminal's other end)."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execve(command()[0], [*command(), "run", options, "--rm", *NONE, *args], environment(base))
    return pid, fd


def read_all(fd: int) -> str:
    data = b""
    try:
        while more := os.read(fd, 65536):
            data += more
    except OSError:
        pass  # the other side was closed
    return data.decode()


def test_the_window_has_its_size_from_the_first_instruction_on(base: Path, pyman: Run, image: str) -> None:
    for _ in range(5):
        pid, fd = terminal(base, 33, 77, image, "stty", "size")
        assert read_all(fd).strip() == "33 77"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        os.close(fd)


def test_lines_end_once_on_a_terminal_without_input(base: Path, pyman: Run, image: str) -> None:
    """The container's terminal has made the carriage returns; what the user types to interrupt it still does."""
    pid, fd = terminal(base, 24, 80, image, "sh", "-c", "trap 'echo two; exit 5' INT; echo one; while :; do sleep 0.05; done", options="-t")
    shown = b""
    while b"one" not in shown:
        shown += os.read(fd, 65536)
    os.write(fd, b"\3")
    assert (shown.decode() + read_all(fd)).replace("^C", "") == "one\r\ntwo\r\n"
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    os.close(fd)


def test_a_storm_of_window_changes(base: Path, pyman: Run, image: str) -> None:
    script = "trap : WINCH; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 9"
    pid, fd = terminal(base, 24, 80, image, "sh", "-c", script)
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(read_all, fd)
        for number in range(3000):
            try:
                fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20 + number % 50, 80, 0, 0))
                os.kill(pid, signal.SIGWINCH)
            except (OSError, ProcessLookupError):
                break
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        text = output.result(300)
    assert code == 9
    assert [line for line in text.splitlines() if line] == [f"line {number}" for number in range(20000)]
    os.close(fd)


def test_a_recycled_number_is_never_believed(base: Path, pyman: Run, image: str) -> None:
    """The numbers in the state belong to another process meanwhile: it is neither joined nor signalled, and nothing seems to run."""
    stranger = subprocess.Popen(["sleep", "600"])
    pyman("run", "-d", "--name", "r", *NONE, image, "sleep", "600")
    path = directory(pyman, base, "r") / "state.json"
    state = json.loads(path.read_text())
    os.kill(state["monitor_pid"], signal.SIGKILL)
    until(lambda: ended(state["pid"]) and ended(state["monitor_pid"]))
    waiting = {"status": "exited", "restart_policy": "always", "waiter_pid": stranger.pid, "waiter_start": state["monitor_start"]}
    for waiter in ({}, waiting):
        path.write_text(json.dumps({**state, "pid": stranger.pid, "monitor_pid": stranger.pid, **waiter}))
        if waiter:  # who was to start it again is not there any more: this command does it
            assert "had lost its monitor" in pyman("ps", "-q").stderr
            assert field(pyman, "r", "{{.State.Running}}") == "true" and field(pyman, "r", "{{.State.Pid}}") != str(stranger.pid)
        else:
            assert pyman("ps", "-q").stdout == ""
            pyman("exec", "r", "true", rc=255)
        assert pyman("stop", "-t", "0", "r").returncode == 0
        assert "running" not in pyman("kill", "r", rc=None).stdout
        assert field(pyman, "r", "{{.State.Running}} {{.State.Restarting}}") == "false false"
    assert stranger.poll() is None, "the stranger was not touched"
    pyman("rm", "-f", "r")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def kill_monitor(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended with its container
        os.kill(number, signal.SIGKILL)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("stage", stages.STOP)
@pytest.mark.parametrize("verb", [("stop", "-t", "0"), ("rm", "-f", "-t", "0")])
def test_kill_of_stop(base: Path, pyman: Run, image: str, stage: str, verb: tuple[str, ...], both: bool) -> None:
    """Of the command, and of the monitor too: the next command tells the truth and can do it again."""
    pyman("run", "-d", "--name", "k", *NONE, "--restart", "always", image, "sleep", "600")
    monitor = int(field(pyman, "k", "{{.State.ConmonPid}}"))
    done = subprocess.run(
        [*command(), *verb, "k"], env=environment(base, PYMAN_KILL_AT=stage), check=False, timeout=300, capture_output=True
    )
    assert done.returncode == -9
    if both:
        kill_monitor(monitor)
        until(lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout.strip() == "exited")  # init dies with its monitor
        pyman(*verb, "k")
        assert pyman("ps", "-q").stdout == ""
        pyman("rm", "-f", "k")
        return
    told = pyman("ps", "-a", "--format", "{{.State}}").stdout.strip()
    assert told == "running" if stage == "stop:noted" else told in ("running", "exited")
    pyman(*verb, "k")
    assert pyman("ps", "-q").stdout == ""


@pytest.mark.parametrize("whole", ["", "!", "monitor"])
@pytest.mark.parametrize("stage", stages.EXEC)
def test_kill_of_exec(base: Path, pyman: Run, image: str, stage: str, whole: str) -> None:
    pyman("run", "-d", "--name", "k", *NONE, image, "sleep", "600")
    argv = [*command(), "exec", "k", "sleep", "601"]
    env = environment(base, PYMAN_KILL_AT=stage + whole.removesuffix("monitor"))
    monitor = int(field(pyman, "k", "{{.State.ConmonPid}}"))
    done = subprocess.run(argv, env=env, check=False, timeout=300, start_new_session=True)
    assert done.returncode == -9
    if whole == "monitor":
        kill_monitor(monitor)
        until(lambda: field(pyman, "k", "{{.State.Status}} {{json .ExecIDs}}") == "exited []")
        pyman("start", "k")
    assert pyman("ps", "--format", "{{.Names}}").stdout == "k\n"
    assert pyman("exec", "k", "echo", "alive").stdout == "alive\n"
    pyman("rm", "-f", "-t", "0", "k")


def test_kill_of_a_running_exec_and_the_monitor(pyman: Run, image: str, base: Path) -> None:
    """Nobody reaps what was executed, as where the host's first process does not, and the container's first process waits for that."""
    pyman("run", "-d", "--name", "k", *NONE, image, "sleep", "600")
    script = "import ctypes, subprocess, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); "  # PR_SET_CHILD_SUBREAPER
    script += "print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid, flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", script, *command(), "exec", "k", "sleep", "601"]
    with subprocess.Popen(argv, env=environment(base), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin and parent.stdout
        client = int(parent.stdout.readline())
        until(lambda: "sleep 601" in pyman("top", "k", "args").stdout)
        os.kill(client, signal.SIGKILL)
        kill_monitor(int(field(pyman, "k", "{{.State.ConmonPid}}")))
        until(lambda: field(pyman, "k", "{{.State.Status}}") == "exited")
        assert pyman("start", "k").stdout == "k\n" and pyman("exec", "k", "echo", "alive").stdout == "alive\n"
        pyman("rm", "-f", "-t", "0", "k")


def _with_everything_locked(base: Path, action: Callable[[], bool]) -> None:
    """Run `action` while all directories and lock files of the store are locked: it must not need one of them."""
    store, held = base / "home/.local/share/pyman", contextlib.ExitStack()
    with held:
        for path in [store, *store.glob("*"), *store.glob("containers/*"), *(base / "run/pyman").glob("*")]:
            if path.is_dir() or path.name.endswith("lock"):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX)
        assert action()


def test_many_containers_answer(base: Path, pyman: Run, image: str, layout: str) -> None:
    """With many up, ps answers while a pull, a commit and 32 runs go on."""
    count = int(os.environ.get("PYMAN_TEST_MANY", "40"))
    names = [f"m{number}" for number in range(count)]
    for name in names:
        pyman("run", "-d", "--name", name, *NONE, image, "sleep", "600")
    argv = [*command(), "run", "--rm", *NONE, image, "sh", "-c", "exit 3"]
    runs = [subprocess.Popen(argv, env=environment(base), stdin=subprocess.DEVNULL) for _ in range(32)]
    pulls = [subprocess.Popen([*command(), "pull", "-q", f"oci:{layout}:latest"], env=environment(base), stdout=subprocess.DEVNULL)]
    pulls += [subprocess.Popen([*command(), "commit", "-q", names[0], "many"], env=environment(base), stdout=subprocess.DEVNULL)]
    answers = []
    while any(run.poll() is None for run in runs):
        began = time.monotonic()
        assert set(names) <= set(pyman("ps", "--format", "{{.Names}}").stdout.split())
        answers.append(time.monotonic() - began)
    assert [run.returncode for run in runs] == [3] * 32
    assert [pull.wait(300) for pull in pulls] == [0, 0]
    _with_everything_locked(base, lambda: pyman("ps", "--format", "{{.Names}}").stdout.split() == names)
    print(f"{count} containers: ps answered {len(answers)} times, at worst in {max(answers, default=0):.2f} s", file=sys.stderr)
    pyman("stop", "-t", "0", *names, timeout=300)
    pyman("rm", *names, timeout=300)
    pyman("rmi", "many")

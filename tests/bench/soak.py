"""Thousands of `run --rm`, attached, each with its own exit code and output: no hang, no wrong code, nothing left.

Some have no input at all, some clients are stopped for a while, some find nobody who reads, some have a terminal that changes its size all
the time, and some lose their terminal.

python tests/bench/soak.py [ROUNDS [AT_A_TIME]] COMMAND...; the command is pyman as it is to be called, with the image
localhost/demo (shims/make-demo-image.py) in its store. Ends with 1 after the first wrong answer, or if anything is left behind:
containers, processes, mounts, control groups, locks, entries of the store.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

LIMIT = 300.0  # seconds after which a run hangs
MARK = "PYMAN_SOAK"  # a variable of what is started here
SETTLED = 120.0  # seconds in which the last monitors and helpers of networks have ended
# Directories of the store that hold an entry per container, or of unfinished work.
PLACES = ("containers", "names", "tmp", "trash", "intents", "volumes")


def one(command: list[str], number: int) -> str:
    """Run a container; what is wrong with it, or an empty text."""
    code = number % 200
    script = f"echo out {number}; echo err {number} >&2; exit {code}" if number % 3 else ""
    network = [] if number % 10 == 0 else ["--network", "none"]
    env = {**os.environ, MARK: str(os.getpid())}
    argv = [*command, "run", "--rm", *network, "localhost/demo", *(["sh", "-c", script] if script else ["true"])]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False, env=env)
    except subprocess.TimeoutExpired:
        return f"run {number} hangs"
    expected = (code, f"out {number}\n", f"err {number}\n") if script else (0, "", "")
    found = (done.returncode, done.stdout, done.stderr)
    return "" if found == expected else f"run {number}: {found} instead of {expected}"


def _start(command: list[str], script: str, *options: str, **how: Any) -> subprocess.Popen[bytes]:
    env = {**os.environ, MARK: str(os.getpid())}
    argv = [*command, "run", "--rm", "--network", "none", *options, "localhost/demo", "sh", "-c", script]
    return subprocess.Popen(argv, env=env, **how)


def no_input(command: list[str], code: int) -> str:
    """A client without descriptor 0."""
    child = _start(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], f"echo out; cat; exit {code}", stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out = child.communicate(timeout=LIMIT)[0]
    return "" if (child.returncode, out) == (code, b"out\n") else f"{child.returncode} {out!r}"


def stopped(command: list[str], code: int) -> str:
    """A client that is stopped at some moment of its life, and goes on later."""
    child = _start(command, f"echo out; exit {code}", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(code % 20 / 100)
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    child.send_signal(signal.SIGCONT)
    out = child.communicate(timeout=LIMIT)[0]
    return "" if (child.returncode, out) == (code, b"out\n") else f"{child.returncode} {out!r}"


def full_pipe(command: list[str], code: int) -> str:
    """More output than a pipe holds, and nobody who reads it for a while."""
    script = f"yes | head -c 1000000; exit {code}"
    child = _start(command, script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    out = child.communicate(timeout=LIMIT)[0]
    return "" if (child.returncode, out) == (code, b"y\n" * 500000) else f"{child.returncode}, {len(out)} bytes"


def _on_terminal(command: list[str], script: str) -> tuple[subprocess.Popen[bytes], int]:
    """The client, leader of a session with a terminal, and the terminal's other side."""
    ours, theirs = pty.openpty()
    leader = ["setsid", "--ctty", *command]
    child = _start(leader, script, "-it", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return child, ours


def sizes(command: list[str], code: int) -> str:
    """A terminal that changes its size all the time."""
    child, ours = _on_terminal(command, f"i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); done; exit {code}")
    ended, out = threading.Event(), bytearray()

    def storm() -> None:
        rows = 1
        while not ended.wait(0.0005):
            rows = rows % 100 + 1
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", rows, rows, 0, 0))

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        while part := os.read(ours, 65536):
            out += part
    except OSError as err:
        if err.errno != errno.EIO:
            raise
    child.wait(LIMIT)
    ended.set()
    thread.join()
    os.close(ours)
    right = bytes(out).split() == [str(number).encode() for number in range(200)]
    return "" if child.returncode == code and right else f"{child.returncode} {bytes(out)!r}"


def hangup(command: list[str], code: int) -> str:
    """A terminal that is closed at some moment: the client ends, by the signal or with the container."""
    child, ours = _on_terminal(command, "echo out; sleep 0.1; echo more")
    time.sleep(code % 30 / 100)
    os.close(ours)
    child.wait(LIMIT)
    return ""


ODD = (no_input, stopped, full_pipe, sizes, hangup)


def odd(command: list[str], number: int) -> str:
    """Run a container in an unusual way; what is wrong with it, or an empty text."""
    kind = ODD[number // 2 % len(ODD)]
    try:
        text = kind(command, number % 200)
    except subprocess.TimeoutExpired:
        text = "hangs"
    return text and f"run {number}, {kind.__name__}: {text}"


def _processes(runroot: str) -> set[str]:
    """What runs of these containers and their commands: PID and name. Known by the store in its arguments, or by its environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or entry.stat().st_uid != os.getuid() or int(entry.name) == os.getpid():
                continue
            mine = f"{runroot}/".encode() in (entry / "cmdline").read_bytes()
            if mine or f"{MARK}={os.getpid()}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.add(f"{entry.name} {(entry / 'comm').read_text().strip()}")
        except OSError:
            continue  # it ended just now, or is not to be looked into
    return found


def survey(command: list[str]) -> dict[str, set[str]]:
    """What there is of each kind of thing that a run could leave behind."""
    form = "{{.Store.GraphRoot}}\n{{.Store.RunRoot}}"
    env = dict(os.environ)  # said aloud: whoever has put another mapping there means that one
    told = subprocess.run([*command, "info", "--format", form], capture_output=True, text=True, check=True, env=env).stdout
    graphroot, runroot = told.split()
    # The group beside which containers get theirs; those of others come and go while it is looked into.
    top = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    group = top + os.path.dirname(Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip())
    places = [Path(graphroot) / name for name in PLACES] + [Path(runroot) / "containers"]
    processes = _processes(runroot)
    pids = {item.split()[0] for item in processes}
    return {
        "processes": processes,
        "mounts": {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if graphroot in line or runroot in line},
        "control groups": {place for place, _, _ in os.walk(group) if os.path.basename(place).startswith("pyman-")},
        "locks": {line.split()[5] for line in Path("/proc/locks").read_text().splitlines() if line.split()[4] in pids},
        "entries": {str(entry) for place in places if place.is_dir() for entry in place.iterdir()},
    }


def left(command: list[str], before: dict[str, set[str]]) -> list[str]:
    """What there is more than `before`, once it has had time to end.

    What lies in the trash is taken away by the next command that finds nobody at it: a client that was killed there may not have ended yet.
    """
    deadline = time.monotonic() + SETTLED
    while True:
        more = [f"left over, {kind}: {item}" for kind, items in survey(command).items() for item in sorted(items - before[kind])]
        if not more or time.monotonic() > deadline:
            return more
        if any("/trash/" in line for line in more):
            one(command, 1)
        time.sleep(0.1)


def soak(command: list[str], rounds: int, at_a_time: int) -> list[str]:
    """What went wrong in `rounds` runs, and what they have left."""
    numbers = iter(range(rounds))
    lock, wrong = threading.Lock(), list[str]()
    before = survey(command)

    def work() -> None:
        while not wrong:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            if text := (odd if number % 2 else one)(command, number):
                wrong.append(text)
            elif number and number % 1000 == 0:
                print(f"{number} runs", flush=True)

    workers = [threading.Thread(target=work) for _ in range(at_a_time)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if text := one(command, 1):  # as any next command it takes away what clients that were killed had no time for
        wrong.append(text)
    return wrong + left(command, before)


def main() -> int:
    """Parse the command line and report."""
    numbers = [int(word) for word in sys.argv[1:3] if word.isdigit()]
    command = sys.argv[1 + len(numbers) :] or ["pyman"]
    rounds, at_a_time = (*numbers, *(10_000, os.cpu_count() or 2)[len(numbers) :])
    began = time.monotonic()
    wrong = soak(command, rounds, at_a_time)
    took = time.monotonic() - began
    print("\n".join(wrong) or f"{rounds} runs, {at_a_time} at a time: all right, nothing left, {took / rounds * 1000:.1f} ms each")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

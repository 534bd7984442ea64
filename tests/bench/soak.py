"""Thousands of `run --rm`, attached, each with its own exit code and output: no hang, no wrong code, nothing left.

python tests/bench/soak.py [ROUNDS [AT_A_TIME]] COMMAND...; the command is pyman as it is to be called, with the image
localhost/demo (shims/make-demo-image.py) in its store. Ends with 1 after the first wrong answer, or if anything is left behind:
containers, processes, mounts, control groups, locks, entries of the store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

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
    """What there is more than `before`, once it has had time to end."""
    deadline = time.monotonic() + SETTLED
    while True:
        more = [f"left over, {kind}: {item}" for kind, items in survey(command).items() for item in sorted(items - before[kind])]
        if not more or time.monotonic() > deadline:
            return more
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
            if text := one(command, number):
                wrong.append(text)
            elif number and number % 1000 == 0:
                print(f"{number} runs", flush=True)

    workers = [threading.Thread(target=work) for _ in range(at_a_time)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
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

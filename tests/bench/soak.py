"""Thousands of `run --rm`, attached, each with its own exit code and output: no hang, no wrong code, nothing left.

python tests/bench/soak.py [ROUNDS [AT_A_TIME]] COMMAND...; the command is pyman as it is to be called, with the image
localhost/demo (shims/make-demo-image.py) in its store. Ends with 1 after the first wrong answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

LIMIT = 120.0  # seconds after which a run hangs


def one(command: list[str], number: int) -> str:
    """Run a container; what is wrong with it, or an empty text."""
    code = number % 200
    script = f"echo out {number}; echo err {number} >&2; exit {code}" if number % 3 else ""
    argv = [*command, "run", "--rm", "--network", "none", "localhost/demo", *(["sh", "-c", script] if script else ["true"])]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"run {number} hangs"
    expected = (code, f"out {number}\n", f"err {number}\n") if script else (0, "", "")
    found = (done.returncode, done.stdout, done.stderr)
    return "" if found == expected else f"run {number}: {found} instead of {expected}"


def soak(command: list[str], rounds: int, at_a_time: int) -> list[str]:
    """What went wrong in `rounds` runs."""
    numbers = iter(range(rounds))
    lock, wrong = threading.Lock(), list[str]()

    def work() -> None:
        while not wrong:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            if text := one(command, number):
                wrong.append(text)

    workers = [threading.Thread(target=work) for _ in range(at_a_time)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    left = subprocess.run([*command, "ps", "-aq"], capture_output=True, text=True, check=True).stdout
    return wrong + ([f"left over: {left}"] if left else [])


def main() -> int:
    """Parse the command line and report."""
    numbers = [int(word) for word in sys.argv[1:3] if word.isdigit()]
    command = sys.argv[1 + len(numbers) :] or ["pyman"]
    rounds, at_a_time = (*numbers, *(10_000, os.cpu_count() or 2)[len(numbers) :])
    began = time.monotonic()
    wrong = soak(command, rounds, at_a_time)
    took = time.monotonic() - began
    print("\n".join(wrong) or f"{rounds} runs, {at_a_time} at a time: all right, {took / rounds * 1000:.1f} ms each")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

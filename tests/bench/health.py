"""What health checks cost: processor time of the monitors, their checkers and the checks, as a share of one core.

python tests/bench/health.py [CONTAINERS [SECONDS]] COMMAND...; the command is pyman as it is to be called, with the image
localhost/demo (shims/make-demo-image.py) in its store. The containers' checks run `true` each second; beside it stands what
`fork` and `exec` of the same program cost alone, which no checker can be below.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def spent(pids: list[int]) -> float:
    """Seconds that these monitors, their children and all who have ended as such have run."""
    total = 0
    for pid in pids:
        tasks = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for task in tasks:
            try:
                fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # a check, which has ended: then its time is its parent's
            total += sum(map(int, fields[11:15]))
    return total / TICK


def bare(command: list[str], name: str, rounds: int = 500) -> float:
    """Seconds that one `true` takes which a shell in the container forks and executes."""
    script = f"i=0; while [ $i -lt {rounds} ]; do /bin/busybox true; i=$((i+1)); done; cat /proc/$$/stat"
    fields = subprocess.run([*command, "exec", name, "sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return sum(map(int, fields[13:17])) / TICK / rounds


def main() -> int:
    """Parse the command line, measure, report."""
    numbers = [int(word) for word in sys.argv[1:3] if word.isdigit()]
    command = sys.argv[1 + len(numbers) :] or ["pyman"]
    count, seconds = (*numbers, *(100, 60)[len(numbers) :])
    names = [f"health-bench-{number}" for number in range(count)]
    options = ["--network", "none", "--health-cmd", '["CMD","/bin/busybox","true"]', "--health-interval", "1s"]
    try:
        for name in names:
            subprocess.run(
                [*command, "run", "-d", "--name", name, *options, "localhost/demo", "sleep", "100000"], check=True, capture_output=True
            )
        shown = subprocess.run(
            [*command, "inspect", "--format", "{{.State.ConmonPid}}", *names], capture_output=True, text=True, check=True
        )
        monitors = [int(word) for word in shown.stdout.split()]
        before, began = spent(monitors), time.monotonic()
        time.sleep(seconds)
        share = (spent(monitors) - before) / (time.monotonic() - began)
        alone = bare(command, names[0]) * count
        print(f"{count} checks a second: {share:.2%} of a core; fork and exec of their command alone: {alone:.2%}")
    finally:
        subprocess.run([*command, "rm", "-f", "-t", "0", *names], capture_output=True, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

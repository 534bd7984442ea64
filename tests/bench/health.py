"""What health checks cost: processor time of the monitors, their checkers and the checks, as a share of one core.

python tests/bench/health.py [CONTAINERS [SECONDS]] COMMAND...; the command is pyman as it is to be called, with the image
localhost/demo (shims/make-demo-image.py) in its store. The containers' checks run `true` each second; beside it stands what
`fork` and `exec` of the same program cost alone, which no checker can be below. With PYMAN_BENCH_CHECK in the environment the checks run
that program of the host instead, which has to be static. The containers need control groups of their own (tests/delegate).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def group(init: int) -> Path:
    """The control group of a container: its checks and their checker are in it."""
    top = Path("/sys/fs/cgroup/unified") if os.path.isdir("/sys/fs/cgroup/unified") else Path("/sys/fs/cgroup")
    return top / Path(f"/proc/{init}/cgroup").read_text().rpartition("::/")[2].strip()


def spent(monitors: list[int], groups: list[Path]) -> float:
    """Seconds that these monitors and all processes in the groups have run, those that have ended as well."""
    own = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in monitors)  # nanoseconds
    return own / 1e9 + sum(int((one / "cpu.stat").read_text().split()[1]) for one in groups) / 1e6


def bare(command: list[str], name: str, check: str, rounds: int = 500) -> float:
    """Seconds that one check takes which a shell in the container forks and executes."""
    script = f"i=0; while [ $i -lt {rounds} ]; do {check}; i=$((i+1)); done; cat /proc/$$/stat"
    fields = subprocess.run([*command, "exec", name, "sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return sum(map(int, fields[13:17])) / TICK / rounds


def main() -> int:
    """Parse the command line, measure, report."""
    numbers = [int(word) for word in sys.argv[1:3] if word.isdigit()]
    command = sys.argv[1 + len(numbers) :] or ["pyman"]
    count, seconds = (*numbers, *(100, 60)[len(numbers) :])
    names = [f"health-bench-{number}" for number in range(count)]
    options = ["--network", "none", "--health-cmd", '["CMD","/bin/busybox","true"]', "--health-interval", "1s"]
    program = os.environ.get("PYMAN_BENCH_CHECK")
    if program:
        options[3:4] = ['["CMD","/check"]', "-v", f"{program}:/check:ro"]
    try:
        for name in names:
            subprocess.run(
                [*command, "run", "-d", "--name", name, *options, "localhost/demo", "sleep", "100000"], check=True, capture_output=True
            )
        shown = subprocess.run(
            [*command, "inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", *names], capture_output=True, text=True, check=True
        )
        pids = [int(word) for word in shown.stdout.split()]
        monitors, groups = pids[::2], [group(pid) for pid in pids[1::2]]
        before, began = spent(monitors, groups), time.monotonic()
        time.sleep(seconds)
        share = (spent(monitors, groups) - before) / (time.monotonic() - began)
        alone = bare(command, names[0], "/check" if program else "/bin/busybox true") * count
        print(f"{count} checks a second: {share:.2%} of a core; fork and exec of their command alone: {alone:.2%}")
    finally:
        subprocess.run([*command, "rm", "-f", "-t", "0", *names], capture_output=True, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

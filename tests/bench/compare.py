"""Compare pyman with podman for one user on one machine: `python tests/bench/compare.py LAYOUT [OUTPUT]`.

Both must be on PATH; LAYOUT is an OCI image layout (shims/make-demo-image.py). Repetitions are interleaved, the median of each
pair counts, and only ratios are published: absolute times say more about the machine than about the tools.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import files  # beside this file

REPEAT = 15
SETTLE = 0.15  # seconds: Podman's clean-up process and our pasta end after their commands; neither may burden the next
TOOLS = ("pyman", "podman")


def sh(*args: str) -> str:
    """Run a command that must succeed."""
    done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(args)}: {done.returncode}: {done.stderr}")
    return done.stdout.strip()


def ratio(action: Callable[[str], None], before: Callable[[str], None] = lambda tool: None, repeat: int = REPEAT) -> float:
    """Median time of pyman over median time of podman."""
    times: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    for round_number in range(repeat + 1):
        for tool in TOOLS:
            before(tool)
            time.sleep(SETTLE)
            started = time.perf_counter()
            action(tool)
            if round_number:  # the first warms caches
                times[tool].append(time.perf_counter() - started)
    return statistics.median(times["pyman"]) / statistics.median(times["podman"])


def parallel(tool: str, image: str, count: int) -> None:
    """Several `run --rm` at once."""
    children = [subprocess.Popen([tool, "run", "--rm", "--network", "none", image, "true"], stdin=subprocess.DEVNULL) for _ in range(count)]
    if any(child.wait() for child in children):
        raise SystemExit(f"{tool}: a parallel run failed")


def pss(pid: str) -> int:
    """Proportional set size in KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def main() -> None:
    """Measure, print and write the table."""
    layout = sys.argv[1]
    for tool in TOOLS:
        sh(tool, "pull", "-q", f"oci:{layout}:latest")
        sh(tool, "rm", "-fa", "-t", "0")
    image = "localhost/demo:latest"
    sh("podman", "tag", sh("podman", "images", "-q").split()[0], image)
    rows: list[tuple[str, float, str]] = []

    def add(what: str, value: float, target: str) -> None:
        rows.append((what, value, target))
        print(f"{what}: {value:.2f} (target {target})", flush=True)

    add("run --rm, --network none", ratio(lambda tool: sh(tool, "run", "--rm", "--network", "none", image, "true") and None), "0.40")
    add("run --rm, default network", ratio(lambda tool: sh(tool, "run", "--rm", image, "true") and None), "0.40")
    loop = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.01; done")
    for tool in TOOLS:
        sh(tool, "run", "-d", "--name", "b", "--network", "none", image, *loop)
    add("exec", ratio(lambda tool: sh(tool, "exec", "b", "true") and None), "0.40")
    add("inspect", ratio(lambda tool: sh(tool, "inspect", "b") and None), "0.50")
    add("logs", ratio(lambda tool: sh(tool, "logs", "b") and None), "0.50")
    monitor = {tool: pss(sh(tool, "inspect", "b", "--format", "{{.State.ConmonPid}}")) for tool in TOOLS}
    add(
        "stop of a container that heeds SIGTERM",
        ratio(lambda tool: sh(tool, "stop", "b") and None, lambda tool: sh(tool, "start", "b") and None),
        "0.40",
    )
    add("start", ratio(lambda tool: sh(tool, "start", "b") and None, lambda tool: sh(tool, "stop", "-t", "0", "b") and None), "0.40")
    for tool in TOOLS:
        sh(tool, "rm", "-f", "-t", "0", "b")
    wordy = ("sh", "-c", "yes 'this is a line of text as programs write it, about eighty bytes long, as most are' | head -n 1000000")

    def written(tool: str) -> None:
        sh(tool, "run", "-d", "--name", "b", "--network", "none", "--log-driver", "k8s-file", image, *wordy)
        sh(tool, "wait", "b")

    fresh = ratio(written, lambda tool: sh(tool, "rm", "-f", "-t", "0", "-i", "b") and None, repeat=5)
    add("a million lines written to the log", fresh, "1.00")
    add("logs of a million lines", ratio(lambda tool: sh(tool, "logs", "b") and None, repeat=5), "0.70")
    for tool in TOOLS:
        sh(tool, "rm", "-f", "-t", "0", "b")
    add("images", ratio(lambda tool: sh(tool, "images") and None), "0.50")
    add("version", ratio(lambda tool: sh(tool, "version") and None), "0.50")
    made = 0
    for count in (10, int(os.environ.get("BENCH_MANY", "1000"))):
        for tool in TOOLS:
            for _ in range(count - made):
                sh(tool, "create", "--network", "none", image, "true")
        made = count
        add(f"ps -a with {count} containers", ratio(lambda tool: sh(tool, "ps", "-a") and None, repeat=7), "0.50")
    for tool in TOOLS:
        sh(tool, "rm", "-fa", "-t", "0")
    add("50 run --rm started together", ratio(lambda tool: parallel(tool, image, 50), repeat=3), "0.40")
    add("memory (PSS) of an idle container's monitor", monitor["pyman"] / monitor["podman"], "1.00")
    files.measure(add, ratio, sh, image)
    if len(sys.argv) > 2:
        write(sys.argv[2], rows)


def write(path: str, rows: list[tuple[str, float, str]]) -> None:
    """Replace the table in docs/performance.md."""
    with open(path, encoding="utf-8") as file:
        text = file.read().split("\n## Against Podman")[0].rstrip()
    peer = sh("podman", "version", "--format", "{{.Client.Version}}")
    lines = [
        text,
        "",
        "## Against Podman",
        "",
        f"Median time of pyman divided by that of Podman {peer}, same machine ({os.cpu_count()} cores), same run, same image. Less is better.",
        "",
    ]
    lines += [
        "| what | pyman / podman | target |",
        "|---|---|---|",
        *(f"| {what} | {value:.2f} | {target} |" for what, value, target in rows),
        "",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()

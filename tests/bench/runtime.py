"""Compare `pyman-runtime` with crun and runc for one user on one machine: `python tests/bench/runtime.py [OUTPUT]`.

All three must be on PATH; OUTPUT is docs/performance.md. Each runs the same bundle (busybox, the namespaces of a rootless
container, no cgroup limits). Repetitions are interleaved, and only ratios of medians are published. crun refuses hosts with
both cgroup versions: there, call this where cgroup v2 alone lies at /sys/fs/cgroup (as root: `unshare -m`, a bind mount).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

REPEAT = 31
OURS = "pyman-runtime"
TOOLS = (OURS, "crun", "runc")
TITLE = "\n## The runtime program against crun and runc"


def call(*args: str) -> None:
    """Run a command that must succeed."""
    # Not subprocess.run with pipes: a created container keeps its caller's streams open.
    pid = os.posix_spawnp(args[0], args, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise SystemExit(f"{' '.join(args)}: {code}")


def make_bundle(directory: str, seccomp: bool) -> str:
    """A bundle with busybox; with `seccomp`, with pyman's default filter. ociVersion is one that old versions of runc accept."""
    binaries = os.path.join(directory, "rootfs", "bin")
    os.makedirs(binaries)
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, os.path.join(binaries, "busybox"))
    for name in ("true", "sleep"):
        os.symlink("busybox", os.path.join(binaries, name))
    call(OURS, "spec", "--bundle", directory)
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    spec["ociVersion"] = "1.0.2"
    spec["process"].update(terminal=False, args=["/bin/true"])
    if seccomp:
        from pyman.engine import seccomp_default

        spec["linux"]["seccomp"] = seccomp_default.profile([], os.uname().machine)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(spec, file)
    return directory


def compare(action: Callable[[str, str], None]) -> dict[str, float]:
    """Median time of each tool over that of ours; action(tool, a name that is new)."""
    times: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    for number in range(REPEAT + 1):
        for tool in TOOLS:
            started = time.perf_counter()
            action(tool, f"bench-{tool}-{number}")
            if number:  # the first warms caches
                times[tool].append(time.perf_counter() - started)
    ours = statistics.median(times[OURS])
    return {tool: ours / statistics.median(values) for tool, values in times.items()}


def main() -> None:
    """Measure, print and write the table."""
    sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]
    rows: list[tuple[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as base:
        for what, seccomp in (("run of a bundle", False), ("run with a seccomp filter of 400 calls", True)):
            bundle = make_bundle(os.path.join(base, str(seccomp)), seccomp)
            rows.append((what, compare(lambda tool, name, bundle=bundle: call(tool, "run", "--bundle", bundle, name))))  # type: ignore[misc]
        bundle = make_bundle(os.path.join(base, "exec"), False)
        path = os.path.join(bundle, "config.json")
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        spec["process"]["args"] = ["/bin/sleep", "600"]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(spec, file)
        try:
            for tool in TOOLS:
                call(tool, "run", "--detach", "--bundle", bundle, f"bench-{tool}")
            rows.append(("exec", compare(lambda tool, name: call(tool, "exec", f"bench-{tool}", "/bin/true"))))
        finally:
            for tool in TOOLS:
                call(tool, "delete", "--force", f"bench-{tool}")
    for what, ratios in rows:
        print(f"{what}: {ratios['crun']:.2f} x crun, {ratios['runc']:.2f} x runc", flush=True)
    if len(sys.argv) > 1:
        write(sys.argv[1], rows)


def version(tool: str) -> str:
    """The version number a tool says."""
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.split()[2].partition("+")[0]


def write(path: str, rows: list[tuple[str, dict[str, float]]]) -> None:
    """Replace this table in docs/performance.md; what else is there stays."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, found, after = text.partition(TITLE)
    if not found:
        before, _, after = text.partition("\n## Against Podman")
        after = "\n## Against Podman" + after
    rest = after.partition("\n## ")
    lines = [
        before.rstrip(),
        TITLE,
        "",
        f"Median time of `pyman-runtime` divided by that of crun {version('crun')} and runc {version('runc')}, same machine "
        f"({os.cpu_count()} cores), same run, same bundle",
        "(`tests/bench/runtime.py`). Less is better.",
        "",
        "| what | / crun | target | / runc | target |",
        "|---|---|---|---|---|",
        *(f"| {what} | {ratios['crun']:.2f} | 3.00 | {ratios['runc']:.2f} | 1.00 |" for what, ratios in rows),
        "",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + rest[1] + rest[2])


if __name__ == "__main__":
    main()

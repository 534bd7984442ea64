"""Push, save and load next to podman: `python tests/bench/push.py [ROUNDS]` (1: without warming up). The image and the registry of pull.py.

pyman, podman, skopeo and docker-registry must be on PATH. Rounds are interleaved, medians are compared, and only ratios are printed.
skopeo copies the same image from a layout with compressed layers: it has nothing to compress, which is the least that a push can take.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pull import NAME, PORT, make_layout, memory, run, serve

TOOLS = ("pyman", "podman")
Times = dict[str, dict[str, list[float]]]


def forget(place: Path) -> None:
    """The registry has never seen an image; pyman and podman have never pushed one."""
    shutil.rmtree(place / "registry", ignore_errors=True)
    home = Path.home()
    store = Path(os.environ.get("PYMAN_GRAPHROOT") or home / ".local/share/pyman")
    for note in store.glob("layers/*/pushed.json"):
        note.unlink()
    for cache in home.glob(".local/share/containers/cache/blob-info-cache-v1.*"):
        cache.unlink()


def one_round(place: Path, times: Times, turn: int) -> None:
    """Everything once with each tool."""

    def note(what: str, tool: str, *args: str) -> None:
        taken = run(*args)
        if os.environ.get("BENCH_VERBOSE"):
            print(f"{what}, {tool}: {taken:.2f} s", flush=True)
        if turn:  # the first round warms caches
            times.setdefault(what, {}).setdefault(tool, []).append(taken)

    target = f"127.0.0.1:{PORT}/pushed/image:{turn}"
    note_skopeo = ("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{place}/layout:latest", f"docker://127.0.0.1:{PORT}/s:{turn}")
    forget(place)
    note("push", "skopeo", *note_skopeo)
    for tool in TOOLS:
        forget(place)
        note("push", tool, tool, "push", "-q", "--tls-verify=false", NAME, target)
        note("push again", tool, tool, "push", "-q", "--tls-verify=false", NAME, target)
    for kind in ("docker-archive", "oci-archive"):
        for tool in TOOLS:
            file = place / f"{tool}.tar"
            file.unlink(missing_ok=True)
            note(f"save {kind}", tool, tool, "save", "-q", "--format", kind, "-o", str(file), NAME)
        for tool in TOOLS:
            subprocess.run([tool, "rmi", "-f", NAME], capture_output=True, check=True)
            note(f"load {kind}", tool, tool, "load", "-q", "-i", str(place / f"{tool}.tar"))


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    times: Times = {}
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        make_layout(place / "layout")
        server = serve(place)
        try:
            run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{place}/layout:latest", f"docker://{NAME}")
            for tool in TOOLS:
                subprocess.run([tool, "rmi", "-f", NAME], capture_output=True, check=False)
                run(tool, "pull", "-q", "--tls-verify=false", NAME)
            for turn in range(0 if rounds > 1 else 1, rounds + 1):
                one_round(place, times, turn)
            forget(place)
            peak = {tool: memory(tool, "push", "-q", "--tls-verify=false", NAME, f"127.0.0.1:{PORT}/m/{tool}:1") for tool in TOOLS}
        finally:
            server.terminate()
    for what, found in times.items():
        middle = {tool: statistics.median(values) for tool, values in found.items()}
        ratios = ", ".join(f"{middle['pyman'] / middle[tool]:.2f} x {tool}" for tool in middle if tool != "pyman")
        print(f"{what}: {ratios}")
        if os.environ.get("BENCH_VERBOSE"):
            print({tool: [round(value, 2) for value in values] for tool, values in found.items()})
    print(f"peak memory of a push: {peak['pyman'] / peak['podman']:.2f} x podman")


if __name__ == "__main__":
    main()

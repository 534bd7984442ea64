"""The part of compare.py that moves much data: cp and commit of 1 GB, rm of 100 containers. Interleaved like the rest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

SIZE = int(os.environ.get("BENCH_SIZE", str(1 << 30)))  # bytes; not compressible, in files of different sizes
COUNT = 100
Sh = Callable[..., str]
Ratio = Callable[..., float]


def _make(path: str) -> None:
    """SIZE bytes: one file with half of them, and files of 1 MB and of 10 kB."""
    os.makedirs(path)
    left, number = SIZE, 0
    for size, until in ((SIZE // 2, SIZE // 2), (1 << 20, SIZE // 10), (10_000, 0)):
        while left > until and number < 20_000:
            block = os.urandom(min(size, 1 << 22))
            with open(os.path.join(path, f"file{number}"), "wb") as file:
                for _ in range(max(1, size // len(block))):
                    file.write(block)
            left -= size
            number += 1


def measure(add: Callable[[str, float, str], None], ratio: Ratio, sh: Sh, image: str) -> None:
    """Measure and report by `add(what, ratio, target)`."""
    base = tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("BENCH_TMP"))
    try:
        _make(f"{base}/data")
        _copies(add, ratio, sh, image, base)
    finally:
        shutil.rmtree(base)

    def many(tool: str) -> None:
        for _ in range(COUNT):
            sh(tool, "create", "--network", "none", image, "true")

    add(f"rm of {COUNT} containers", ratio(lambda tool: sh(tool, "rm", "-a") and None, many, repeat=3), "0.70")


def _copies(add: Callable[[str, float, str], None], ratio: Ratio, sh: Sh, image: str, base: str) -> None:
    def fresh(tool: str) -> None:
        sh(tool, "rm", "-f", "-t", "0", "-i", "b")
        sh(tool, "run", "-d", "--name", "b", "--network", "none", image, "sleep", "3600")

    into = ratio(lambda tool: sh(tool, "cp", f"{base}/data", "b:/bench") and None, fresh, repeat=3)
    add("cp of 1 GB into a container", into, "0.70")

    def gone(tool: str) -> None:
        shutil.rmtree(f"{base}/out", ignore_errors=True)

    add("cp of 1 GB out of a container", ratio(lambda tool: sh(tool, "cp", "b:/bench", f"{base}/out") and None, gone, repeat=3), "0.70")

    def unnamed(tool: str) -> None:
        sh(tool, "image", "prune", "-f")

    add("commit of 1 GB", ratio(lambda tool: sh(tool, "commit", "-q", "b") and None, unnamed, repeat=3), "0.70")
    for tool in ("pyman", "podman"):
        sh(tool, "rm", "-f", "-t", "0", "b")
        sh(tool, "image", "prune", "-f")

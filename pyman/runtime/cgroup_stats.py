"""Statistics of a cgroup v2 in the shape of runc's `events`. The runtime program."""

from __future__ import annotations

import os

from pyman.runtime import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _number(directory: str, name: str) -> int:
    """A file with one number; "max" is the largest that 64 bits hold, as others report it; 0 where the file is missing."""
    try:
        with open(os.path.join(directory, name)) as file:
            text = file.read().strip()
    except OSError:
        return 0
    return (1 << 64) - 1 if text == "max" else int(text or 0)


def _io(directory: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    try:
        with open(os.path.join(directory, "io.stat")) as file:
            lines = file.read().split("\n")
    except OSError:
        return found
    for line in lines:
        device, *words = line.split() if line else [""]
        if ":" not in device:
            continue
        major, minor = device.split(":")
        values = dict(word.split("=", 1) for word in words if "=" in word)
        for key, operation in (("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard")):
            if key in values:
                found.append({"major": int(major), "minor": int(minor), "op": operation, "value": int(values[key])})
    return found


def collect(directory: str) -> dict[str, Any]:
    """cpu (nanoseconds), memory (bytes), pids, blkio, hugetlb; what has no controller is 0."""
    cpu = cgroup.events(directory, "cpu.stat")
    pages = sorted({name.split(".")[1] for name in os.listdir(directory) if name.startswith("hugetlb.")})
    return {
        "cpu": {
            "usage": {
                "total": cpu.get("usage_usec", 0) * 1000,
                "kernel": cpu.get("system_usec", 0) * 1000,
                "user": cpu.get("user_usec", 0) * 1000,
            },
            "throttling": {
                "periods": cpu.get("nr_periods", 0),
                "throttledPeriods": cpu.get("nr_throttled", 0),
                "throttledTime": cpu.get("throttled_usec", 0) * 1000,
            },
        },
        "memory": {
            "usage": {
                "usage": _number(directory, "memory.current"),
                "limit": _number(directory, "memory.max"),
                "max": _number(directory, "memory.peak"),
            },
            "swap": {"usage": _number(directory, "memory.swap.current"), "limit": _number(directory, "memory.swap.max")},
            "raw": cgroup.events(directory, "memory.stat"),
        },
        "pids": {
            "current": _number(directory, "pids.current") or len(cgroup.processes(directory)),
            "limit": _number(directory, "pids.max"),
        },
        "blkio": {"ioServiceBytesRecursive": _io(directory)},
        "hugetlb": {
            size: {
                "usage": _number(directory, f"hugetlb.{size}.current"),
                "failcnt": cgroup.events(directory, f"hugetlb.{size}.events").get("max", 0),
            }
            for size in pages
        },
    }

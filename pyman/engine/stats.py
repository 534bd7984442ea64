"""What containers use: processor, memory, network, disk, processes; from their control groups where they have one, else summed
from their processes. CLI process."""

from __future__ import annotations

import os
import time

from pyman.engine import processes
from pyman.engine.container import RUNNING, Container
from pyman.runtime import cgroup_stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Sample = dict[str, Any]

_UNLIMITED = 1 << 62  # bytes; a limit above is none


def sample(container: Container, before: Sample | None = None) -> Sample:
    """One look at a container; all zero if it does not run. NoSuchContainer.

    Times in nanoseconds, sizes in bytes: id, name, cpu_nano, system_nano (processor time in the kernel), cpu (percent since `before`,
    or since its start), avg_cpu, memory, limit, memory_percent, network ({interface: counters}), block_input, block_output,
    pids, now, clock (since boot), summed (whether it has no control group of its own, so that ended processes are not counted).
    """
    container._state = None
    container.sync()
    state = container.state
    clock = time.clock_gettime_ns(time.CLOCK_BOOTTIME)  # whoever sets the time does not change how long something has run
    found: Sample = {
        "id": container.id,
        "name": container.name,
        "now": time.time_ns(),
        "clock": clock,
        "running": state["status"] in RUNNING,
        "summed": False,
    }
    found.update(cpu_nano=0, system_nano=0, memory=0, limit=0, block_input=0, block_output=0, pids=0, network={}, cpu=0.0, avg_cpu=0.0)
    found["memory_percent"] = 0.0
    if not found["running"]:
        return found
    directory = str(state.get("cgroup") or "")
    if directory and os.path.exists(os.path.join(directory, "cgroup.procs")):
        _from_group(found, directory)
    if not found["pids"]:
        found["summed"] = True
    if not found["memory"] or not found["cpu_nano"]:
        _from_processes(found, container)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if not 0 < found["limit"] < min(total, _UNLIMITED):
        found["limit"] = total
    found["network"] = network(int(state["pid"]))
    since = before if before and before["running"] and before["cpu_nano"] <= found["cpu_nano"] else None
    started = int(state["pid_start"]) * (10**9 // processes.TICKS)
    found["avg_cpu"] = 100 * found["cpu_nano"] / max(clock - started, 10**9 // processes.TICKS)
    found["cpu"] = 100 * (found["cpu_nano"] - since["cpu_nano"]) / max(clock - since["clock"], 1) if since else found["avg_cpu"]
    found["memory_percent"] = 100 * found["memory"] / found["limit"]
    return found


def _from_group(found: Sample, directory: str) -> None:
    """What the controllers of the container's control group count; those that were not delegated stay at zero."""
    try:
        counted = cgroup_stats.collect(directory)
    except OSError:
        return  # it ended just now
    usage = counted["cpu"]["usage"]
    found.update(cpu_nano=usage["total"], system_nano=usage["kernel"], pids=counted["pids"]["current"])
    found.update(memory=counted["memory"]["usage"]["usage"], limit=counted["memory"]["usage"]["limit"])
    for entry in counted["blkio"]["ioServiceBytesRecursive"]:
        if entry["op"] in ("Read", "Write"):
            found["block_input" if entry["op"] == "Read" else "block_output"] += entry["value"]


def _from_processes(found: Sample, container: Container) -> None:
    """The same by adding up its living processes, where no controller counts."""
    mine = processes.of_container(container)
    if not found["cpu_nano"]:
        tick = 10**9 // processes.TICKS
        found["cpu_nano"] = sum((process["utime"] + process["stime"]) * tick for process in mine)
        found["system_nano"] = sum(process["stime"] * tick for process in mine)
    if not found["memory"]:
        found["memory"] = sum(int(str(process.get("RssAnon", "0")).split()[0]) for process in mine) * 1024
        found["memory"] += max([int(str(process.get("RssFile", "0")).split()[0]) for process in mine], default=0) * 1024
    found["pids"] = max(found["pids"], sum(process["threads"] for process in mine))
    if found["summed"]:
        for process in mine:
            read, written = _io(process["hpid"])
            found["block_input"] += read
            found["block_output"] += written


def _io(pid: int) -> tuple[int, int]:
    """Bytes that a process had read from and written to block devices."""
    try:
        with open(f"/proc/{pid}/io") as file:
            values = dict(line.split(": ") for line in file.read().split("\n") if ": " in line)
        return int(values.get("read_bytes", 0)), int(values.get("write_bytes", 0))
    except (OSError, ValueError):
        return 0, 0


def network(pid: int) -> dict[str, dict[str, int]]:
    """{interface: counters under Podman's names} of a process's network namespace, without the loopback; empty for the host's."""
    found: dict[str, dict[str, int]] = {}
    try:
        if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            return found
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read(1 << 20).split("\n")[2:]
    except OSError:
        return found
    for line in lines:
        name, colon, numbers = line.rpartition(":")
        fields = numbers.split()
        if not colon or len(fields) < 12 or name.strip() == "lo":
            continue
        keys = (
            ("RxBytes", 0),
            ("RxPackets", 1),
            ("RxErrors", 2),
            ("RxDropped", 3),
            ("TxBytes", 8),
            ("TxPackets", 9),
            ("TxErrors", 10),
            ("TxDropped", 11),
        )
        found[name.strip()] = {key: int(fields[at]) for key, at in keys}
    return found

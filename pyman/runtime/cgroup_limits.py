"""linux.resources of the runtime-spec as files of cgroup v2 (config-linux.md "Control groups"). Pure: nothing is read or written."""

from __future__ import annotations

import math

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Setting:
    """One write. controller: it must be enabled; files: names in order of preference, the first that exists is written.

    optional: it does not matter if none of the files exists, where another of the controller's does or there is to be no limit.
    """

    __slots__ = ("controller", "files", "optional", "value")

    def __init__(self, controller: str, files: str | tuple[str, ...], value: str, optional: bool = False) -> None:
        self.controller = controller
        self.files = (files,) if isinstance(files, str) else files
        self.value = value
        self.optional = optional

    @property
    def limits(self) -> bool:
        """Whether it asks for something that an untouched group does not have; the controller is needed then."""
        return not self.optional or self.value != "max"

    def __repr__(self) -> str:
        return f"{'|'.join(self.files)}={self.value}"


# Files of a cgroup that steer its membership and not its resources: `unified` must not reach them.
_NOT_LIMITS = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "cgroup.type", "cgroup.kill", "cgroup.freeze")


def settings(resources: dict[str, Any]) -> list[Setting]:
    """Every write that `resources` (linux.resources; sizes in bytes, times in microseconds) asks for, in order.

    Devices are not among them. RuntimeFailure for a value out of range, and for what cgroup v2 cannot do.
    """
    found = [
        *_cpu(_section(resources, "cpu")),
        *_memory(_section(resources, "memory")),
        *_pids(_section(resources, "pids")),
        *_io(_section(resources, "blockIO")),
        *_hugetlb(resources.get("hugepageLimits") or []),
        *_rdma(_section(resources, "rdma")),
    ]
    if resources.get("network"):
        raise _refused("network", "cgroup v2 has no network classes or priorities")
    for name, value in _section(resources, "unified").items():
        if "/" in name or "." not in name or name in _NOT_LIMITS:
            raise _refused(f"unified.{name}", "it is not the name of a limit")
        found.append(Setting(name.partition(".")[0], name, str(value)))
    return found


def _section(resources: dict[str, Any], name: str) -> dict[str, Any]:
    value = resources.get(name) or {}
    if not isinstance(value, dict):
        raise _refused(name, "it is not an object")
    return value


def _refused(name: str, why: str) -> RuntimeFailure:
    return RuntimeFailure(f"cannot set linux.resources.{name}", why, stage="cgroup")


def _number(section: dict[str, Any], group: str, name: str) -> int | None:
    value = section.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refused(f"{group}.{name}", f"{value!r} is not a whole number")
    return value


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


def weight_of_shares(shares: int) -> int:
    """cpu.weight (1..10000) for cpu.shares (2..262144): a quadratic in log2, so that the defaults 1024 and 100 meet; 0 for 0."""
    if shares <= 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """io.weight (1..10000) for blkio.weight (10..1000), linear."""
    return 1 + (weight - 10) * 9999 // 990


def _cpu(cpu: dict[str, Any]) -> list[Setting]:
    found = []
    for name in ("realtimeRuntime", "realtimePeriod"):
        if _number(cpu, "cpu", name):
            raise _refused(f"cpu.{name}", "cgroup v2 does not divide realtime time")
    idle = _number(cpu, "cpu", "idle")
    if idle is not None:
        found.append(Setting("cpu", "cpu.idle", str(idle)))
    weight = weight_of_shares(_number(cpu, "cpu", "shares") or 0)
    if weight and not idle:  # an idle group has no weight
        found.append(Setting("cpu", "cpu.weight", str(weight)))
    quota, period, burst = (_number(cpu, "cpu", name) for name in ("quota", "period", "burst"))
    if quota or period:
        found.append(Setting("cpu", "cpu.max", f"{quota if quota and quota > 0 else 'max'} {period or 100000}"))
    if burst is not None:
        found.append(Setting("cpu", "cpu.max.burst", str(burst)))
    for name, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
        if cpu.get(name):
            found.append(Setting("cpuset", file, str(cpu[name])))
    return found


def _memory(memory: dict[str, Any]) -> list[Setting]:
    limit, swap, reservation = (_number(memory, "memory", name) for name in ("limit", "swap", "reservation"))
    if memory.get("disableOOMKiller"):
        raise _refused("memory.disableOOMKiller", "the out-of-memory killer cannot be switched off on cgroup v2")
    for name in ("kernel", "kernelTCP", "swappiness"):
        if _number(memory, "memory", name) not in (None, 0, -1):
            raise _refused(f"memory.{name}", "cgroup v2 has no such limit")
    found = []
    # 0 means "not set", as everywhere in this section.
    if limit == -1 and not swap:
        swap = -1
    if swap:
        # The spec counts memory and swap together, the kernel swap alone.
        if swap > 0 and not (limit and limit > 0):
            raise _refused("memory.swap", "it counts memory and swap together, so it needs memory.limit")
        if swap > 0 and limit and swap < limit:
            raise _refused("memory.swap", f"memory and swap together ({swap}) are less than memory.limit ({limit})")
        # swap first when it is unlimited: memory.max may push pages there
        found.append(Setting("memory", "memory.swap.max", "max" if swap < 0 else str(swap - (limit or 0)), optional=swap < 0))
    if limit:
        found.append(Setting("memory", "memory.max", _limit(limit), optional=limit < 0))
    if reservation:
        found.append(Setting("memory", "memory.low", _limit(reservation)))
    return found


def _pids(pids: dict[str, Any]) -> list[Setting]:
    limit = _number(pids, "pids", "limit")
    return [] if not limit else [Setting("pids", "pids.max", _limit(limit), optional=limit < 0)]


_THROTTLE = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def _io(block: dict[str, Any]) -> list[Setting]:
    found = []
    weight = _number(block, "blockIO", "weight")
    if weight:
        _in_range("blockIO.weight", weight)
        # The BFQ scheduler has a file of its own with the old range; which one counts depends on the disk.
        found.append(Setting("io", "io.bfq.weight", str(weight), optional=True))
        found.append(Setting("io", "io.weight", f"default {io_weight(weight)}", optional=True))
    if _number(block, "blockIO", "leafWeight"):
        raise _refused("blockIO.leafWeight", "cgroup v2 has no leaf weights")
    for device in block.get("weightDevice") or []:
        if device.get("leafWeight"):
            raise _refused("blockIO.weightDevice", "cgroup v2 has no leaf weights")
        weight = int(device.get("weight") or 0)
        if weight:
            _in_range("blockIO.weightDevice", weight)
            found.append(Setting("io", "io.bfq.weight", f"{device['major']}:{device['minor']} {weight}"))
    for key, word in _THROTTLE.items():
        for device in block.get(key) or []:
            found.append(Setting("io", "io.max", f"{device['major']}:{device['minor']} {word}={device['rate'] or 'max'}"))
    return found


def _in_range(name: str, weight: int) -> None:
    if not 10 <= weight <= 1000:
        raise _refused(name, f"{weight} is not between 10 and 1000")


def _hugetlb(limits: list[dict[str, Any]]) -> list[Setting]:
    found = []
    for entry in limits:
        size = str(entry.get("pageSize") or "")
        if not size[:1].isdigit() or not size.isalnum():
            raise _refused("hugepageLimits", f"page size {size!r} is not like 2MB")
        found.append(Setting("hugetlb", f"hugetlb.{size}.max", str(entry["limit"])))
        found.append(Setting("hugetlb", f"hugetlb.{size}.rsvd.max", str(entry["limit"]), optional=True))
    return found


def _rdma(devices: dict[str, Any]) -> list[Setting]:
    found = []
    for name, entry in devices.items():
        words = [f"{word}={entry[key]}" for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")) if key in entry]
        if words:
            found.append(Setting("rdma", "rdma.max", " ".join([name, *words])))
    return found

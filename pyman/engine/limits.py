"""--memory, --cpus, --pids-limit, ... as linux.resources of the runtime-spec. Pure but for the numbers of devices. CLI process."""

from __future__ import annotations

import os
import stat

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc", "dmem", "cgroup")
_NOT_LIMITS = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "cgroup.type", "cgroup.kill", "cgroup.freeze")
PERIOD = 100_000  # microseconds, the kernel's default
_DEVICES = {
    "device_read_bps": "throttleReadBpsDevice",
    "device_write_bps": "throttleWriteBpsDevice",
    "device_read_iops": "throttleReadIOPSDevice",
    "device_write_iops": "throttleWriteIOPSDevice",
}


def resources(opts: dict[str, Any]) -> dict[str, Any]:
    """linux.resources (config-linux.md "Control groups") for the options of run, create and update; empty without limits.

    UsageError for a value that no kernel would take.
    """
    found: dict[str, Any] = {}
    for name, part in (("memory", _memory(opts)), ("cpu", _cpu(opts)), ("blockIO", _block_io(opts)), ("unified", _unified(opts))):
        if part:
            found[name] = part
    pids = opts.get("pids_limit")
    if pids not in (None, ""):
        number = _whole("--pids-limit", str(pids))
        found["pids"] = {"limit": number if number > 0 else -1}
    return found


def size(option: str, text: str) -> int:
    """Bytes of a size such as 512m or 1.5g. UsageError."""
    lowered = text.strip().lower()
    number = lowered.removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        value = float(number.removesuffix(unit)) * _UNITS.get(unit, 1)
        if not 0 <= value <= 1 << 62 or not lowered.isascii() or "_" in lowered:
            raise ValueError
    except ValueError:
        raise UsageError(f"invalid value {text!r} for option {option}", "it must be a size", "for example 512m or 2g") from None
    return int(value)


def _whole(option: str, text: str) -> int:
    try:
        number = int(text) if text.isascii() else 1 << 63
    except ValueError:
        number = 1 << 63
    if abs(number) >= 1 << 63:
        raise UsageError(f"invalid value {text!r} for option {option}", "it must be a whole number of 64 bits at most")
    return number


def _memory(opts: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    limit = size("--memory", opts["memory"]) if opts.get("memory") not in (None, "", "0", "-1") else 0
    if opts.get("memory") == "-1":
        found["limit"] = -1
    if limit:
        if limit < 6 << 20:
            raise UsageError(
                f"invalid value {opts['memory']!r} for option --memory", "no process starts in less than 6 MB", "for example --memory 64m"
            )
        found["limit"] = limit
    swap = opts.get("memory_swap") or ""
    if swap == "-1":
        found["swap"] = -1
    elif swap:
        value = size("--memory-swap", swap)
        if not limit:
            raise UsageError("cannot use option --memory-swap", "it counts memory and swap together, so it needs --memory")
        if value < limit:
            raise UsageError(
                f"invalid value {swap!r} for option --memory-swap", f"it counts memory and swap together, and --memory is {opts['memory']}"
            )
        found["swap"] = value
    elif limit:
        found["swap"] = 2 * limit
    if opts.get("memory_reservation"):
        found["reservation"] = size("--memory-reservation", opts["memory_reservation"])
        if limit and found["reservation"] > limit:
            raise UsageError("cannot use option --memory-reservation", f"it is more than --memory ({opts['memory']})")
    return found


def _cpu(opts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cpus = opts.get("cpus")
    if cpus is not None and float(cpus):
        for other in ("cpu_period", "cpu_quota"):
            if opts.get(other):
                raise UsageError(f"cannot use option --cpus together with --{other.replace('_', '-')}", "both say the same")
        if not 0.01 <= float(cpus) <= 1 << 20:
            raise UsageError(f"invalid value {cpus} for option --cpus", "it must be at least 0.01")
        found.update(period=PERIOD, quota=int(float(cpus) * PERIOD))
    for option, key in (("cpu_period", "period"), ("cpu_quota", "quota"), ("cpu_shares", "shares")):
        if opts.get(option):
            found[key] = int(opts[option])
    if "period" in found and not 1000 <= found["period"] <= 1_000_000:
        raise UsageError(f"invalid value {found['period']} for option --cpu-period", "it must be 1000 to 1000000 microseconds")
    if found.get("quota", 1000) < 1000 and found["quota"] != -1:
        raise UsageError(f"invalid value {found['quota']} for option --cpu-quota", "it must be at least 1000 microseconds")
    for option, key in (("cpuset_cpus", "cpus"), ("cpuset_mems", "mems")):
        text = opts.get(option) or ""
        if text:
            if text.strip("0123456789,-") or not text[0].isdigit():
                raise UsageError(
                    f"invalid value {text!r} for option --{option.replace('_', '-')}", "it must be a list of numbers", "for example 0-2,4"
                )
            found[key] = text
    return found


def _block_io(opts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if opts.get("blkio_weight"):
        found["weight"] = _weight("--blkio-weight", str(opts["blkio_weight"]))
    devices = []
    for item in opts.get("blkio_weight_device") or []:
        path, text = _pair("--blkio-weight-device", item, "PATH:WEIGHT")
        devices.append({**_numbers("--blkio-weight-device", path), "weight": _weight("--blkio-weight-device", text)})
    if devices:
        found["weightDevice"] = devices
    for option, key in _DEVICES.items():
        name = "--" + option.replace("_", "-")
        for item in opts.get(option) or []:
            path, text = _pair(name, item, "PATH:RATE")
            rate = size(name, text) if option.endswith("bps") else _whole(name, text)
            found.setdefault(key, []).append({**_numbers(name, path), "rate": rate})
    return found


def _weight(option: str, text: str) -> int:
    value = _whole(option, text)
    if not 10 <= value <= 1000:
        raise UsageError(f"invalid value {text!r} for option {option}", "a weight is 10 to 1000")
    return value


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    path, colon, value = text.rpartition(":")
    if not colon or not path:
        raise UsageError(f"invalid value {text!r} for option {option}", f"the form is {form}")
    return path, value


def _numbers(option: str, path: str) -> dict[str, int]:
    """Major and minor number of a block device. UsageError."""
    try:
        info = os.stat(path)
    except OSError as err:
        raise UsageError(f"cannot use {path} for option {option}", err.strerror or str(err)) from err
    if not stat.S_ISBLK(info.st_mode):
        raise UsageError(f"cannot use {path} for option {option}", "it is not a block device")
    return {"major": os.major(info.st_rdev), "minor": os.minor(info.st_rdev)}


def _unified(opts: dict[str, Any]) -> dict[str, str]:
    found = {}
    for item in opts.get("cgroup_conf") or []:
        key, equals, value = item.partition("=")
        if not equals or "." not in key:
            raise UsageError(
                f"invalid value {item!r} for option --cgroup-conf", "the form is FILE=VALUE", "for example memory.high=1073741824"
            )
        if key.partition(".")[0] not in _CONTROLLERS or "/" in key or key in _NOT_LIMITS:
            why = f"a limit's name begins with that of a controller ({', '.join(_CONTROLLERS)}) and has no / in it"
            raise UsageError(f"cannot set {key[:60]} with option --cgroup-conf", why)
        found[key] = value
    return found

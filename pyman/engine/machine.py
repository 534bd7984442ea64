"""Facts about this machine and the programs pyman uses, for `info`. CLI process, slow path."""

from __future__ import annotations

import os
import time

from pyman import paths, version
from pyman.linux import machine
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def distribution() -> dict[str, str]:
    """ID, version and code name from os-release."""
    values: dict[str, str] = {}
    for line in (store.read_text(os.path.realpath("/etc/os-release")) or "").split("\n"):
        key, _, value = line.partition("=")
        values[key] = value.strip().strip('"')
    return {
        "distribution": values.get("ID", "unknown"),
        "version": values.get("VERSION_ID", "unknown"),
        **({"codename": values["VERSION_CODENAME"]} if values.get("VERSION_CODENAME") else {}),
    }


def memory() -> dict[str, int]:
    """memFree, memTotal, swapFree, swapTotal in bytes."""
    found: dict[str, int] = {}
    for line in (store.read_text("/proc/meminfo") or "").split("\n"):
        key, _, value = line.partition(":")
        if key in ("MemFree", "MemTotal", "SwapFree", "SwapTotal"):
            found[key[0].lower() + key[1:]] = int(value.split()[0]) * 1024
    return found


def cpu_utilization() -> dict[str, float]:
    """Percent of the time since boot that the processors spent for users, the kernel, and idle."""
    fields = [int(number) for number in (store.read_text("/proc/stat") or "cpu 0 0 0 1").split("\n")[0].split()[1:]]
    total = sum(fields) or 1
    user, system, idle = fields[0] + fields[1], fields[2], fields[3]
    return {
        name: round(100 * value / total, 2) for name, value in (("userPercent", user), ("systemPercent", system), ("idlePercent", idle))
    }


def uptime() -> str:
    """4h 38m 57.00s (Approximately 0.17 days)."""
    seconds = float((store.read_text("/proc/uptime") or "0").split()[0])
    hours, rest = divmod(int(seconds), 3600)
    text = f"{hours}h {rest // 60}m {rest % 60:.2f}s"
    return f"{text} (Approximately {seconds / 86400:.2f} days)" if hours else text


def cgroups() -> dict[str, Any]:
    """Version, the manager, and the controllers this user may use."""
    from pyman.engine import cgroups as own_group

    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    mine, manager = own_group.own(), paths.service_manager()
    place = own_group.managers() if manager else mine
    controllers = (store.read_text(os.path.join(place, "cgroup.controllers")) or "").split() if place else []
    return {
        "cgroupManager": "systemd" if manager else "cgroupfs" if mine else "disabled",
        "cgroupVersion": "v2" if unified else "v1",
        "cgroupControllers": controllers,
    }


def program(path: str) -> dict[str, str]:
    """Where a program lies, its Debian package and what it says of its version; empty texts where there is none."""
    if not path:
        return {"executable": "", "package": "", "version": ""}
    import subprocess

    def output(*argv: str) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return (done.stdout or done.stderr).strip() if done.returncode == 0 else ""

    package = output("dpkg-query", "-S", path).split(":")[0]
    full = output("dpkg-query", "-W", "-f", "${Package}_${Version}_${Architecture}", package) if package else ""
    return {"executable": path, "package": full, "version": output(path, "--version")}


def room(path: str) -> dict[str, int]:
    """graphRootAllocated and graphRootUsed: bytes of the file system that `path` lies on."""
    info = os.statvfs(path)
    return {"graphRootAllocated": info.f_blocks * info.f_frsize, "graphRootUsed": (info.f_blocks - info.f_bfree) * info.f_frsize}


def release() -> dict[str, Any]:
    """What `version` and `info` say of this program: its version, when this installation was made, what it runs on."""
    moment = int(os.stat(version.__file__).st_mtime)
    return {
        "APIVersion": version.COMPAT_VERSION,
        "Version": version.told(),
        "GoVersion": "",
        "GitCommit": "",
        "BuildOrigin": "",
        "Built": moment,
        "BuiltTime": time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(moment)),
        "Os": "linux",
        "OsArch": f"linux/{machine.architecture()}",
    }

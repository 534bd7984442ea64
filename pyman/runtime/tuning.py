"""process.scheduler, ioPriority, execCPUAffinity, linux.memoryPolicy and security labels. Init and exec-init, when asked for."""

from __future__ import annotations

import errno
import os

from pyman.digits import is_whole
from pyman.errors import RuntimeFailure
from pyman.linux import fs, sched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 1,
    "SCHED_FLAG_RECLAIM": 2,
    "SCHED_FLAG_DL_OVERRUN": 4,
    "SCHED_FLAG_KEEP_POLICY": 8,
    "SCHED_FLAG_KEEP_PARAMS": 16,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {"MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13}
KEYS = ("scheduler", "ioPriority", "execCPUAffinity", "apparmorProfile", "selinuxLabel")


def wanted(process: dict[str, Any], linux: dict[str, Any] | None = None) -> bool:
    """Whether a process asks for anything of this module."""
    return any(process.get(key) for key in KEYS) or bool((linux or {}).get("memoryPolicy"))


def _failed(what: str, why: str) -> RuntimeFailure:
    return RuntimeFailure(f"cannot set {what}", why, stage="process")


def _choose(table: dict[str, int], name: object, what: str) -> int:
    if name not in table:
        raise _failed(what, f"{name!r} is not one of {', '.join(table)}")
    return table[str(name)]


def numbers(text: str, what: str) -> set[int]:
    """A list in the kernel's form, such as "0-3,7". RuntimeFailure."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not is_whole(first) or (dash and not is_whole(last)) or int(last or first) < int(first) or int(last or first) > 65535:
            raise _failed(what, f"{text!r} is not a list such as 0-3,7")
        found.update(range(int(first), int(last or first) + 1))
    return found


def check(process: dict[str, Any], linux: dict[str, Any] | None = None) -> None:
    """Everything that can be seen before a process is made. RuntimeFailure."""
    scheduler, priority, affinity = (process.get(key) or {} for key in ("scheduler", "ioPriority", "execCPUAffinity"))
    if scheduler:
        _choose(_POLICIES, scheduler.get("policy"), "process.scheduler")
        for flag in scheduler.get("flags") or []:
            _choose(_SCHED_FLAGS, flag, "process.scheduler")
    if priority:
        _choose(_IO_CLASSES, priority.get("class"), "process.ioPriority")
        if not 0 <= int(priority.get("priority") or 0) <= 7:
            raise _failed("process.ioPriority", f"priority {priority['priority']} is not between 0 and 7")
    for moment in ("initial", "final"):
        if affinity.get(moment):
            numbers(str(affinity[moment]), f"process.execCPUAffinity.{moment}")
    policy = (linux or {}).get("memoryPolicy") or {}
    if policy:
        _choose(MEMORY_MODES, policy.get("mode"), "linux.memoryPolicy")
        for flag in policy.get("flags") or []:
            _choose(MEMORY_FLAGS, flag, "linux.memoryPolicy")
    if process.get("apparmorProfile") and not has_apparmor():
        raise _failed(f"the AppArmor profile {process['apparmorProfile']}", "AppArmor is not enabled on this host")
    if process.get("selinuxLabel") and not has_selinux():
        raise _failed(f"the SELinux label {process['selinuxLabel']}", "SELinux is not enabled on this host")
    if (linux or {}).get("mountLabel") and not has_selinux():
        raise _failed(f"the SELinux label {(linux or {})['mountLabel']} of mounts", "SELinux is not enabled on this host")


def has_apparmor() -> bool:
    """Whether the kernel enforces AppArmor profiles."""
    try:
        with open("/sys/module/apparmor/parameters/enabled") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


def has_selinux() -> bool:
    """Whether SELinux is there."""
    return os.path.exists("/sys/fs/selinux/enforce")


def set_labels(process: dict[str, Any]) -> None:
    """Labels that the next exec takes, through the host's procfs: called before the container's root is entered. RuntimeFailure."""
    for key, file, text in (
        ("apparmorProfile", "attr/apparmor/exec", "exec {}"),
        ("selinuxLabel", "attr/exec", "{}"),
    ):
        if not process.get(key):
            continue
        try:
            fd = os.open(f"/proc/thread-self/{file}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                if fs.magic(fd) != fs.PROC_SUPER_MAGIC:
                    raise _failed(f"process.{key}", "/proc is not procfs")
                os.write(fd, text.format(process[key]).encode())
            finally:
                os.close(fd)
        except OSError as err:
            absent = key == "apparmorProfile" and err.errno == errno.ENOENT
            why = "no AppArmor profile of this name is loaded" if absent else err.strerror or str(err)
            raise _failed(f"process.{key} {process[key]}", why) from err


def set_affinity(process: dict[str, Any], moment: str) -> None:
    """execCPUAffinity: `initial` before the cgroup is entered, `final` after (config.md "Process"). RuntimeFailure."""
    text = (process.get("execCPUAffinity") or {}).get(moment)
    if not text:
        return
    try:
        os.sched_setaffinity(0, numbers(str(text), "process.execCPUAffinity"))
    except OSError as err:
        raise _failed(f"the {moment} CPU affinity {text}", err.strerror or str(err)) from err


def apply(process: dict[str, Any], linux: dict[str, Any] | None = None) -> None:
    """Scheduler, I/O priority and memory policy, while the process still has its privileges. RuntimeFailure."""
    scheduler, priority, policy = process.get("scheduler"), process.get("ioPriority"), (linux or {}).get("memoryPolicy")
    what = ""
    try:
        if policy:
            what = "linux.memoryPolicy"
            mode = _choose(MEMORY_MODES, policy.get("mode"), what)
            for flag in policy.get("flags") or []:
                mode |= _choose(MEMORY_FLAGS, flag, what)
            sched.set_mempolicy(mode, sorted(numbers(str(policy["nodes"]), what)) if policy.get("nodes") else [])
        if priority:
            what = "process.ioPriority"
            sched.ioprio_set(_choose(_IO_CLASSES, priority.get("class"), what), int(priority.get("priority") or 0))
        if scheduler:
            what = "process.scheduler"
            flags = sum({_choose(_SCHED_FLAGS, flag, what) for flag in scheduler.get("flags") or []})
            times = [int(scheduler.get(key) or 0) for key in ("runtime", "deadline", "period")]
            policy_number = _choose(_POLICIES, scheduler.get("policy"), what)
            sched.sched_setattr(policy_number, flags, int(scheduler.get("nice") or 0), int(scheduler.get("priority") or 0), *times)
    except OSError as err:
        raise _failed(what, f"{err.strerror}; it may need privileges on the host") from err

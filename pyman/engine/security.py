"""--security-opt, masked and read-only paths, seccomp, no_new_privs. CLI process; reads a profile file if one is named."""

from __future__ import annotations

import os

from pyman.engine import seccomp_default
from pyman.errors import UsageError
from pyman.linux import machine
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats "
    "/sys/dev/block /sys/devices/virtual/powercap /sys/firmware /sys/fs/selinux"
).split()
READONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()


def apply(spec: dict[str, Any], opts: dict[str, Any], table: dict[str, Any], bounding: list[str], privileged: bool) -> None:
    """Fill process.noNewPrivileges and linux.{seccomp,maskedPaths,readonlyPaths}. UsageError for an option not known."""
    linux = spec["linux"]
    masked = [] if privileged else list(MASKED) + _thermal()
    readonly = [] if privileged else list(READONLY)
    seccomp = "unconfined" if privileged else str(table.get("seccomp_profile") or "")
    for option in opts.get("security_opt") or []:
        key, separator, value = option.partition("=")
        if not separator and ":" in option:
            key, _, value = option.partition(":")
        if key == "no-new-privileges":
            if value not in ("", "true", "false") or (separator and not value):
                raise UsageError(f"invalid security option {option!r}", "no-new-privileges is true or false")
            spec["process"]["noNewPrivileges"] = value != "false"
        elif key == "seccomp":
            seccomp = value
        elif key == "mask":
            masked += value.split(":")
        elif key == "unmask":
            masked, readonly = _unmask(value, masked, readonly)
        elif key == "systempaths" and value == "unconfined":
            masked, readonly = [], []
        elif key == "label":
            if value not in ("disable", "nested") and os.path.isdir("/sys/fs/selinux/class"):
                raise UsageError(
                    f"cannot use --security-opt {option}", "SELinux labels are not part of this release", "use --security-opt label=disable"
                )
            spec["process"].pop("selinuxLabel", None)
        elif key == "apparmor":
            if value != "unconfined":
                raise UsageError(
                    f"cannot use --security-opt {option}",
                    "an unprivileged user cannot load or choose AppArmor profiles here",
                    "use apparmor=unconfined, or leave it out",
                )
        elif key == "proc-opts":
            _proc_options(spec, value)
        else:
            raise UsageError(
                f"invalid security option {option!r}",
                "pyman does not know it",
                "known are no-new-privileges, seccomp, mask, unmask, label, apparmor, proc-opts",
            )
    linux["maskedPaths"], linux["readonlyPaths"] = masked, readonly
    if seccomp != "unconfined":
        linux["seccomp"] = _profile(seccomp, bounding)


def _thermal() -> list[str]:
    return [
        path
        for path in (f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 1))
        if os.path.isdir(path)
    ]


def _unmask(value: str, masked: list[str], readonly: list[str]) -> tuple[list[str], list[str]]:
    if value.upper() == "ALL":
        return [], []
    import fnmatch  # only with this option

    patterns = value.split(":")

    def kept(paths: list[str]) -> list[str]:
        return [path for path in paths if not any(fnmatch.fnmatch(path, pattern.rstrip("/")) for pattern in patterns)]

    return kept(masked), kept(readonly)


def _proc_options(spec: dict[str, Any], value: str) -> None:
    for option in value.split(","):
        key, _, _ = option.partition("=")
        if key not in ("hidepid", "subset", "gid", "ro", "rw", "nosuid", "nodev", "noexec"):
            raise UsageError(
                f"invalid security option 'proc-opts={value}'", f"a procfs has no option {option}", "known are hidepid, subset, gid"
            )
    for entry in spec["mounts"]:
        if entry["destination"] == "/proc" and entry["type"] == "proc":
            entry["options"] = [*entry["options"], *value.split(",")]


def _profile(path: str, bounding: list[str]) -> dict[str, Any]:
    if path in ("", "default"):
        return seccomp_default.profile(bounding, os.uname().machine)
    text = store.read_text(path, follow=True)
    if text is None:
        raise UsageError(f"cannot read seccomp profile {path}", "no such file", errno=2)
    try:
        profile = fastjson.loads(text)
        syscalls = profile.get("syscalls") or []
    except (ValueError, AttributeError) as err:
        raise UsageError(f"cannot use seccomp profile {path}", f"it is no JSON object: {err}") from err
    architectures = profile.get("architectures") or [item["architecture"] for item in profile.get("archMap") or []][:1]
    return {
        "defaultAction": profile.get("defaultAction", "SCMP_ACT_ERRNO"),
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": architectures,
        "syscalls": [rule for rule in (_rule(item, bounding) for item in syscalls) if rule],
    }


def _rule(item: dict[str, Any], bounding: list[str]) -> dict[str, Any] | None:
    """A rule of Docker's or Podman's profile format, if its conditions on capabilities hold; None otherwise."""
    includes, excludes = item.get("includes") or {}, item.get("excludes") or {}
    if any(cap not in bounding for cap in includes.get("caps") or []) or any(cap in bounding for cap in excludes.get("caps") or []):
        return None
    arch = machine.architecture()
    if (includes.get("arches") and arch not in includes["arches"]) or arch in (excludes.get("arches") or []):
        return None
    return {
        "names": item.get("names") or [item.get("name")],
        "action": item.get("action"),
        **({"errnoRet": item["errnoRet"]} if isinstance(item.get("errnoRet"), int) else {}),
        "args": item.get("args") or [],
    }

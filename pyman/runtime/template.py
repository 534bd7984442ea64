"""`pyman-runtime` spec and features: a config.json to begin with, and what this runtime can do."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.linux import caps, seccomp
from pyman.runtime import hooks, mount_options, tuning, validate
from pyman.state import fastjson, store
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def features() -> dict[str, Any]:
    """What this runtime can do (runtime-spec, features.md)."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": list(hooks.KINDS),
        "mountOptions": mount_options.option_names(),
        "linux": {
            "namespaces": sorted(validate.NAMESPACES),
            "capabilities": ["CAP_" + name for name in caps.NAMES],
            "cgroup": {"v1": False, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHES),
                "knownFlags": list(seccomp.FLAGS),
                "supportedFlags": list(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"modes": list(tuning.MEMORY_MODES), "flags": list(tuning.MEMORY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"org.opencontainers.runtime.pyman.version": VERSION},
        "potentiallyUnsafeConfigAnnotations": [],
    }


def write_template(directory: str, rootless: bool) -> int:
    """config.json for a shell in ./rootfs; with `rootless`, or for a user, in a user namespace. UsageError if there is one already."""
    path = os.path.join(directory, "config.json")
    if os.path.exists(path):
        raise UsageError(f"cannot write {path}", "it exists already")
    store.write_text(path, fastjson.dumps(template(rootless or os.geteuid() != 0), indent=2) + "\n", mode=0o644)
    return 0


def template(rootless: bool) -> dict[str, Any]:
    """The spec of `pyman-runtime spec`."""
    allowed = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    private = ["nosuid", "noexec", "nodev"]
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": [f"/proc/{name}" for name in "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()]
        + ["/sys/firmware", "/sys/devices/virtual/powercap"],
        "readonlyPaths": [f"/proc/{name}" for name in "bus fs irq sys sysrq-trigger".split()],
    }
    system: dict[str, Any] = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*private, "ro"]}
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if rootless:
        # The host's network: who cannot set one up has at least that, as with other runtimes.
        linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
        system = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", *private, "ro"]}
    else:
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        pts.append("gid=5")
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: allowed for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pyman",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": private},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*private, "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": private},
            system,
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*private, "relatime", "ro"]},
        ],
        "linux": linux,
    }

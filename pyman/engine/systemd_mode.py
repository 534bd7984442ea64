"""--systemd: what systemd as a container's first process needs. CLI process, such containers only.

Temporary file systems where it expects them, control groups that it can write to (those of the container's own namespace), the signal that
it stops by. `true` means: if the container's command is systemd.
"""

from __future__ import annotations

from pyman.engine.logopts import parse_size
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.specgen import SpecContext

STOP_SIGNAL = "RTMIN+3"
_COMMANDS = ("/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init")
_TMPFS = ("/run", "/run/lock", "/tmp", "/var/log/journal")
_YES, _NO = ("true", "1", "t"), ("false", "0", "f")


def wanted(opts: dict[str, Any], command: list[str]) -> bool:
    """Whether the container is one for systemd. UsageError for a value of --systemd that is none."""
    mode = str(opts.get("systemd") or "true").lower()
    if mode not in ("always", *_YES, *_NO):
        raise UsageError(f"invalid value {mode!r} for option --systemd", "it must be true, false or always")
    if mode == "always":
        if opts.get("init"):
            raise UsageError("cannot use --init with --systemd=always", "systemd must be the first process")
        return True
    return mode in _YES and not opts.get("init") and (command[0] in _COMMANDS or command[0].rsplit("/", 1)[-1] == "systemd")


def apply(spec: dict[str, Any], opts: dict[str, Any], ctx: SpecContext) -> None:
    """Add to the OCI configuration what systemd needs. UsageError."""
    options = ["rw", "nosuid", "nodev", "tmpcopyup"]
    if opts.get("shm_size_systemd"):
        options.append(f"size={parse_size(opts['shm_size_systemd'], '--shm-size-systemd')}")
    taken = {entry["destination"] for entry in spec["mounts"]}
    added = [{"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options} for path in _TMPFS if path not in taken]
    for entry in spec["mounts"]:
        if entry["type"] == "cgroup":
            entry["options"] = [option for option in entry["options"] if option != "ro"] + ["rw"]
    # As in mount_plan: what lies deeper comes later.
    spec["mounts"] = sorted([*spec["mounts"], *added], key=lambda entry: entry["destination"].count("/"))
    spec["process"]["env"].append(f"container_uuid={ctx.id[:32]}")
    if not any(entry["type"] == "cgroup" and not entry.get("path") for entry in spec["linux"]["namespaces"]):
        ctx.warnings.append("systemd in the container needs control groups of its own: leave --cgroupns private")

"""Capabilities of a container: the default set, --cap-add, --cap-drop, --privileged. CLI process, pure."""

from __future__ import annotations

from pyman.errors import UsageError
from pyman.linux.caps import NAMES

ALL = tuple("CAP_" + name for name in NAMES)
DEFAULT = tuple(
    "CAP_" + n for n in "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split()
)


def _normalise(name: str) -> str:
    full = name.strip().upper()
    full = full if full.startswith("CAP_") else "CAP_" + full
    if full == "CAP_ALL":
        return "ALL"
    if full not in ALL:
        raise UsageError(
            f"unknown capability {name!r}", "the kernel has none of that name", "capabilities(7) lists them; ALL means every one"
        )
    return full


def bounding(add: list[str], drop: list[str], privileged: bool, default: list[str]) -> list[str]:
    """The bounding set, in the kernel's order. UsageError for unknown names, or one both added and dropped."""
    if privileged:
        return list(ALL)
    added = {_normalise(name) for item in add for name in item.split(",")}
    dropped = {_normalise(name) for item in drop for name in item.split(",")}
    both = added & dropped
    if both:
        raise UsageError(f"cannot both add and drop {', '.join(sorted(both))}", "--cap-add and --cap-drop contradict each other")
    base = {_normalise(name) for name in default} if default else set(DEFAULT)
    if "ALL" in dropped:
        base = set()
    if "ALL" in added:
        base = set(ALL)
    return [name for name in ALL if name in (base | added) - dropped]


def process_sets(bounding_set: list[str], uid_is_root: bool, added: list[str]) -> dict[str, list[str]]:
    """The OCI capabilities object. A user other than root gets none but the added ones, which must be ambient to survive exec."""
    if uid_is_root:
        return {"bounding": bounding_set, "effective": bounding_set, "permitted": bounding_set, "inheritable": [], "ambient": []}
    extra = {_normalise(name) for item in added for name in item.split(",")}
    kept = [name for name in bounding_set if name in extra or ("ALL" in extra)]
    return {"bounding": bounding_set, "effective": kept, "permitted": kept, "inheritable": kept, "ambient": kept}

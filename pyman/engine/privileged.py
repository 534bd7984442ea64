"""What only a `--privileged` container gets: the devices that its user can open, and facts about itself. CLI process and C."""

from __future__ import annotations

import os
import stat

from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_NOT_SHARED = ("pts", "shm", "fd", "mqueue")  # directories of the container's own
# Terminals are the container's own too; the rest every container has.
_NOT_BOUND = ("console", "ptmx", "tty", "null", "zero", "full", "random", "urandom")


def devices(mounts: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of linux.devices for the host's nodes, but for what a mount or another device of the container takes the place of."""
    taken = {entry["destination"] for entry in mounts if not (entry["destination"] == "/dev" and entry["type"] == "tmpfs")}
    taken |= {device["path"] for device in given}
    return [{"source": path, "path": path} for path in _nodes("/dev") if not taken & _ways(path)]


def _ways(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:count]) for count in range(2, len(parts) + 1)}


def _nodes(directory: str) -> list[str]:
    """The device nodes below it that the caller may read or write."""
    found: list[str] = []
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return []
    for entry in entries:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except OSError:
            continue  # it has just been unplugged
        if stat.S_ISDIR(mode) and entry.name not in _NOT_SHARED:
            found += _nodes(entry.path)
        elif (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and entry.name not in _NOT_BOUND and not _is_virtual_console(entry.name):
            found += [entry.path] if os.access(entry.path, os.R_OK) or os.access(entry.path, os.W_OK) else []
    return found


def _is_virtual_console(name: str) -> bool:
    return name.startswith("tty") and name[3:].isdigit()


def containerenv(container: Container) -> str:
    """What /run/.containerenv says of the container; for others its being there says enough."""
    image = container.config["image"]
    fields = {
        "engine": f"pyman-{VERSION}",
        "name": container.name,
        "id": container.id,
        "image": image["name"],
        "imageid": image["id"],
    }
    return "".join(f'{key}="{value}"\n' for key, value in fields.items()) + "rootless=1\n"

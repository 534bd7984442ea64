"""`volume mount` and `unmount`: where a volume's files are, for programs of the host. CLI process, or below `pyman unshare`."""

from __future__ import annotations

import os

from pyman.engine import volume_mounts, volume_visits, volumes
from pyman.errors import StateError
from pyman.linux import libc
from pyman.rootless import userns
from pyman.state import events
from pyman.state.lock import Lock

TYPE_CHECKING = False


def mount(name: str) -> str:
    """The directory with the volume's files; inside `pyman unshare` a file system of its own is mounted there. StateError."""
    record = volumes.get(volumes.lookup(name))
    path = volumes.data_path(record["name"])
    kind = volume_mounts.kind_of(record["options"])
    if kind and not volume_visits.mounted_here(record["name"]):
        if not userns.in_userns():
            raise StateError(
                f"cannot mount volume {record['name']}",
                f"it is a file system of its own ({kind}), which only your user namespace may mount",
                f"pyman unshare pyman volume mount {record['name']}",
            )
        for lock in volume_mounts.mount([record], ""):
            lock.release()
    events.emit("volume", "mount", record["name"], record["name"])
    return path


def unmount(name: str) -> str:
    """Undo `mount`; the volume's full name. Fine if it is not mounted. NoSuchObject."""
    record = volumes.get(volumes.lookup(name))
    if volume_mounts.kind_of(record["options"]) and userns.in_userns() and volume_visits.mounted_here(record["name"]):
        with Lock(os.path.join(volumes.directory(record["name"]), "volume.json")):
            libc.umount2(volumes.data_path(record["name"]), 0)
            volume_visits.leave(record["name"])
    events.emit("volume", "unmount", record["name"], record["name"])
    return str(record["name"])

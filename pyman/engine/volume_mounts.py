"""Volumes that are file systems of their own (`volume create --opt type=`): tmpfs, ramfs, bind, overlay. Process C, in U1.

They are mounted at the volume's _data in C's own mount namespace, and end with it. Containers that run at the same time
share one: who comes later takes the mount of who is there.
"""

from __future__ import annotations

import os

from pyman.engine import volume_visits, volumes
from pyman.errors import PymanError, StorageError, UsageError
from pyman.linux import libc, process
from pyman.rootless import userns
from pyman.runtime.mount_options import MS_FLAGS
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = ("tmpfs", "ramfs", "bind", "none", "overlay")
_FLAGS = {name: MS_FLAGS[name] for name in "ro nosuid nodev noexec sync noatime nodiratime relatime strictatime".split()}
_NOTHING = ("rw", "suid", "dev", "exec", "async", "atime", "diratime", "defaults", "noquota", "copy", "nocopy", "")


def check(name: str, options: dict[str, str]) -> None:
    """UsageError for a file system that an unprivileged user cannot mount, or a directory that is not there."""
    kind = kind_of(options)
    if kind and kind not in KINDS:
        raise UsageError(
            f"cannot create volume {name}",
            f"the kernel lets only privileged users mount the file system {kind}",
            "have it mounted on the host, and use --opt type=bind --opt device=DIRECTORY",
        )
    if not kind and options.get("device"):
        raise UsageError(f"cannot create volume {name}", "it has a device and no type", "add --opt type=bind, or another type")
    if kind == "bind" and not options.get("device", "").startswith("/"):
        raise UsageError(
            f"cannot create volume {name}", "a volume of type bind needs the absolute path of a directory", "add --opt device=/PATH"
        )
    if options.get("type") == "bind":  # as in Podman one of type=none, o=bind may come later
        try:
            os.stat(options["device"])
        except OSError as err:
            why = f"cannot reach {options['device']}: {err.strerror or err}"
            raise UsageError(f"cannot create volume {name}", why, "make the directory first, or give another --opt device=") from err


def kind_of(options: dict[str, str]) -> str:
    """The file system's type; "bind" also for Docker's `type=none, o=bind`, "image" for one of an image; empty for a plain directory."""
    if "image" in options:
        return "image"
    words = options.get("o", "").split(",")
    kind = options.get("type", "")
    return "bind" if kind in ("", "none") and ("bind" in words or "rbind" in words) else kind


def passes(record: dict[str, Any]) -> bool:
    """Whether what the volume holds ends with its last container."""
    return kind_of(record["options"]) in ("tmpfs", "ramfs")


def mount(records: list[dict[str, Any]], container_id: str, only_shared: bool = False) -> list[Lock]:
    """Mount the volumes `records` at their _data; their locks. UsageError, StorageError.

    only_shared: leave those alone that no container has mounted.

    The locks are to be held until the container's state is saved: then others find its mounts. (They are the locks of the
    records; that of the directory is taken again for the volume's first use.)
    """
    held = []
    for name, record in sorted({record["name"]: record for record in records}.items()):
        lock = Lock(os.path.join(volumes.directory(name), "volume.json"))
        lock.acquire()
        tree = _shared(name, container_id)
        if tree < 0 and (passes(record) or record["driver"] == "image") and _holders(name, container_id):
            lock.release()
            raise StorageError(
                f"cannot mount volume {name}",
                "a container that was started at the same moment, or a shell of unshare, has it in another user namespace",
                "try again, or end that shell",
            )
        if tree < 0 and only_shared:
            lock.release()
            continue
        held.append(lock)
        if tree < 0:
            if not volume_visits.find(name):
                volume_visits.forget(name)
            if not container_id:
                volume_visits.note(name)
            mount_here(record)
            continue
        target = os.open(volumes.data_path(name), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        libc.move_mount(tree, target)
        os.close(target)
        os.close(tree)
    return held


def mount_here(record: dict[str, Any]) -> None:
    """Mount one volume in the mount namespace of this process. UsageError, StorageError."""
    options, target = record["options"], volumes.data_path(record["name"])
    kind, device = kind_of(options), options.get("device", "")
    flags, data = 0, []
    for option in options.get("o", "").split(","):
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option not in _NOTHING and option not in ("bind", "rbind"):
            data.append(option)
    try:
        if kind == "image":
            from pyman.engine import volume_image  # such volumes only

            volume_image.mount(record)
        elif kind == "bind":
            if not os.path.isdir(device):
                raise UsageError(
                    f"cannot mount volume {record['name']}", f"{device} is no directory", f"create it first: mkdir -p {device}"
                )
            if data:
                raise UsageError(f"cannot mount volume {record['name']}", f"a volume of type bind has no option {data[0]}")
            libc.mount(device, target, None, libc.MS_BIND | libc.MS_REC)
            if flags:
                held = os.statvfs(target).f_flag & (libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC | libc.MS_RDONLY)
                libc.mount(None, target, None, libc.MS_BIND | libc.MS_REMOUNT | flags | held)
        else:
            libc.mount(device or kind, target, kind, flags | libc.MS_NOSUID | libc.MS_NODEV, ",".join(data) or None)
            if record["owner"]:
                os.chown(target, *record["owner"])
    except OSError as err:
        why = f"{err.strerror or err} (type {kind}, device {device or 'none'}, options {options.get('o') or 'none'})"
        raise StorageError(f"cannot mount volume {record['name']}", why, f"pyman volume inspect {record['name']}") from err


def _holders(name: str, container_id: str) -> list[tuple[int, int]]:
    """(pid, start time) of the monitors of the other containers that run and have the volume, and of who else has it mounted."""
    from pyman.engine import container

    found = volume_visits.find(name)
    for other in container.all_ids():
        if other == container_id:
            continue
        try:
            state = store.read_json(os.path.join(container.containers_dir(), other, "state.json")) or {}
        except PymanError:
            continue
        pid, started = state.get("monitor_pid", 0), state.get("monitor_start", 0)
        if name in (state.get("volume_at") or {}).values() and process.alive(pid, started):
            found.append((pid, started))
    return found


def userns_of_users(records: list[dict[str, Any]], container_id: str = "") -> int:
    """A descriptor of the user namespace of a container that has one of the volumes mounted, or -1.

    Mounts can be shared inside one user namespace only, and containers that run may be in several.
    """
    for record in records:
        for pid, started in _holders(record["name"], container_id) if kind_of(record["options"]) else ():
            fd = userns.userns_of(pid, started)
            if fd >= 0:
                return fd
    return -1


def _shared(name: str, container_id: str) -> int:
    """A copy of the volume's mount in a container that runs, as a descriptor; -1 if there is none."""
    for pid, started in _holders(name, container_id):
        tree = _from(pid, started, volumes.data_path(name))
        if tree >= 0:
            return tree
    return -1


def _from(pid: int, started: int, path: str) -> int:
    """The mount at `path` in the mount namespace of process (pid, started); -1 if there is none, or not to be had."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(own)
        return -1
    try:
        if not process.alive(pid, started):
            return -1
        libc.setns(theirs, libc.CLONE_NEWNS)
        try:
            if os.stat(path).st_dev == os.stat(os.path.dirname(path)).st_dev and not os.path.ismount(path):
                return -1
            return libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE)
        finally:
            libc.setns(own, libc.CLONE_NEWNS)
    except OSError:
        return -1  # another user namespace, or it ends just now
    finally:
        os.close(own)
        os.close(theirs)

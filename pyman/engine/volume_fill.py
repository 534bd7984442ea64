"""First use and ownership of what is mounted: copy-up, first owner of a volume, :U, :z and :Z. Process C, before init is cloned.

Everything is done below descriptors of the source; symlinks in it, which may be a container's, are never followed.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from pyman import stages
from pyman.engine import volume_mounts, volumes
from pyman.errors import RuntimeFailure, StorageError, UsageError
from pyman.linux import libc, trees
from pyman.runtime import tuning
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.mounts import Mount
    from pyman.engine.specgen import SpecContext

_PATIENCE = 2.0  # seconds of silence
_SYSTEM = set("/ /bin /boot /dev /etc /home /lib /lib64 /opt /proc /root /run /sbin /srv /sys /tmp /usr /var /var/lib /var/log".split())


class Progress:
    """Says how far a walk has come, every two seconds from the second one on; called once per file."""

    __slots__ = ("count", "last", "say", "what")

    def __init__(self, say: Callable[[str], None], what: str) -> None:
        self.say, self.what, self.count, self.last = say, what, 0, time.monotonic()

    def __call__(self) -> None:
        self.count += 1
        if self.count % 64 == 0 and time.monotonic() - self.last > _PATIENCE:
            self.last = time.monotonic()
            self.say(f"{self.what}: {self.count} files so far")


def prepare(mount: Mount, root_fd: int, user: dict[str, Any], spec: dict[str, Any], ctx: SpecContext) -> None:
    """Make one mount's source ready. root_fd: the container's root; user: its user. UsageError, OSError."""
    linux = spec.get("linux") or {}
    uid, gid = outside(linux.get("uidMappings"), user["uid"]), outside(linux.get("gidMappings"), user["gid"])
    entry = mount.entry
    if entry["type"] in ("tmpfs", "ramfs"):
        # Made in the container's own namespace, whose ids these are.
        entry["options"] += [f"uid={user['uid']}", f"gid={user['gid']}"] if entry["type"] == "tmpfs" else []
        return
    source = entry["source"]
    fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISDIR(info.st_mode):
            if mount.chown and (info.st_uid, info.st_gid) != (uid, gid):
                try:
                    os.chown(f"/proc/self/fd/{fd}", uid, gid)
                except OSError as err:
                    raise _cannot_own(mount, user, err, "") from err
            if mount.relabel and tuning.has_selinux():
                trees.set_label(f"/proc/self/fd/{fd}", _label(mount, ctx.id, source), True)
            return
        top = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(fd)
    try:
        if mount.volume and not mount.made:
            _first_use(mount, top, root_fd, (uid, gid), ctx)
        if mount.chown:
            what = f"giving {_shown(mount)} to {user['uid']}:{user['gid']}"
            try:
                trees.chown_tree(top, uid, gid, Progress(ctx.notice, what))
            except OSError as err:
                raise _cannot_own(mount, user, err, err.filename if isinstance(err.filename, str) else "") from err
        if mount.relabel and tuning.has_selinux():
            trees.label_tree(top, _label(mount, ctx.id, source), tick=Progress(ctx.notice, f"labelling {_shown(mount)}"))
    finally:
        os.close(top)


def _cannot_own(mount: Mount, user: dict[str, Any], err: OSError, name: str) -> RuntimeFailure:
    where = f"{name!r} in it: " if name and not name.startswith("/proc/") else ""
    hint = "all files in it must be yours, or of your subordinate ids; leave :U away otherwise" if err.errno == 1 else ""
    what = f"cannot give {_shown(mount)} to the container's user {user['uid']}:{user['gid']} (:U)"
    return RuntimeFailure(what, where + (err.strerror or str(err)), hint, stage="mounts")


def _shown(mount: Mount) -> str:
    return f"volume {mount.volume}" if mount.volume else str(mount.entry["source"])


def outside(mappings: list[dict[str, int]] | None, number: int) -> int:
    """An id of the container as this user namespace has it."""
    for item in mappings or []:
        if item["containerID"] <= number < item["containerID"] + item["size"]:
            return item["hostID"] + number - item["containerID"]
    return number


def _label(mount: Mount, container_id: str, source: str) -> bytes:
    """The SELinux label of a source that containers share (z), or that one has for itself (Z). UsageError for the system's own."""
    if source.rstrip("/") in _SYSTEM or source == "/":
        raise UsageError(
            f"cannot relabel {source}", "SELinux labels of the system's directories are not changed", "leave :z and :Z away for it"
        )
    level = "s0"
    if mount.relabel == "Z":
        pair = sorted({int(container_id[:8], 16) % 1024, int(container_id[8:16], 16) % 1023 + 1})
        level += ":" + ",".join(f"c{number}" for number in pair)
    return f"system_u:object_r:container_file_t:{level}".encode() + b"\0"


def fill(mount: Mount, root_fd: int, ctx: SpecContext) -> None:
    """The first use of a volume that the container sees through an overlay (O), before that is mounted. StorageError, OSError."""
    top = os.open(mount.entry["source"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _first_use(mount, top, root_fd, (0, 0), ctx)
    finally:
        os.close(top)


def _first_use(mount: Mount, top: int, root_fd: int, ids: tuple[int, int], ctx: SpecContext) -> None:
    """A volume's first use: the image's files, if it is empty, and the owner and mode of its top directory.

    Where the image has no such directory it is for `ids`; an overlay leaves that to the first mount of the volume itself.
    """
    state = volumes.read_state(mount.volume)
    if state.get("owned") and (state.get("copied") or not mount.copy_up):
        return
    with Lock(volumes.directory(mount.volume)):
        state = volumes.read_state(mount.volume)
        before = dict(state)
        record = volumes.get(mount.volume)
        passes = volume_mounts.passes(record)  # each of its mounts is a new one, but for those that find something in it
        if passes and os.listdir(top):
            return
        owned = bool(state.get("owned") or record["owner"])
        lent = volume_mounts.kind_of(record["options"]) == "bind"
        try:
            image = libc.openat2(root_fd, mount.entry["destination"].lstrip("/"), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            image = -1  # the image has nothing there
            if mount.made:
                return
        try:
            wanted = mount.copy_up and "nocopy" not in record["options"] and not state.get("copied")
            if image >= 0 and wanted and (state.get("moving") or not os.listdir(top)) and os.listdir(image):
                _copy_up(mount, image, top, state, ctx)
            if not owned:
                info = os.fstat(image) if image >= 0 else None
                if info is not None:
                    ids = (info.st_uid, info.st_gid)
                _own(top, ids, info)
        except OSError as err:
            # A directory of the host's that is another's, or that cannot be written to, stays as it is.
            if not lent or err.errno not in (errno.EPERM, errno.EACCES, errno.EROFS):
                raise StorageError(f"cannot prepare volume {mount.volume}", err.strerror or str(err), errno=err.errno or 0) from err
        finally:
            if image >= 0:
                os.close(image)
        state["owned"] = True
        if state != before and not passes:
            volumes.write_state(mount.volume, state)


def _own(top: int, ids: tuple[int, int], info: os.stat_result | None) -> None:
    now = os.fstat(top)
    if (now.st_uid, now.st_gid) != ids:
        os.fchown(top, *ids)
    if info is not None and stat.S_IMODE(now.st_mode) != stat.S_IMODE(info.st_mode):
        os.fchmod(top, stat.S_IMODE(info.st_mode))


def _copy_up(mount: Mount, image: int, top: int, state: dict[str, Any], ctx: SpecContext) -> None:
    """Copy beside the volume's files, then move the copies in one by one, over nothing that is there.

    Whenever this is killed, the next start either begins again or moves the rest: no volume stays half filled.
    """
    home = os.open(volumes.directory(mount.volume), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        same = os.fstat(home).st_dev == os.fstat(top).st_dev
        if not same:  # a volume that is a file system of its own
            trees.copy_tree(image, top, Progress(ctx.notice, f"filling {_shown(mount)}"))
            state["copied"] = True
            return
        if not state.get("moving"):
            if "_copy" in os.listdir(home):
                trees.remove_tree(home, "_copy")
            os.mkdir("_copy", 0o700, dir_fd=home)
        copy = libc.openat2(home, "_copy", os.O_RDONLY | os.O_DIRECTORY, 0, libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS)
        try:
            if not state.get("moving"):
                trees.copy_tree(image, copy, Progress(ctx.notice, f"filling {_shown(mount)}"))
                state["moving"] = True
                volumes.write_state(mount.volume, state)
                stages.reach("volume:copied")
            for name in os.listdir(copy):
                try:
                    libc.rename_new(copy, name, top, name)
                except FileExistsError:
                    pass  # what is in the volume stays
        finally:
            os.close(copy)
        trees.remove_tree(home, "_copy")
        state.pop("moving")
        state["copied"] = True
    finally:
        os.close(home)

"""What has changed in a container since its image, or between any two containers and images. CLI process; looks in U1."""

from __future__ import annotations

import os
import stat

from pyman import paths as paths_of
from pyman.config import containers as containers_conf
from pyman.engine import container as containers
from pyman.errors import NoSuchContainer, NoSuchObject
from pyman.linux import libc, trees
from pyman.rootless import userns
from pyman.storage import driver as drivers
from pyman.storage import images, layers, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.storage.driver import Driver

    Change = tuple[str, str]  # A, C or D, and the path

# What the runtime makes in every container; Podman leaves the same out, of images too.
_OWN = frozenset(
    "/dev /etc/hostname /etc/hosts /etc/resolv.conf /etc/mtab /proc /run /run/notify /run/.containerenv /run/secrets /run/podman-init /sys".split()
)
_OPAQUE = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
_BENEATH = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_SYMLINKS


class Stack:
    """The layers of a container or image, bottom first; `own`: the topmost is a container's; `files`: its .wh. files are markers."""

    __slots__ = ("files", "own", "paths")

    def __init__(self, paths: list[str], own: bool, files: bool = False) -> None:
        self.paths = paths
        self.own = own
        self.files = files


def find(name: str, kind: str) -> Stack:
    """The layers of what is called so; kind: all, container or image. NoSuchObject."""
    if kind in ("all", "container"):
        try:
            found = containers.lookup(name)
        except NoSuchContainer:
            if kind == "container":
                raise
        else:
            return of_container(found)
    try:
        record = images.load().resolve(name)
    except NoSuchObject as err:
        if kind == "all":
            raise NoSuchObject(f"no container or image {name!r} found", "no such object") from err
        raise
    return Stack([layers.layer_path(diff_id) for diff_id in record["layers"]], False)


def of_container(container: containers.Container) -> Stack:
    """The layers of a container's image, and its own directory."""
    config = container.config
    below = [config["rootfs"]] if config["rootfs"] else [layers.layer_path(diff_id) for diff_id in config["layers"]]
    if config["rootfs"] and not config.get("rootfs_overlay"):
        return Stack(below, True)
    return Stack([*below, os.path.join(container.dir, "upper")], True, container.state.get("driver") == "fuse-overlayfs")


def changes(new: Stack, old: Stack | None) -> list[Change]:
    """What is added (A), changed (C) and deleted (D) in `new` since `old`, or since the layer below its topmost; by path. StorageError."""
    driver = drivers.choose_driver(containers_conf.load())
    found = userns.call_in_userns(lambda: _since_parent(new, driver) if old is None else _between(new, old, driver))
    return [(kind, path) for kind, path in found if path not in _OWN]


def _mounted(paths: list[str], driver: Driver) -> int:
    """The union of layers at a place of its own in this mount namespace; -1 if there is none."""
    paths = [path for path in paths if os.path.isdir(path)]
    if not paths:
        return -1
    # Any directory of the store serves as the place, twice too: the mounts are this process's alone.
    target = os.path.join(paths_of.graphroot(), "tmp")
    os.makedirs(target, 0o700, exist_ok=True)
    overlay.mount_rootfs(driver, paths, os.path.join(target, "none"), "", target, read_only=True)
    return os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _status(root: int, path: str) -> os.stat_result | None:
    """What is at a path below `root`, itself and no link; None if nothing is."""
    if root < 0:
        return None
    try:
        fd = libc.openat2(root, path.lstrip("/"), os.O_PATH | os.O_NOFOLLOW, 0, _BENEATH)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _since_parent(new: Stack, driver: Driver) -> list[Change]:
    """From the markers and files of the topmost layer alone."""
    top = new.paths[-1] if new.paths else ""
    if not os.path.isdir(top) or (new.own and len(new.paths) == 1 and not top.endswith("/upper")):
        return []
    below = _mounted(new.paths[:-1], driver)
    found: list[Change] = []
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    cursor = trees.Cursor(fd)
    os.close(fd)
    try:
        levels = [(_names(cursor.fd), "")]
        while levels:
            names, path = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    cursor.up()
                continue
            name = names.pop()
            here = f"{path}/{name}"
            try:
                info = os.stat(name, dir_fd=cursor.fd, follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    cursor.down(name)
                    levels.append((_names(cursor.fd), here))
            except (FileNotFoundError, NotADirectoryError):
                continue  # a running container has removed it meanwhile
            _note(found, here, info, _status(below, here), new.files)
            if stat.S_ISDIR(info.st_mode) and _is_opaque(cursor.fd):
                found += [("D", f"{here}/{gone}") for gone in _listed(below, here) if _absent(cursor.fd, gone)]
    finally:
        cursor.close()
    return _with_parents(found, "AD")


def _note(found: list[Change], path: str, info: os.stat_result, before: os.stat_result | None, files: bool) -> None:
    if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
        if before is not None:
            found.append(("D", path))
    elif files and path.rpartition("/")[2].startswith(".wh."):
        name = path.rpartition("/")[2][4:]
        if not name.startswith((".wh.", ".opq")):  # as fuse-overlayfs writes them
            found.append(("D", f"{path.rpartition('/')[0]}/{name}"))
    elif before is None:
        found.append(("A", path))
    elif not (stat.S_ISDIR(info.st_mode) and stat.S_ISDIR(before.st_mode) and _same_directory(info, before)):
        found.append(("C", path))


def _same_directory(one: os.stat_result, other: os.stat_result) -> bool:
    """A directory that is there only because something below it has changed."""
    return (one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) == (other.st_mode, other.st_uid, other.st_gid, other.st_mtime_ns)


def _names(fd: int) -> list[str]:
    return sorted(os.listdir(fd), reverse=True)


def _is_opaque(fd: int) -> bool:
    try:
        return any(os.getxattr(fd, name) == b"y" for name in set(os.listxattr(fd)) & set(_OPAQUE))
    except OSError:
        return False


def _listed(root: int, path: str) -> list[str]:
    try:
        fd = libc.openat2(root, path.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY, 0, _BENEATH)
    except OSError:
        return []
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def _absent(fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
        return False
    except OSError:
        return True


def _with_parents(found: list[Change], kinds: str) -> list[Change]:
    """A directory with a change of these kinds anywhere below it has changed too."""
    known = {path for _, path in found}
    extra: list[Change] = []
    for kind, path in found:
        parent = path.rpartition("/")[0] if kind in kinds else ""
        while parent:
            if parent not in known:
                known.add(parent)
                extra.append(("C", parent))
            parent = parent.rpartition("/")[0]
    return sorted(found + extra, key=lambda change: (change[1].split("/"), change[0]))


def _between(new: Stack, old: Stack, driver: Driver) -> list[Change]:
    """Two whole trees, compared entry by entry."""
    first = _mounted(old.paths, driver)
    second = _mounted(new.paths, driver)
    found: list[Change] = []
    pending = [""]
    while pending:
        path = pending.pop()
        before, after = set(_listed(first, path or ".")), set(_listed(second, path or "."))
        for name in sorted(before | after):
            here = f"{path}/{name}"
            one, other = _status(first, here), _status(second, here)
            if other is None:
                found += [("D", here)] if one is not None else []
                continue
            if one is None:
                found.append(("A", here))
            elif _differs(one, other):
                found.append(("C", here))
            if stat.S_ISDIR(other.st_mode):
                pending.append(here)
    return _with_parents(found, "ACD")


def _differs(one: os.stat_result, other: os.stat_result) -> bool:
    if (one.st_mode, one.st_uid, one.st_gid, one.st_rdev) != (other.st_mode, other.st_uid, other.st_gid, other.st_rdev):
        return True
    size = 0 if stat.S_ISDIR(one.st_mode) else 1
    return (one.st_size * size, one.st_mtime_ns // 10**9) != (other.st_size * size, other.st_mtime_ns // 10**9)

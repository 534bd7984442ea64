"""Make one mount of a plan (runtime/plan.py:mount) on a descriptor below the root. Init, inside its new mount namespace."""

from __future__ import annotations

import os
import stat

from pyman.errors import RuntimeFailure
from pyman.linux import fs, libc, trees
from pyman.runtime import plan
from pyman.runtime.mount_options import ATTR, set_attributes
from pyman.runtime.rootfs import keep, proc_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.rootfs import Root

_AT_SYMLINK_NOFOLLOW = 0x100
# What the kernel's file systems say they are, see include/uapi/linux/magic.h.
_MAGIC = {"proc": fs.PROC_SUPER_MAGIC, "sysfs": 0x62656572, "devpts": fs.DEVPTS_SUPER_MAGIC, "mqueue": 0x19800202, "tmpfs": 0x01021994}


def make_all(root: Root, spec: dict[str, Any]) -> None:
    """A spec's mounts, in order. RuntimeFailure names the one that failed."""
    for entry in plan.all_mounts(spec):
        make(root, entry)
    make_readonly(root)


def make_readonly(root: Root) -> None:
    """The mounts that were writable until those inside them had their places. OSError."""
    for fd in root.later_readonly:
        libc.mount_setattr(fd, "", libc.AT_EMPTY_PATH, attr_set=ATTR["ro"][0])
        os.close(fd)
    root.later_readonly.clear()


def open_sources(items: list[dict[str, Any]]) -> None:
    """Before the host's tree is cut off: copies of what these bind mounts show, for what is mounted there later to arrive. OSError.

    They are slaves first, also where a shared mount is asked for: it is shared with who gets it from the container, never with the host.
    """
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_SLAVE)
    for item in items:
        try:
            item["tree"] = _open_source(item)
        except OSError:
            pass  # the mount itself tells, or does without on an old kernel


def make(root: Root, item: dict[str, Any]) -> None:
    """One mount. RuntimeFailure."""
    try:
        if item["how"] == "bind":
            _bind(root, item)
        elif item["how"] == "link":
            _link(root, item["target"].rstrip("/"), item["to"])
        else:
            _new(root, item)
    except OSError as err:
        if "type" not in item:
            raise
        kind = item["type"]
        source = f" from {item['source']}" if kind == "bind" else ""
        why = err.strerror or str(err)
        if err.errno == 40:  # ELOOP: RESOLVE_NO_SYMLINKS
            why = "the image has a symbolic link there"
        elif err.errno == 20:
            why = "the image has something there that is not a directory"
        elif err.errno == 19:
            why = f"this kernel has no file system {kind}"
        elif err.errno == 22 and kind != "bind" and item["options"]:
            why = f"the file system {kind} refuses the options {','.join(item['options'])}: {why}"
        raise RuntimeFailure(f"cannot mount {item['target']}{source}", why, stage="mounts", errno=err.errno or 0) from err


def _link(root: Root, target: str, to: str) -> None:
    """copy-symlink: no mount, but the link itself."""
    directory, _, name = target.rpartition("/")
    parent = root.make_dirs(directory or "/")
    os.symlink(to, name, dir_fd=parent)
    os.close(parent)


def _new(root: Root, item: dict[str, Any]) -> None:
    """A file system that is not there yet."""
    kind, target, strict, data = item["type"], item["target"], item["strict"], item["data"]
    if item["covered_mode"]:
        data = data + _mode_below(root, target)
    fd = root.make_dirs(target, strict)
    copy = os.open(proc_path(fd), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if item["copy_up"] else -1
    if "made" in item:  # by who has the rights, see runtime/joining.py
        libc.move_mount(item["made"], fd)
        os.close(item["made"])
    elif item["how"] == "cgroup":
        _mount_cgroup(root, target, fd, item["flags"], data)
    else:
        _mount_type(kind, item["source"] or kind, fd, item["flags"], data)
    fd = _reopen(root, item, fd)
    if copy >= 0:
        trees.copy_tree(copy, fd)
        os.close(copy)
        if item["late_readonly"]:
            libc.mount_setattr(fd, "", libc.AT_EMPTY_PATH, attr_set=1)
    _set(fd, item["deep"], True)
    if item["propagation"]:
        libc.mount(None, proc_path(fd), None, item["propagation"])
    if item.get("directory"):
        make_directory(fd, item["directory"])
    if item.get("keep"):
        keep(root, target, fd)
    if item.get("readonly_last"):
        root.later_readonly.append(fd)
    else:
        os.close(fd)


def _reopen(root: Root, item: dict[str, Any], below: int) -> int:
    """Descriptor of the file system that was just mounted on what `below` names, which is closed. RuntimeFailure if something else lies at its path.

    Somebody who may write the root could have exchanged directories; what follows must not be done to another one.
    """
    target = item["target"]
    fd = root.open(target, strict=item["strict"])
    expected = _MAGIC.get(item["type"])
    same = os.fstat(fd).st_dev == os.fstat(below).st_dev and _mount_id(fd) == _mount_id(below)
    os.close(below)
    if same or (expected and fs.magic(fd) != expected):
        os.close(fd)
        raise RuntimeFailure(f"cannot mount {target}", f"what lies there is not the {item['type']} just mounted", stage="mounts")
    return fd


def _mount_id(fd: int) -> str:
    """The mount's number, through the host's procfs."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return next((line for line in file if line.startswith("mnt_id")), "")


def _mode_below(root: Root, target: str) -> list[str]:
    """The option that gives a tmpfs the mode of the directory it covers, as runc and crun do; none where there is no directory yet."""
    try:
        fd = root.open(target, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return []
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    os.close(fd)
    return [f"mode={mode:o}"]


def _mount_type(kind: str, source: str, fd: int, flags: int, data: list[str]) -> None:
    target = proc_path(fd)
    try:
        libc.mount(source, target, kind, flags, ",".join(data) or None)
    except OSError as err:
        if kind == "devpts" and err.errno == 22:  # gid 5 is not mapped in single-id mode
            libc.mount(source, target, kind, flags, ",".join(d for d in data if not d.startswith("gid=")))
        elif kind == "sysfs" and err.errno == 1:
            # Only who owns the network namespace may mount sysfs: the host's instead. Read-only as a whole, for the host's
            # cgroups lie in there, and some of them are the caller's.
            tree = libc.open_tree(libc.AT_FDCWD, "/sys", libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE)
            libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH | libc.AT_RECURSIVE, attr_set=ATTR["ro"][0] | 0xE)
            libc.move_mount(tree, fd)
            os.close(tree)
        else:
            raise


def _mount_cgroup(root: Root, target: str, fd: int, flags: int, data: list[str]) -> None:
    """cgroup v2 of the container's cgroup namespace; an empty read-only directory where that cannot be (v1, no such namespace)."""
    empty = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    try:
        libc.mount("cgroup2", proc_path(fd), "cgroup2", flags, ",".join(data) or None)
        return
    except OSError as err:
        if err.errno == 22 and data:
            raise
        busy = err.errno == 16  # another view of the same hierarchy lies there, as part of a bind-mounted /sys
    libc.mount("tmpfs", proc_path(fd), "tmpfs", empty, "size=0,mode=755")
    if not busy:
        return
    above = root.open(target, strict=True)
    try:
        libc.mount("cgroup2", proc_path(above), "cgroup2", flags, ",".join(data) or None)
    except OSError:
        pass  # the empty directory stays
    finally:
        os.close(above)


def _bind(root: Root, item: dict[str, Any]) -> None:
    try:
        _bind_tree(root, item)
    except OSError as err:
        if err.errno != libc.ENOSYS or (item["tree"] >= 0 and not item["tree_optional"]):
            raise
        from pyman.runtime import rootfs_old

        rootfs_old.bind(root, item)


def _bind_tree(root: Root, item: dict[str, Any]) -> None:
    tree = item["tree"]
    if tree < 0:
        tree = _open_source(item)
    try:
        directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        if item.get("directory"):
            make_directory(tree, item["directory"])  # while the copy is writable, and before anybody sees it
        nofollow = os.O_NOFOLLOW if item["target_nofollow"] else 0
        target = _bind_target(root, item["target"], directory, nofollow)
        _set(tree, item["deep"], True)
        _set(tree, item["attributes"], False)
        try:
            libc.move_mount(tree, target)
        except OSError as err:
            if not directory and stat.S_ISDIR(os.fstat(target).st_mode):
                raise OSError(err.errno, "the source is a file, and a directory lies there") from None
            raise
        os.close(target)
        libc.mount(None, proc_path(tree), None, item["propagation"])  # the mount itself, whatever lies at its path by now
        if item.get("keep"):
            keep(root, item["target"], tree)
        if item.get("readonly_last"):
            root.later_readonly.append(os.dup(tree))
    finally:
        os.close(tree)


def make_directory(top: int, path: str) -> None:
    """Make the working directory `path` with what is missing on the way, in the mount that descriptor `top` names, and nowhere else.

    No symbolic link leads out of it. Where it cannot be made nothing is said here: entering it will give the error.
    """
    within = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_MAGICLINKS
    parts = path.split("/")
    above = os.dup(top)
    try:
        for number, name in enumerate(parts, 1):
            so_far = "/".join(parts[:number])
            try:
                step = libc.openat2(top, so_far, os.O_PATH | os.O_DIRECTORY, 0, within)
            except FileNotFoundError:
                os.mkdir(name, 0o755, dir_fd=above)
                step = libc.openat2(top, so_far, os.O_PATH | os.O_DIRECTORY, 0, within)
            os.close(above)
            above = step
    except OSError:
        pass
    finally:
        os.close(above)


def _open_source(item: dict[str, Any]) -> int:
    flags = libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if item["recursive"] else 0)
    flags |= _AT_SYMLINK_NOFOLLOW if item["source_nofollow"] else 0
    return libc.open_tree(libc.AT_FDCWD, item["source"], flags)


def _set(tree: int, bits: tuple[int, int], recursive: bool) -> None:
    set_attributes(tree, bits[0], bits[1], recursive)


def _bind_target(root: Root, path: str, directory: bool, nofollow: int) -> int:
    """O_PATH descriptor of what a bind mount goes to, made if it is missing; with O_NOFOLLOW a symbolic link at its end is the place."""
    if nofollow:
        try:
            fd = root.open(path, os.O_PATH | nofollow)
        except FileNotFoundError:
            fd = -1
        if fd >= 0 and stat.S_ISLNK(os.fstat(fd).st_mode) and fs.magic(fd) == fs.PROC_SUPER_MAGIC:
            raise RuntimeFailure(f"cannot mount on {path}", "it is a link of procfs, which programs rely on", stage="mounts")
        if fd >= 0:
            return fd
    return root.make_dirs(path) if directory else root.make_file(path)

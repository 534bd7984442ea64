"""The container's root: what lies in it by name, devices, masks, pivot. Mounts are made by runtime/mounts.py. Init, inside its new mount namespace.

Every path inside the root is resolved by the kernel (openat2, RESOLVE_IN_ROOT, no magic links) to a descriptor, and the
mount is made on that descriptor; nothing is looked up by name twice.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from pyman.errors import RuntimeFailure
from pyman.linux import fs, libc
from pyman.runtime import plan
from pyman.runtime.mount_options import ATTR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROC_ROOT_INO = 1
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}


class Root:
    """The container's root while it is built: `fd` is its (bind-mounted) top directory."""

    __slots__ = ("fd", "later_readonly", "path", "placed")

    def __init__(self, path: str, propagation: int = libc.MS_PRIVATE, tree: int = -1) -> None:
        """tree: a detached copy of the mount at `path`, where this process may not go there by itself."""
        self.path = path
        self.later_readonly: list[int] = []  # descriptors of mounts, see runtime/mounts.py:make_readonly
        self.placed: dict[str, int] = {}  # descriptors of the mounts that have masked or read-only paths inside, by plan.place(target)
        if tree >= 0:
            libc.mount(None, "/", None, libc.MS_REC | propagation)
            # On top of "/", which every process may reach; names still begin below it, and pivot_root comes to it by descriptor.
            top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            libc.move_mount(tree, top)
            os.close(top)
            self.fd = tree
            return
        # In a nested user namespace inherited mounts are locked, and pivot_root refuses them: a bind mount of the root
        # onto itself is ours. It also is what pivot_root needs: a mount point.
        libc.mount(None, "/", None, libc.MS_REC | propagation)
        libc.mount(path, path, None, libc.MS_BIND | libc.MS_REC)
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int = os.O_PATH, strict: bool = False) -> int:
        """Open `path` inside the root; with `strict` no symlink may be on the way."""
        resolve = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS | (libc.RESOLVE_NO_SYMLINKS if strict else 0)
        return libc.openat2(self.fd, path.lstrip("/") or ".", flags, 0, resolve)

    def make_dirs(self, path: str, strict: bool = False, links: int = 0) -> int:
        """O_PATH descriptor of directory `path`, missing parts created (0755), also where symbolic links lead nowhere yet."""
        try:
            return self.open(path, os.O_PATH | os.O_DIRECTORY, strict)
        except FileNotFoundError:
            parent, _, name = path.rstrip("/").rpartition("/")
            parent_fd = self.make_dirs(parent or "/", strict, links)
            try:
                os.mkdir(name, 0o755, dir_fd=parent_fd)
            except FileExistsError:  # a symbolic link that leads nowhere, or a directory made by somebody else
                target = "" if strict else _link_target(parent_fd, parent, name, links)
                if target:
                    return self.make_dirs(target, strict, links + 1)
            finally:
                os.close(parent_fd)
            return self.open(path, os.O_PATH | os.O_DIRECTORY, strict)

    def make_file(self, path: str, links: int = 0) -> int:
        """O_PATH descriptor of file `path`, created empty (with its directories) if missing; see `make_dirs`."""
        try:
            return self.open(path)
        except FileNotFoundError:
            parent, _, name = path.rpartition("/")
            parent_fd = self.make_dirs(parent or "/")
            try:
                target = _link_target(parent_fd, parent, name, links)
            finally:
                os.close(parent_fd)
            if target:
                return self.make_file(target, links + 1)
            resolve = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
            os.close(libc.openat2(self.fd, path.lstrip("/"), os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY, 0o644, resolve))
            return self.open(path)


def _link_target(parent_fd: int, parent: str, name: str, links: int) -> str:
    """Where the symbolic link `parent`/`name` leads, as a path inside the root; empty if it is none. OSError (ELOOP) after 40 links.

    Only a path to try: the kernel resolves it below the root like any other.
    """
    try:
        target = os.readlink(name, dir_fd=parent_fd)
    except OSError:
        return ""
    if links >= 40:
        raise OSError(40, "Too many levels of symbolic links")
    return target if target.startswith("/") else f"{parent}/{target}"


def proc_path(fd: int) -> str:
    """A path that names what a descriptor does, for calls that take none."""
    return f"/proc/self/fd/{fd}"


def attach(root: Root, source: int, target: int, path: str, recursive: bool = False, attr_set: int = 0) -> None:
    """Mount what descriptor `source` names on `target`, which is at `path` in the root, with attributes. OSError."""
    deep = libc.AT_RECURSIVE if recursive else 0
    try:
        tree = libc.open_tree(source, "", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH | deep)
        try:
            if attr_set:
                libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH | deep, attr_set=attr_set)
            libc.move_mount(tree, target)
        finally:
            os.close(tree)
    except OSError as err:
        if err.errno != libc.ENOSYS:
            raise
        from pyman.runtime import rootfs_old

        os.close(rootfs_old.attach(root, source, target, path, recursive, attr_set))


def make_device(root: Root, device: dict[str, Any]) -> None:
    """A device of the spec: bound from the host (a user namespace may make none), or made where it can be. RuntimeFailure."""
    source = device.get("source") or device["path"]
    if device.get("type") == "p" or not os.path.exists(source):
        from pyman.runtime import rootfs_more  # FIFOs, and nodes that the host does not have

        if rootfs_more.make_node(root, device):
            return
    bind_device(root, source, device["path"])


def link_devices(root: Root) -> None:
    """The links of /dev."""
    dev = root.open("/dev", os.O_PATH | os.O_DIRECTORY, strict=True)
    for name, link in _LINKS.items():
        try:
            os.symlink(link, name, dir_fd=dev)
        except FileExistsError:
            pass
    os.close(dev)


def bind_device(root: Root, source: str, target: str) -> None:
    """Bind one device node of the host. RuntimeFailure if it is missing or no device."""
    try:
        node = os.open(source, os.O_PATH | os.O_CLOEXEC)
        mode = os.fstat(node).st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            raise RuntimeFailure(f"cannot add device {source}", "it is not a device node", stage="devices")
        fd = root.make_file(target)
        attach(root, node, fd, target, attr_set=ATTR["nosuid"][0] | ATTR["noexec"][0])
        os.close(fd)
        os.close(node)
    except OSError as err:
        raise RuntimeFailure(
            f"cannot add device {source} as {target}", err.strerror or str(err), stage="devices", errno=err.errno or 0
        ) from err


def mask(root: Root, masked: list[str], readonly: list[str]) -> None:
    """Hide the masked paths and make the read-only ones read-only; a path that does not exist needs neither."""
    null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    info = os.fstat(null)
    if not stat.S_ISCHR(info.st_mode) or (os.major(info.st_rdev), os.minor(info.st_rdev)) != (1, 3):
        raise RuntimeFailure("cannot mask paths", "/dev/null of the host is not the null device", stage="mask")
    path = ""
    try:
        for path in readonly:
            fd = _existing(root, path)
            if fd >= 0:
                attach(root, fd, fd, path, recursive=True, attr_set=1)
                os.close(fd)
        for path in masked:
            fd = _existing(root, path)
            if fd >= 0:
                _hide(root, path, fd, null)
                os.close(fd)
    except OSError as err:
        err.filename = path  # of the container's, not the descriptor's
        raise
    os.close(null)
    for fd in root.placed.values():
        os.close(fd)
    root.placed.clear()


def _hide(root: Root, path: str, fd: int, null: int) -> None:
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        flags = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
        libc.mount("tmpfs", proc_path(fd), "tmpfs", flags, "size=0,mode=755,nr_inodes=1")
    else:
        attach(root, null, fd, path, attr_set=ATTR["ro"][0] | ATTR["nosuid"][0] | ATTR["noexec"][0])


def _existing(root: Root, path: str) -> int:
    """What lies at `path`, or -1 where there is nothing. OSError.

    A path inside a mount is looked up from that mount's descriptor: somebody who may write the root may have exchanged a
    directory on the way since, and the path would lead to nothing, or to something else, and the mount stay open.
    """
    wanted = plan.place(path)
    above = max((at for at in root.placed if plan.inside(wanted, at)), key=len, default="")
    try:
        if above:
            within = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_MAGICLINKS
            try:
                return libc.openat2(root.placed[above], wanted[len(above) :].lstrip("/") or ".", os.O_PATH, 0, within)
            except OSError as err:
                if err.errno != errno.EXDEV:  # a symbolic link in the mount leads out of it, into the root
                    raise
        return root.open(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return -1


def keep(root: Root, target: str, fd: int) -> None:
    """Remember the mount at `target` for the masks inside it, by a copy of its descriptor; the topmost counts."""
    at = plan.place(target)
    if at in root.placed:
        os.close(root.placed[at])
    root.placed[at] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def write_sysctls(root: Root, sysctls: dict[str, str]) -> None:
    """Namespaced sysctls, through the container's own procfs, verified to be its top, and nothing that was mounted over a part of it."""
    proc = -1
    within = libc.RESOLVE_BENEATH | libc.RESOLVE_NO_XDEV | libc.RESOLVE_NO_SYMLINKS
    for key, value in sysctls.items():
        try:
            if proc < 0:
                proc = root.open("/proc", os.O_PATH | os.O_DIRECTORY, strict=True)
                if fs.magic(proc) != fs.PROC_SUPER_MAGIC or os.fstat(proc).st_ino != _PROC_ROOT_INO:
                    raise RuntimeFailure(f"cannot set sysctl {key}", "the container's /proc is not procfs", stage="sysctl")
            fd = libc.openat2(proc, "sys/" + key.replace(".", "/"), os.O_WRONLY, 0, within)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as err:
            why = "something is mounted over it" if err.errno == errno.EXDEV else err.strerror or str(err)
            raise RuntimeFailure(f"cannot set sysctl {key}={value}", why, stage="sysctl", errno=err.errno or 0) from err
    os.close(proc)


def pivot(root: Root, readonly: bool) -> None:
    """Make the root `/` and forget the host's tree; with `readonly` remount it so."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root.fd)
    # pivot_root(".", "."): old and new root stacked at one place, so no directory for the old one is needed in the image.
    libc.pivot_root(".", ".")
    os.fchdir(old)
    libc.mount(None, ".", None, libc.MS_SLAVE | libc.MS_REC)
    libc.umount2(".", libc.MNT_DETACH)
    os.chdir("/")
    os.close(old)
    os.close(root.fd)
    if readonly:
        libc.mount_setattr(libc.AT_FDCWD, "/", 0, attr_set=1)

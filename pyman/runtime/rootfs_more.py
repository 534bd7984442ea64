"""Rarer ways to build a root: idmapped mounts, copied symbolic links, device nodes made by root, entering without pivot_root."""

from __future__ import annotations

import os
import stat

from pyman.digits import is_whole
from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.runtime import id_maps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.rootfs import Root

_MOUNT_ATTR_IDMAP = 0x100000
_AT_SYMLINK_NOFOLLOW = 0x100


def prepare_mounts(spec: dict[str, Any]) -> list[int]:
    """In the caller, before the clone: mounts that init cannot make itself become descriptors in their entries ("tree_fd").

    Idmapped mounts need rights over the file system, which init's user namespace has not; and the root of a new user
    namespace may not reach what only the caller's user can. RuntimeFailure.
    """
    found = []
    other_user = any(entry["type"] == "user" for entry in spec["linux"]["namespaces"])
    label_mounts(spec)
    for entry in spec["mounts"]:
        options = entry.get("options") or []
        if "copy-symlink" in options and os.path.islink(entry.get("source") or ""):
            entry["link_to"] = os.readlink(entry["source"])
            continue
        idmap = next((option for option in options if option.partition("=")[0] in ("idmap", "ridmap")), "")
        bind = (entry.get("type") or "bind") == "bind" or "bind" in options or "rbind" in options
        if not bind or "tree_fd" in entry or not (idmap or entry.get("uidMappings") or "src-nofollow" in options or other_user):
            continue
        maps = mappings(entry, idmap, spec["linux"]) if idmap or entry.get("uidMappings") else None
        flags = libc.OPEN_TREE_CLONE
        flags |= libc.AT_RECURSIVE if "rbind" in options else 0
        flags |= _AT_SYMLINK_NOFOLLOW if "src-nofollow" in options else 0
        try:
            tree = libc.open_tree(libc.AT_FDCWD, entry["source"], flags)
        except OSError as err:
            if err.errno in (1, libc.ENOSYS) and maps is None:
                continue  # an unprivileged caller: init is root of its own namespace and may; or an old kernel
            if err.errno == 1:
                raise RuntimeFailure(
                    f"cannot map the ids of {entry['source']}",
                    "only root of the host, or of a user namespace of yours, may",
                    stage="mounts",
                ) from None
            raise RuntimeFailure(f"cannot mount {entry['destination']} from {entry['source']}", err.strerror or "", stage="mounts") from err
        entry["tree_fd"] = tree
        found.append(tree)
        if maps is not None:
            _idmap(tree, entry, idmap, maps)
    return found


def label_mounts(spec: dict[str, Any]) -> None:
    """linux.mountLabel becomes an option of the mounts whose files SELinux lets a user namespace label."""
    label = spec["linux"].get("mountLabel")
    for entry in spec["mounts"] if label else []:
        if entry.get("type") in ("tmpfs", "ramfs", "devpts", "overlay"):
            entry["options"] = [*(entry.get("options") or []), f'context="{label}"']


def leaves_out_caller(linux: dict[str, Any]) -> bool:
    """Whether the spec's user namespace (a joined one: if its maps are told) leaves the caller's own id out: its root may not go where he may."""
    if not any(entry["type"] == "user" and (not entry.get("path") or linux.get("uidMappings")) for entry in linux["namespaces"]):
        return False
    own = os.geteuid()
    return not any(entry["hostID"] <= own < entry["hostID"] + entry["size"] for entry in linux.get("uidMappings") or [])


def open_root(path: str) -> int:
    """A detached copy of the mounts at and below `path`; -1 where the caller may make none. RuntimeFailure."""
    try:
        return libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE)
    except OSError as err:
        if err.errno == 1:
            return -1
        raise RuntimeFailure(f"cannot use the root file system {path}", err.strerror or str(err), stage="root") from err


def _idmap(tree: int, entry: dict[str, Any], option: str, maps: tuple[list[dict[str, int]], list[dict[str, int]]]) -> None:
    fd = id_maps.namespace(*maps)
    try:
        recursive = libc.AT_RECURSIVE if option.startswith("ridmap") else 0
        libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH | recursive, attr_set=_MOUNT_ATTR_IDMAP, userns_fd=fd)
    except OSError as err:
        why = err.strerror or str(err)
        if err.errno == 1:
            why = "only who owns its file system may map its ids, and that is not you"
        elif err.errno == 22:
            why = "its file system cannot map ids"
        raise RuntimeFailure(f"cannot map the ids of {entry['source']}", why, stage="mounts", errno=err.errno or 0) from err
    finally:
        os.close(fd)


def mappings(entry: dict[str, Any], option: str, linux: dict[str, Any]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """(uid, gid) mappings of an idmapped mount: in the option ("idmap=uids=0-1000-1#5-6-7;gids=0-1000-1"), of the mount, of the container."""
    text = option.partition("=")[2]
    parsed: dict[str, list[dict[str, int]]] = {"uids": [], "gids": []}
    for part in text.split(";") if text else []:
        name, _, ranges = part.partition("=")
        for item in ranges.split("#"):
            numbers = item.lstrip("@").split("-")
            if name not in parsed or len(numbers) != 3 or not all(is_whole(number) for number in numbers):
                raise RuntimeFailure(
                    f"cannot use the mount option {option}", "it is not like idmap=uids=0-1000-1;gids=0-1000-1", stage="mounts"
                )
            parsed[name].append({"containerID": int(numbers[0]), "hostID": int(numbers[1]), "size": int(numbers[2])})
    uids = parsed["uids"] or entry.get("uidMappings") or linux.get("uidMappings") or []
    gids = parsed["gids"] or entry.get("gidMappings") or linux.get("gidMappings") or []
    if not uids or not gids:
        raise RuntimeFailure(
            f"cannot map the ids of {entry['destination']}", "neither the mount nor the container has id mappings", stage="mounts"
        )
    return uids, gids


def move_root(root: Root, readonly: bool) -> None:
    """Enter the root by moving its mount over "/" and chroot, for a host on a ramdisk, where pivot_root is refused."""
    os.fchdir(root.fd)
    libc.mount(".", "/", None, libc.MS_MOVE)
    os.chroot(".")
    os.chdir("/")
    os.close(root.fd)
    if readonly:
        libc.mount_setattr(libc.AT_FDCWD, "/", 0, attr_set=1)


def make_node(root: Root, device: dict[str, Any]) -> bool:
    """Make a device node or FIFO of the spec by mknod(2); False where the kernel does not allow it (user namespaces)."""
    kind = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}.get(device.get("type") or "c", stat.S_IFCHR)
    directory, _, name = device["path"].rstrip("/").rpartition("/")
    parent = root.make_dirs(directory or "/")
    try:
        number = os.makedev(device.get("major") or 0, device.get("minor") or 0) if kind != stat.S_IFIFO else 0
        if not number and kind != stat.S_IFIFO:
            return False  # the kernel would make it for anybody: 0:0 is overlayfs's mark of what was removed
        os.mknod(name, kind | 0o600, number, dir_fd=parent)
        os.chown(name, device.get("uid") or 0, device.get("gid") or 0, dir_fd=parent, follow_symlinks=False)
        node = libc.openat2(parent, name, os.O_PATH | os.O_NOFOLLOW, 0, libc.RESOLVE_BENEATH)
        mode = device.get("fileMode")
        os.chmod(f"/proc/self/fd/{node}", 0o666 if mode is None else mode)
        os.close(node)
    except FileExistsError:
        _same_node(parent, name, kind, number, device["path"])
    except PermissionError:
        return False
    except OSError as err:
        what = f"cannot make device {device['path']}"
        raise RuntimeFailure(what, err.strerror or str(err), stage="devices", errno=err.errno or 0) from err
    finally:
        os.close(parent)
    return True


def _same_node(parent: int, name: str, kind: int, number: int, path: str) -> None:
    """What lies at a device's place must be that device (config-linux.md "Devices"): an earlier container may have left it. RuntimeFailure."""
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_IFMT(info.st_mode) != kind or (kind != stat.S_IFIFO and info.st_rdev != number):
        raise RuntimeFailure(
            f"cannot make device {path}", "the image has something else there", "give the device another path", stage="devices"
        )

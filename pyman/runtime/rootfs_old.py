"""Mounts for kernels without open_tree, move_mount (Linux 5.2) or mount_setattr (5.12), or behind a filter that hides them. Init, before pivot_root.

mount(2) takes paths: they are those of descriptors below /proc/self/fd, which name one place each, as with the newer calls. What
is missing is that a mount is complete before anybody sees it, and attributes for whole trees.
"""

from __future__ import annotations

import os
import stat

from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.runtime import mounts, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.rootfs import Root


def attach(root: Root, source: int, target: int, path: str, recursive: bool, attr_set: int, attr_clr: int = 0) -> int:
    """Bind what descriptor `source` names on `target`, which is at `path`; returns a descriptor of the mount. RuntimeFailure, OSError."""
    libc.mount(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}", None, libc.MS_BIND | (libc.MS_REC if recursive else 0))
    placed = root.open(path)
    ours, theirs = os.fstat(source), os.fstat(placed)
    if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
        os.close(placed)
        raise RuntimeFailure(f"cannot mount {path}", "what lies there was exchanged meanwhile", stage="mounts")
    if attr_set or attr_clr:
        libc.mount_setattr(placed, "", libc.AT_EMPTY_PATH, attr_set=attr_set, attr_clr=attr_clr)
    return placed


def bind(root: Root, item: dict[str, Any]) -> None:
    """A bind mount of a plan. RuntimeFailure, OSError."""
    path, deep = item["target"], item["deep"]
    if item["target_nofollow"]:
        raise RuntimeFailure(f"cannot mount on {path} itself", "this kernel cannot (Linux 5.2 can)", stage="mounts")
    source = os.open(item["source"], os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if item["source_nofollow"] else 0))
    directory = stat.S_ISDIR(os.fstat(source).st_mode)
    recursive = item["recursive"] and directory
    if any(deep) and recursive:
        raise RuntimeFailure("cannot change the flags of a tree of mounts", "this kernel cannot (Linux 5.12 can)", stage="mounts")
    target = root.make_dirs(path) if directory else root.make_file(path)
    if item.get("directory"):
        mounts.make_directory(source, item["directory"])
    attr_set, attr_clr = item["attributes"]
    placed = attach(root, source, target, path, recursive, (attr_set | deep[0]) & ~attr_clr, attr_clr | deep[1])
    libc.mount(None, f"/proc/self/fd/{placed}", None, item["propagation"])
    if item.get("keep"):
        rootfs.keep(root, path, placed)
    if item.get("readonly_last"):
        root.later_readonly.append(os.dup(placed))
    for fd in (source, target, placed):
        os.close(fd)

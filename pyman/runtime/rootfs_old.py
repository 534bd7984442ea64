"""Mounts for kernels without open_tree, move_mount (Linux 5.2) or mount_setattr (5.12), or behind a filter that hides them. Init, before pivot_root.

mount(2) takes paths: they are those of descriptors below /proc/self/fd, which name one place each, as with the newer calls. What
is missing is that a mount is complete before anybody sees it, and attributes for whole trees.
"""

from __future__ import annotations

import os
import stat

from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.runtime.mount_options import parse_options

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


def bind(root: Root, entry: dict[str, Any], options: list[str]) -> None:
    """A bind mount of the spec. RuntimeFailure, OSError."""
    if "dest-nofollow" in options:
        raise RuntimeFailure(f"cannot mount on {entry['destination']} itself", "this kernel cannot (Linux 5.2 can)", stage="mounts")
    attr_set, attr_clr, propagation, _, deep = parse_options(entry)
    source = os.open(entry["source"], os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if "src-nofollow" in options else 0))
    directory = stat.S_ISDIR(os.fstat(source).st_mode)
    recursive = "rbind" in options and directory
    if any(deep) and recursive:
        raise RuntimeFailure("cannot change the flags of a tree of mounts", "this kernel cannot (Linux 5.12 can)", stage="mounts")
    target = root.make_dirs(entry["destination"]) if directory else root.make_file(entry["destination"])
    placed = attach(root, source, target, entry["destination"], recursive, attr_set | deep[0], attr_clr | deep[1])
    libc.mount(None, f"/proc/self/fd/{placed}", None, propagation or (libc.MS_PRIVATE | libc.MS_REC))
    for fd in (source, target, placed):
        os.close(fd)

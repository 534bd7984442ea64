"""Markers of the two overlay implementations in a container's upper directory, made readable for both. Process C, in U1.

The kernel (userxattr) marks opaque directories by user.overlay.opaque, fuse-overlayfs by an attribute of its own and a
file .wh..wh..opq; a removed file is a character device 0:0 for both, or a file .wh.NAME where fuse-overlayfs could not
make the device.
"""

from __future__ import annotations

import os
import stat

from pyman.linux import trees

OPAQUE = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
_PREFIX, _OPAQUE_FILES = ".wh.", (".wh..wh..opq", ".wh..opq")


def set_opaque(fd: int) -> None:
    """Mark the directory `fd` opaque for both implementations."""
    for name in OPAQUE:
        os.setxattr(fd, name, b"y")


def normalise(upper: str, written_by: str) -> None:
    """Rewrite the markers that driver `written_by` left below `upper`, before another driver mounts it."""
    fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    cursor = trees.Cursor(fd)
    os.close(fd)
    files = written_by == "fuse-overlayfs"
    try:
        levels = [_directory(cursor.fd, files)]
        while levels:
            if levels[-1]:
                cursor.down(levels[-1].pop())
                levels.append(_directory(cursor.fd, files))
            else:
                levels.pop()
                if levels:
                    cursor.up()
    finally:
        cursor.close()


def _directory(fd: int, files: bool) -> list[str]:
    """Rewrite the markers in one directory; the names of the directories in it."""
    names = os.listdir(fd)
    marked = set(os.listxattr(fd)) & set(OPAQUE)
    if (files and any(name in names for name in _OPAQUE_FILES)) or any(os.getxattr(fd, name) == b"y" for name in marked):
        set_opaque(fd)
    inner = []
    for name in names:
        if files and name in _OPAQUE_FILES:
            os.unlink(name, dir_fd=fd)
        elif files and name.startswith(_PREFIX):
            os.unlink(name, dir_fd=fd)
            try:
                os.mknod(name[len(_PREFIX) :], stat.S_IFCHR, 0, dir_fd=fd)
            except FileExistsError:
                pass  # it was made again after its removal
        elif stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            inner.append(name)
    return inner

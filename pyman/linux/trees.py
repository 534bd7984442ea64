"""Copy and chown trees by descriptors: no link is followed, nothing is overwritten. Init, C.

The trees are hostile: a nesting deeper than DEPTH is refused, as descriptors and stack are not without end.
"""

from __future__ import annotations

import errno
import os
import stat

DEPTH = 250  # two descriptors a level; the usual limit is 1024


def _open_dir(name: str, parent: int) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _too_deep(name: str) -> OSError:
    return OSError(errno.ENAMETOOLONG, f"directories are nested deeper than {DEPTH}", name)


def copy_tree(source: int, target: int, depth: int = 0) -> None:
    """Copy the content of directory `source` into directory `target`: files, directories and symlinks with owner, mode, times.

    Devices, sockets and FIFOs are left out. OSError; FileExistsError rather than overwriting.
    """
    for name in os.listdir(source):
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISDIR(info.st_mode):
            if depth >= DEPTH:
                raise _too_deep(name)
            os.mkdir(name, 0o700, dir_fd=target)
            inner, outer = _open_dir(name, source), _open_dir(name, target)
            try:
                copy_tree(inner, outer, depth + 1)
                os.fchown(outer, info.st_uid, info.st_gid)
                os.fchmod(outer, mode)
            finally:
                os.close(inner)
                os.close(outer)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISREG(info.st_mode):
            _copy_file(source, target, name, info)
        else:
            continue
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: str, info: os.stat_result) -> None:
    inner = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    outer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        while os.sendfile(outer, inner, None, 1 << 20):
            pass
        os.fchown(outer, info.st_uid, info.st_gid)  # before the mode: a change of owner clears set-user-ID
        os.fchmod(outer, stat.S_IMODE(info.st_mode))
    finally:
        os.close(inner)
        os.close(outer)


def chown_tree(fd: int, uid: int, gid: int, depth: int = 0) -> None:
    """Give the directory `fd` and everything below it to uid:gid; what has that owner already is left alone. OSError."""
    info = os.fstat(fd)
    if (info.st_uid, info.st_gid) != (uid, gid):
        os.fchown(fd, uid, gid)
    for name in os.listdir(fd):
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            if depth >= DEPTH:
                raise _too_deep(name)
            inner = _open_dir(name, fd)
            try:
                chown_tree(inner, uid, gid, depth + 1)
            finally:
                os.close(inner)
        elif (info.st_uid, info.st_gid) != (uid, gid):
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)

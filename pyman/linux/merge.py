"""Move one tree into another, entry by entry, over what is there. Helper processes in U1.

The target may be a container's at the same time: everything is done by names in open directories, no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat

from pyman.linux import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def move_into(source: int, target: int, moved: Callable[[], None]) -> None:
    """Move the content of directory `source` into directory `target`; directories are merged, everything else is replaced.

    A merged directory gets owner, mode and times of the source's. moved: called after each entry. OSError.
    """
    inner, outer = trees.Cursor(source), trees.Cursor(target)
    try:
        levels: list[tuple[list[str], str, os.stat_result]] = [(sorted(os.listdir(inner.fd), reverse=True), "", os.fstat(inner.fd))]
        while levels:
            names, own_name, own = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    _as_source(outer.fd, own)
                    inner.up()
                    outer.up()
                    os.utime(own_name, ns=(own.st_atime_ns, own.st_mtime_ns), dir_fd=outer.fd, follow_symlinks=False)
                continue
            name = names.pop()
            info = os.stat(name, dir_fd=inner.fd, follow_symlinks=False)
            if _place(inner.fd, outer.fd, name, info):
                moved()
                continue
            inner.down(name)
            outer.down(name)
            levels.append((sorted(os.listdir(inner.fd), reverse=True), name, info))
    finally:
        inner.close()
        outer.close()


def _as_source(fd: int, info: os.stat_result) -> None:
    os.fchown(fd, info.st_uid, info.st_gid)
    os.fchmod(fd, stat.S_IMODE(info.st_mode))


def _place(source: int, target: int, name: str, info: os.stat_result) -> bool:
    """Move one entry; false for a directory that the target has too (made if need be), whose content is to be moved."""
    directory = stat.S_ISDIR(info.st_mode)
    for _ in range(100):
        try:
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
        except FileNotFoundError:
            there = None
        try:
            if there is not None and stat.S_ISDIR(there.st_mode):
                if directory:
                    return False
                trees.remove_tree(target, name)
            elif there is not None and directory:
                os.unlink(name, dir_fd=target)
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            return True
        except OSError as err:
            if err.errno == errno.EXDEV:
                return _copy(source, target, name, info)
            if err.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR):
                raise
            # Somebody has changed the entry meanwhile: look again.
    raise OSError(errno.EBUSY, "it is changed all the time", name)


def _copy(source: int, target: int, name: str, info: os.stat_result) -> bool:
    """The same across file systems."""
    if stat.S_ISDIR(info.st_mode):
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            pass  # the caller enters it, unless it is none
        return False
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        pass
    if stat.S_ISREG(info.st_mode):
        trees.copy_file(source, target, name, info)
    elif stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISFIFO(info.st_mode):
        os.mkfifo(name, stat.S_IMODE(info.st_mode), dir_fd=target)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISFIFO(info.st_mode):
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    return True

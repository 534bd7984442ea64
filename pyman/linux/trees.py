"""Copy, chown and remove trees by descriptors: no link is followed, nothing is overwritten. Init, C, unpack workers.

The trees are hostile: they may be thousands of levels deep, so the walk is a loop that holds one descriptor whatever the
depth, and goes up by `..` only to the directory it came from.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Cursor:
    """A directory in a tree: `fd` is open there; `down` and `up` move it."""

    __slots__ = ("_above", "_top", "fd")

    def __init__(self, top: int) -> None:
        self.fd = os.open(".", _OPEN, dir_fd=top)
        self._top = os.open(".", _OPEN, dir_fd=top)
        self._above: list[tuple[int, int]] = []

    def down(self, name: str) -> None:
        """Enter the directory `name`. OSError; a symlink is none."""
        inner = os.open(name, _OPEN, dir_fd=self.fd)
        info = os.fstat(self.fd)
        self._above.append((info.st_dev, info.st_ino))
        os.close(self.fd)
        self.fd = inner

    def up(self) -> None:
        """Back to the directory this one was entered from. OSError (EXDEV) if somebody has moved it elsewhere."""
        # The top may be covered by a mount (a tmpfs that gets its content): ".." would lead there.
        outer = os.open("..", _OPEN, dir_fd=self.fd) if len(self._above) > 1 else os.open(".", _OPEN, dir_fd=self._top)
        info = os.fstat(outer)
        os.close(self.fd)
        self.fd = outer
        if (info.st_dev, info.st_ino) != self._above.pop():
            raise OSError(errno.EXDEV, "the directory was moved while its tree was being worked on")

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.fd)
        os.close(self._top)


def copy_tree(source: int, target: int, tick: Callable[[], None] | None = None) -> None:
    """Copy the content of directory `source` into directory `target`: files, directories and symlinks with owner, mode, times.

    Devices, sockets and FIFOs are left out. `tick` is called for each file. OSError; FileExistsError rather than overwriting.
    """
    inner, outer = Cursor(source), Cursor(target)
    try:
        # Per level: the names left to do, and the directory itself as it was, for the way back.
        levels: list[tuple[list[str], str, os.stat_result]] = [(os.listdir(inner.fd), "", os.fstat(inner.fd))]
        while levels:
            names, own_name, own = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    os.fchown(outer.fd, own.st_uid, own.st_gid)
                    os.fchmod(outer.fd, stat.S_IMODE(own.st_mode))
                    inner.up()
                    outer.up()
                    _times(outer.fd, own_name, own)
                continue
            name = names.pop()
            if tick:
                tick()
            info = os.stat(name, dir_fd=inner.fd, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                os.mkdir(name, 0o700, dir_fd=outer.fd)
                inner.down(name)
                outer.down(name)
                levels.append((os.listdir(inner.fd), name, info))
            elif stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(name, dir_fd=inner.fd), name, dir_fd=outer.fd)
                os.chown(name, info.st_uid, info.st_gid, dir_fd=outer.fd, follow_symlinks=False)
                _times(outer.fd, name, info)
            elif stat.S_ISREG(info.st_mode):
                copy_file(inner.fd, outer.fd, name, info)
                _times(outer.fd, name, info)
    finally:
        inner.close()
        outer.close()


def _times(fd: int, name: str, info: os.stat_result) -> None:
    os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=fd, follow_symlinks=False)


def copy_file(source: int, target: int, name: str, info: os.stat_result) -> None:
    """Copy the file `name` of directory `source`, whose stat is `info`, with owner and mode. OSError; nothing is overwritten."""
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


def chown_tree(fd: int, uid: int, gid: int, tick: Callable[[], None] | None = None) -> None:
    """Give the directory `fd` and everything below it to uid:gid; what has that owner already is left alone. OSError."""

    def own(parent: int, name: str, info: os.stat_result) -> None:
        if (info.st_uid, info.st_gid) != (uid, gid):
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)

    _own_directory(fd, uid, gid)
    _walk(fd, own, lambda inner: _own_directory(inner, uid, gid), tick)


def survey(fd: int, wanted: Callable[[os.stat_result], bool] | None = None) -> Iterator[os.stat_result]:
    """The stat of everything below the directory `fd` that is `wanted`; nothing is looked for below a directory that is not.

    Where a directory is moved away under our feet the survey ends. OSError.
    """
    try:
        for _, _, info in _visit(fd, wanted):
            yield info
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise


def _walk(
    fd: int, file: Callable[[int, str, os.stat_result], None], directory: Callable[[int], None], tick: Callable[[], None] | None
) -> None:
    """Call `directory` with a descriptor of each directory below `fd`, `file` with parent, name and stat of everything else."""
    for place, name, info in _visit(fd):
        if tick:
            tick()
        if stat.S_ISDIR(info.st_mode):
            directory(place)
            continue
        try:
            file(place, name, info)
        except OSError as err:
            if err.errno not in _CHANGED:
                raise


_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # removed, or exchanged for something else


def _visit(fd: int, wanted: Callable[[os.stat_result], bool] | None = None) -> Iterator[tuple[int, str, os.stat_result]]:
    """Everything below the directory `fd`: (descriptor, name, stat), where a directory's descriptor is its own, another's its parent's.

    What vanishes meanwhile, or is exchanged for something else, is passed over: a container may be at work in the tree. A
    directory is read after the caller has had it, who may change its owner. OSError.
    """
    cursor = Cursor(fd)
    try:
        levels = [os.listdir(cursor.fd)]
        while levels:
            if not levels[-1]:
                levels.pop()
                if levels:
                    cursor.up()
                continue
            name = levels[-1].pop()
            try:
                info = os.stat(name, dir_fd=cursor.fd, follow_symlinks=False)
                if wanted and not wanted(info):
                    continue
                if stat.S_ISDIR(info.st_mode):
                    cursor.down(name)
            except OSError as err:
                if err.errno not in _CHANGED:
                    raise
                continue
            yield cursor.fd, name, info
            if stat.S_ISDIR(info.st_mode):
                try:
                    levels.append(os.listdir(cursor.fd))
                except FileNotFoundError:  # removed since it was entered
                    levels.append([])
    finally:
        cursor.close()


SELINUX = "security.selinux"


def set_label(path: str, label: bytes, follow: bool = False, attribute: str = SELINUX) -> None:
    """Set an extended attribute, unless it has that value. OSError."""
    try:
        if os.getxattr(path, attribute, follow_symlinks=follow).rstrip(b"\0") == label.rstrip(b"\0"):
            return
    except OSError as err:
        if err.errno != errno.ENODATA:
            raise
    os.setxattr(path, attribute, label, follow_symlinks=follow)


def label_tree(fd: int, label: bytes, attribute: str = SELINUX, tick: Callable[[], None] | None = None) -> None:
    """Set the label of directory `fd` and everything below it; what has it already is left alone. OSError."""

    def one(parent: int, name: str, info: os.stat_result) -> None:
        if attribute.startswith("user.") and not stat.S_ISREG(info.st_mode):
            return  # attributes of that kind exist for files and directories only
        set_label(f"/proc/self/fd/{parent}/{name}", label, False, attribute)

    set_label(f"/proc/self/fd/{fd}", label, True, attribute)
    _walk(fd, one, lambda inner: set_label(f"/proc/self/fd/{inner}", label, True, attribute), tick)


def _own_directory(fd: int, uid: int, gid: int) -> None:
    info = os.fstat(fd)
    if (info.st_uid, info.st_gid) != (uid, gid):
        os.fchown(fd, uid, gid)


def remove_tree(parent: int, name: str) -> None:
    """Delete the directory `name` of directory `parent` with all it holds. OSError; for trees nobody else works on."""
    cursor = Cursor(parent)
    try:
        cursor.down(name)
        levels = [(name, _unlink_files(cursor.fd))]
        while levels:
            own_name, names = levels[-1]
            if names:
                cursor.down(names[-1])
                levels.append((names[-1], _unlink_files(cursor.fd)))
                names.pop()
            else:
                levels.pop()
                cursor.up()
                os.rmdir(own_name, dir_fd=cursor.fd)
    finally:
        cursor.close()


def _unlink_files(fd: int) -> list[str]:
    """Delete what is no directory in `fd`; the names of the directories."""
    found = []
    for name in os.listdir(fd):
        try:
            os.unlink(name, dir_fd=fd)
        except IsADirectoryError:
            found.append(name)
    return found

"""Removal is rename first, delete after: what is in the trash no longer counts, whatever happens to the command. CLI process.

Files with other owners (subordinate ids) are deleted inside the user namespace.
"""

from __future__ import annotations

import os
import stat

from pyman import paths, stages
from pyman.linux import libc
from pyman.rootless import userns
from pyman.state.lock import Lock

_DEPTH = 100  # levels walked at a time: each holds a descriptor and a stack frame


def discard(path: str) -> None:
    """Make `path` (a file or tree of the store) disappear at once, then free its space. Missing is fine."""
    try:
        target = put(path)
    except OSError:  # a disk without room for another directory entry
        _delete(path)
        return
    if target:
        stages.reach("remove:renamed")
        _delete(target)


def put(path: str) -> str:
    """Make `path` disappear at once, and return where it waits for the next sweep; empty if it was missing."""
    trash = os.path.join(paths.graphroot(), "trash")
    target = os.path.join(trash, f"{os.path.basename(path)[:80]}.{os.urandom(8).hex()}")
    try:
        os.rename(path, target)
    except FileNotFoundError:
        if os.path.lexists(path):
            os.makedirs(trash, 0o700, exist_ok=True)
            return put(path)
        return ""
    return target


def _delete(path: str) -> None:
    if not remove_tree(path) and not userns.in_userns():
        userns.call_in_userns(lambda: remove_tree(path))


def _delete_unlocked(path: str) -> None:
    """Delete an entry nobody holds: a container's directory keeps its remover's lock until it is gone."""
    lock = Lock(path)
    try:
        if not lock.try_acquire():
            return
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        pass  # it belongs to a subordinate id and is closed: only U1 may open it
    try:
        _delete(path)
    finally:
        lock.release()


def sweep_trash() -> None:
    """Delete what killed commands left in the trash; cheap when there is nothing."""
    trash = os.path.join(paths.graphroot(), "trash")
    try:
        entries = os.listdir(trash)
    except FileNotFoundError:
        return
    for entry in entries:
        _delete_unlocked(os.path.join(trash, entry))


def remove_tree(path: str) -> bool:
    """Delete a tree of any depth without following symlinks, by descriptors; false if something could not be deleted."""
    parent, name = os.path.split(path)
    try:
        parent_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        spilled: list[str] = []
        good = _remove_entry(parent_fd, name, 0, parent_fd, spilled)
        while spilled:
            good = _remove_entry(parent_fd, spilled.pop(), 0, parent_fd, spilled) and good
        return good
    finally:
        os.close(parent_fd)


def _remove_entry(parent_fd: int, name: str, depth: int, top_fd: int, spilled: list[str]) -> bool:
    """Delete one entry; directories below _DEPTH are moved up to `top_fd` and noted in `spilled`, so that no tree is too deep."""
    try:
        os.unlink(name, dir_fd=parent_fd)
        return True
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        pass
    except PermissionError:
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                return False
        except OSError:
            return False
    if depth >= _DEPTH:
        spill = f"deep.{os.urandom(8).hex()}"
        try:
            os.rename(name, spill, src_dir_fd=parent_fd, dst_dir_fd=top_fd)
        except OSError:
            return False
        spilled.append(spill)
        return True
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    except PermissionError:
        fd = _force_open(parent_fd, name)
        if fd < 0:
            return False
    except OSError:
        return False
    good = True
    try:
        if os.fstat(fd).st_mode & 0o300 != 0o300:
            try:
                os.fchmod(fd, 0o700)
            except PermissionError:
                good = False
        for entry in os.listdir(fd):
            good = _remove_entry(fd, entry, depth + 1, top_fd, spilled) and good
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except OSError:
        return False
    return good


def _force_open(parent_fd: int, name: str) -> int:
    """A directory without read permission (overlay's work/work has mode 0): give it to the owner first."""
    try:
        path_fd = libc.openat2(parent_fd, name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, 0, libc.RESOLVE_NO_SYMLINKS)
        try:
            os.chmod(f"/proc/self/fd/{path_fd}", 0o700)
        finally:
            os.close(path_fd)
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    except OSError:
        return -1


def unlocked() -> list[str]:
    """The names in tmp/ of what killed commands have left there, and the next sweep deletes."""
    tmp = os.path.join(paths.graphroot(), "tmp")
    found = []
    try:
        for name in os.listdir(tmp):
            lock = Lock(os.path.join(tmp, name), shared=True)
            if lock.try_acquire():
                found.append(name)
            lock.release()
    except OSError:
        pass  # gone meanwhile, or there is no such directory yet
    return found


def sweep() -> None:
    """Delete what killed commands left: everything in the trash, and entries of tmp/ that nobody holds locked."""
    sweep_trash()
    tmp = os.path.join(paths.graphroot(), "tmp")
    guard = Lock(tmp)
    try:
        if not guard.try_acquire():
            return  # somebody is making an entry just now: the next sweep will do
        for entry in os.listdir(tmp):
            lock = Lock(os.path.join(tmp, entry))
            if lock.try_acquire():
                discard(lock.path)
            lock.release()
    except FileNotFoundError:
        pass
    finally:
        guard.release()

"""Entries that are being made or taken apart: beside the containers', under names that no container has. The runtime program.

Whoever is killed meanwhile leaves no id taken; what is left is removed by the next create, delete or list.
"""

from __future__ import annotations

import os
import time

_ASIDE = ".aside-"  # no id begins with a dot
_OLD = 60  # seconds after which nobody works there any more, whose number means nothing here


def path(directory: str) -> str:
    """A path that no container has: entries are complete before they get their names, and lose them before they are taken apart."""
    return os.path.join(directory, f"{_ASIDE}{_place()}-{os.getpid()}-{time.time_ns()}")


def _place() -> int:
    """The pid namespace, in which a process's number means something."""
    return os.stat("/proc/self/ns/pid").st_ino


def forget(entry: str) -> bool:
    """Remove an entry; the id is free at once. False if it was gone already."""
    aside = path(os.path.dirname(entry))
    try:
        os.rename(entry, aside)
    except FileNotFoundError:
        return False
    remove(aside)
    return True


def remove(entry: str) -> None:
    """Remove a directory with what is in it; a link or file of that name alone. OSError."""
    try:
        fd = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        os.unlink(entry)
        return
    try:
        _empty(fd)
    finally:
        os.close(fd)
    os.rmdir(entry)


def _empty(directory: int) -> None:
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                _empty(inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=directory)


def sweep(directory: str) -> None:
    """Remove what killed commands have left; nothing in a directory that others own or may write."""
    try:
        info, names = os.stat(directory), os.listdir(directory)
    except FileNotFoundError:
        return
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        return
    for name in names:
        if name.startswith(_ASIDE):
            old = os.path.join(directory, name)
            try:
                if _is_left(name) or time.time() - os.lstat(old).st_mtime > _OLD:
                    remove(old)
            except OSError:
                pass  # somebody else does it


def _is_left(name: str) -> bool:
    """Whether who made it has ended, as far as that can be seen from here."""
    place, _, rest = name.removeprefix(_ASIDE).partition("-")
    pid = rest.partition("-")[0]
    return place == str(_place()) and pid.isdigit() and not os.path.exists(f"/proc/{pid}")

"""Which shells of `pyman unshare` have a volume mounted that is a file system of its own: containers share it with them.

`volume mount` leaves the number of its mount namespace beside the volume's record before it mounts, under the record's lock, with the process
that the shell is. It tells where to look only: what counts is that a process lives there and has the volume in its list of mounts, so
that a number that was used again, or left behind, does no harm. CLI process, also below `unshare`; process C, in U1.
"""

from __future__ import annotations

import os

from pyman.engine import volumes
from pyman.linux import process
from pyman.state import store


def _path(name: str) -> str:
    return os.path.join(volumes.directory(name), "visits")


def _namespace(pid: int | str) -> int:
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino


def note(name: str) -> None:
    """The volume is about to be mounted in the mount namespace of this process. OSError, StorageError."""
    here, top, parent = _namespace("self"), os.getpid(), os.getppid()
    try:
        while _namespace(parent) == here:  # the first process of the shell stays longest
            top = parent
            with open(f"/proc/{top}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        pass  # what is outside of the user namespace is not to be looked at
    store.write_json(_path(name), {**_noted(name), str(here): [top, process.start_time(top)]})


def leave(name: str) -> None:
    """It is not mounted any more in the mount namespace of this process. The caller holds the lock of the record."""
    left = {number: who for number, who in _noted(name).items() if number != str(_namespace("self"))}
    if left:
        store.write_json(_path(name), left)
    else:
        forget(name)


def mounted_here(name: str) -> bool:
    """Whether the mount namespace of this process has it mounted. (A bind on one file system looks like no mount to os.path.ismount.)"""
    return _listed("self", _place(name))


def _place(name: str) -> bytes:
    place = os.path.realpath(volumes.data_path(name)).encode("utf-8", "surrogateescape")
    for char in b"\\ \t\n":  # as the kernel writes them
        place = place.replace(bytes([char]), b"\\%03o" % char)
    return place


def _listed(pid: str, place: bytes) -> bool:
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        return b" " + place + b" " in file.read()


def _noted(name: str) -> dict[str, list[int]]:
    return store.read_json(_path(name)) or {}


def forget(name: str) -> None:
    """Nobody has it mounted any more. The caller holds the lock of the record."""
    try:
        os.unlink(_path(name))
    except FileNotFoundError:
        pass


def find(name: str) -> list[tuple[int, int]]:
    """(pid, start time) of a process of each such mount namespace; reads /proc only where `volume mount` was once used."""
    if not os.path.exists(_path(name)):
        return []
    noted = _noted(name)
    found = []
    for pid, started in noted.values():
        try:
            if process.alive(pid, started):
                _namespace(pid)
        except PermissionError:
            found.append((pid, started))  # in another user namespace: nothing is to be known of it but that it lives
        except OSError:
            pass
    wanted = {int(number) for number in noted}
    place = _place(name)
    for entry in os.listdir("/proc"):
        try:
            if not entry.isdigit() or _namespace(entry) not in wanted:
                continue
            if not _listed(entry, place):
                continue
            wanted.discard(_namespace(entry))
        except OSError:
            continue  # another user's, or it has ended
        found.append((int(entry), process.start_time(int(entry))))
    return found

"""File system calls beyond os: statfs magic numbers, syncfs, sizes of pipes. Any process."""

from __future__ import annotations

import os

from pyman.errors import StorageError
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
else:
    from pyman.linux import cabi as ctypes

PROC_SUPER_MAGIC = 0x9FA0
OVERLAYFS_SUPER_MAGIC = 0x794C7630
DEVPTS_SUPER_MAGIC = 0x1CD1
NFS_SUPER_MAGIC = 0x6969
FUSE_SUPER_MAGIC = 0x65735546

libc.libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.libc.syncfs.argtypes = (ctypes.c_int,)


def magic(fd: int) -> int:
    """f_type of the file system that `fd` (O_PATH allowed) lies on."""
    buffer = (ctypes.c_long * 32)()
    if libc.libc.fstatfs(fd, ctypes.byref(buffer)) < 0:
        libc.raise_errno("fstatfs")
    return int(buffer[0]) & 0xFFFFFFFF


ENOSPC, EDQUOT, EFBIG = 28, 122, 27
SHORT = 64 << 20  # bytes: with more left a disk is hardly the one that is full


def free(place: int | str) -> int:
    """Bytes that are free for us where `place`, a path or a descriptor, lies; 0 where no file can be made any more. OSError."""
    info = os.statvfs(place)
    return 0 if info.f_files and not info.f_favail else info.f_bavail * info.f_frsize


def room(place: int | str, shown: str = "") -> str:
    """What is to be said of a disk that is full; shown: how its place is called, if not by the path."""
    try:
        info = os.statvfs(place)
        shown = shown or (place if isinstance(place, str) else os.readlink(f"/proc/self/fd/{place}").removesuffix(" (deleted)"))
    except OSError:
        return ""
    size, left = info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize
    if info.f_files and not info.f_favail:
        return f"{shown}: it can hold no more files, for all of its {info.f_files} inodes are taken"
    return f"{shown}: {_size(left)} of {_size(size)} are free"


def failure(what: str, err: OSError | StorageError, place: int | str, shown: str = "") -> StorageError:
    """The error of writing what lies at `place`; of a full disk it says which one, as `room` does."""
    why = err.why if isinstance(err, StorageError) else err.strerror or str(err)
    failed = StorageError(what, why, errno=err.errno or 0)
    failed.room = room(place, shown) if err.errno in (ENOSPC, EDQUOT) else ""
    return failed


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 10 << 20 else f"{count >> 10} KiB"


def syncfs(path: str) -> None:
    """Write everything of the file system below `path` to disk, in one call instead of one per file."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.libc.syncfs(fd) < 0:
            libc.raise_errno("syncfs", path)
    finally:
        os.close(fd)


_NR_FSOPEN, _NR_FSCONFIG, _NR_FSMOUNT = 430, 431, 432


def detached(kind: str, settings: list[tuple[str, str | None]], attributes: int = 0) -> int:
    """A descriptor of a new file system that is mounted nowhere yet (fsopen(2), Linux 5.2); attributes: MOUNT_ATTR_*. OSError."""
    fs_fd = libc.libc.syscall(ctypes.c_long(_NR_FSOPEN), ctypes.c_char_p(kind.encode()), ctypes.c_uint(1))
    if fs_fd < 0:
        libc.raise_errno("fsopen", kind)
    try:
        for key, value in settings:
            _fsconfig(fs_fd, 0 if value is None else 1, key, value)
        _fsconfig(fs_fd, 6, None, None)
        mount_fd = libc.libc.syscall(ctypes.c_long(_NR_FSMOUNT), ctypes.c_int(fs_fd), ctypes.c_uint(1), ctypes.c_uint(attributes))
        if mount_fd < 0:
            libc.raise_errno("fsmount", kind)
        return int(mount_fd)
    finally:
        os.close(fs_fd)


def mount_overlay(target: str, lowers: list[str], writable: list[tuple[str, str]], volatile: bool) -> None:
    """An overlay of any number of layers (top first) by fsopen(2): `lowerdir+` (Linux 6.5) has no page limit."""
    settings: list[tuple[str, str | None]] = [("userxattr", None), *(("lowerdir+", lower) for lower in lowers), *writable]
    if volatile and writable:
        settings.append(("volatile", None))
    fd = detached("overlay", settings)
    libc.move_mount(fd, libc.AT_FDCWD, "", target, libc.MOVE_MOUNT_F_EMPTY_PATH)
    os.close(fd)


def _fsconfig(fs_fd: int, command: int, key: str | None, value: str | None) -> None:
    result = libc.libc.syscall(
        ctypes.c_long(_NR_FSCONFIG),
        ctypes.c_int(fs_fd),
        ctypes.c_uint(command),
        ctypes.c_char_p(key.encode() if key else None),
        ctypes.c_char_p(os.fsencode(value) if value is not None else None),
        ctypes.c_int(0),
    )
    if result < 0:
        libc.raise_errno("fsconfig", key or "")


def widen_pipe(pipe: int, size: int = 1 << 20) -> None:
    """A pipe of `size` bytes, where the user's pipes may hold so much together: fewer turns between reader and writer."""
    import fcntl

    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        pass  # pipe-user-pages-soft: the usual size will do


def mounts(pid: int | str = "self") -> list[tuple[str, str, str, str, str]]:
    """(device, root in its file system, mount point, type, its options as the kernel writes them) of each mount that a process sees, the oldest first. OSError."""
    found = []
    with open(f"/proc/{pid}/mountinfo", encoding="ascii", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.rstrip("\n").partition(" - ")
            fields, of_kind = before.split(" "), after.split(" ")
            found.append((fields[2], _plain(fields[3]), _plain(fields[4]), of_kind[0], of_kind[-1]))
    return found


def mounted_places(kind: str = "") -> list[str]:
    """The mount points of this mount namespace, the oldest first; kind: those of that file system type only. OSError."""
    return [place for _, _, place, type_, _ in mounts() if not kind or type_ == kind]


def _plain(field: str) -> str:
    """A field as it was before the kernel escaped it."""
    return field.encode("ascii", "surrogateescape").decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")

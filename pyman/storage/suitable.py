"""Whether a file system can hold the store: found out by its kind and by trying, when the store is first made, and by doctor. CLI process."""

from __future__ import annotations

import os
import stat

from pyman.errors import StorageError
from pyman.linux import fs
from pyman.rootless import idmap, userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Kinds that fail in ways that trying does not show: other machines change them, owners are translated, locks are advisory or local.
_KINDS = {
    fs.NFS_SUPER_MAGIC: "NFS, which keeps no subordinate owners",
    0xFF534D42: "CIFS, which keeps no owners",
    0xFE534D42: "SMB, which keeps no owners",
    0x01021997: "9p, which keeps no owners of this machine",
    0x0000517B: "SMB, which keeps no owners",
    0x00C36400: "Ceph, which keeps no subordinate owners",
    0x5346414F: "AFS, which keeps no owners",
    0x4D44: "FAT, which keeps no owners, modes or links",
    0x2011BAB0: "exFAT, which keeps no owners, modes or links",
}
HINT = "choose a directory on a local disk: export XDG_DATA_HOME=DIRECTORY, or pyman --root DIRECTORY"


def require(root: str) -> None:
    """StorageError if the directory `root` lies where layers and containers cannot be kept."""
    text = problem(root)
    if text:
        raise StorageError(f"cannot keep images and containers in {root}", text, HINT)


def problem(root: str) -> str:
    """Why the store cannot lie in `root`; empty if it can. RootlessError, StorageError."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kind = fs.magic(fd)
    finally:
        os.close(fd)
    if kind in _KINDS:
        return f"it lies on {_KINDS[kind]}"
    flags = os.statvfs(root).f_flag
    if flags & os.ST_RDONLY:
        return "its file system is mounted read-only"
    if flags & os.ST_NOEXEC:
        return "its file system is mounted noexec: no program of an image could start"
    single = idmap.load_idmap().single
    return str(userns.call_in_userns(lambda: _try(root, single)))


def _try(root: str, single: bool) -> str:
    """In U1: make what layers are made of. The trial lies in tmp/, where a killed one is swept."""
    from pyman.storage import trash
    from pyman.storage.layers import Staging

    with Staging() as staging:
        try:
            return _make(staging.diff, single)
        finally:
            staging.abandon()
            trash.sweep_trash()


def _make(place: str, single: bool) -> str:
    path = os.path.join(place, "file")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    trials: tuple[tuple[str, Callable[[], object]], ...] = (
        ("no extended attributes", lambda: os.setxattr(path, "user.pyman", b"y")),
        ("no hard links", lambda: os.link(path, os.path.join(place, "link"))),
        ("no symbolic links", lambda: os.symlink("file", os.path.join(place, "symlink"))),
        ("no devices, which mark removed files", lambda: os.mknod(os.path.join(place, "removed"), stat.S_IFCHR, 0)),
        ("no other owners", lambda: None if single else os.chown(path, 1, 1)),
        ("no modes", lambda: os.chmod(path, 0o4751)),
    )
    for lack, action in trials:
        try:
            action()
        except OSError as err:
            if err.errno in (28, 122):
                raise  # a full disk says nothing about the file system
            return f"its file system has {lack}: {os.strerror(err.errno or 0)}"
    info = os.lstat(path)
    if stat.S_IMODE(info.st_mode) != 0o4751 or (not single and (info.st_uid, info.st_gid) != (1, 1)):
        return "its file system does not keep owners and modes as they are set"
    return ""

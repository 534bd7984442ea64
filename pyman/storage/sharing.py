"""Files that a new layer has in common with others, stored once: extents by reflink, or, if asked for, inodes by hard links. Workers in U1.

A rebuilt image has most of its files where they were before, with the same content: they are looked for in a few other layers under the same
path. docs/decisions/0008 has the figures, and why hard links are not the default.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from pyman import paths
from pyman.config import containers
from pyman.linux import fs, libc
from pyman.storage import layers
from pyman.storage.trees_equal import walk

_SMALLEST = 16 << 10  # bytes: smaller files are many and save little
_LAYERS = 8  # other layers that are looked into: the newest
_PIECE = 16 << 20  # bytes that btrfs takes at a time
_SYSTEMS = (0x9123683E, 0x58465342, 0xCA451A4E)  # btrfs, XFS, bcachefs
_FIDEDUPERANGE = 0xC0189436
_how: str | None = None


def how() -> str:
    """reflink, link, or nothing. Asked for before a worker is forked, which may not read the configuration."""
    global _how
    if _how is None:
        wanted = str(containers.load()["storage"].get("share_files") or "auto")
        _how = {"none": "", "link": "link"}.get(wanted, "reflink" if _can_reflink() else "")
    return _how


def _can_reflink() -> bool:
    try:
        fd = os.open(paths.graphroot(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fs.magic(fd) in _SYSTEMS
    finally:
        os.close(fd)


def share(diff: str) -> int:
    """Let the tree of a layer that is being made share what it has in common with other layers; the bytes saved. Never an error."""
    way = how()
    if not way:
        return 0
    saved = 0
    others = layers.open_newest(_LAYERS)
    try:
        for name, parent, base, info in walk(diff):
            if stat.S_ISREG(info.st_mode) and info.st_size >= _SMALLEST and info.st_nlink == 1:
                saved += _share_one(way, others, name, parent, base, info)
    except OSError:
        pass  # a file system that cannot, or a disk that is full: the layer is as good as without
    finally:
        for fd in others:
            os.close(fd)
    return saved


def _share_one(way: str, others: list[int], name: bytes, parent: int, base: str, info: os.stat_result) -> int:
    """Find the file in another layer and share it; the bytes saved. OSError if nothing can be shared at all."""
    for other in others:
        try:
            source = libc.openat2(other, os.fsdecode(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            known = os.fstat(source)
            if stat.S_ISREG(known.st_mode) and known.st_size == info.st_size and known.st_ino != info.st_ino:
                done = _reflink(source, parent, base, info.st_size) if way == "reflink" else _link(source, known, parent, base, info)
                if done:
                    return info.st_blocks * 512
        finally:
            os.close(source)
    return 0


def _reflink(source: int, parent: int, base: str, size: int) -> bool:
    """Have the kernel compare and share the extents: both files stay files of their own. OSError where the file system cannot."""
    target = os.open(base, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        at = 0
        while at < size:
            length = min(size - at, _PIECE)
            request = bytearray(struct.pack("=QQHHI", at, length, 1, 0, 0) + struct.pack("=qQQiI", target, at, 0, 0, 0))
            fcntl.ioctl(source, _FIDEDUPERANGE, request)
            _, _, done, status, _ = struct.unpack("=qQQiI", request[24:])
            if status < 0:
                raise OSError(-status, os.strerror(-status))
            if status == 1:
                return False  # other content
            if not done:
                return at > 0
            at += done
        return True
    finally:
        os.close(target)


def _link(source: int, known: os.stat_result, parent: int, base: str, info: os.stat_result) -> bool:
    """Put another name of the other layer's file in the place of ours, if both are the same in everything."""
    same = [(one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns, one.st_size) for one in (known, info)]
    if same[0] != same[1]:
        return False
    target = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        attributes = [{key: os.getxattr(fd, key) for key in os.listxattr(fd)} for fd in (source, target)]
        if attributes[0] != attributes[1] or not _equal(source, target):
            return False
    finally:
        os.close(target)
    before = os.fstat(parent)
    temporary = f".pyman-{os.urandom(8).hex()}"
    try:
        os.link(f"/proc/self/fd/{source}", temporary, dst_dir_fd=parent, follow_symlinks=True)
    except OSError as err:
        if err.errno in (errno.EMLINK, errno.ENOENT):
            return False  # it has all names it may have, or its layer was removed just now
        raise
    try:
        os.rename(temporary, base, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        os.unlink(temporary, dir_fd=parent)
        raise
    finally:
        os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    return True


def _equal(one: int, other: int) -> bool:
    while True:
        piece = os.read(one, 1 << 20)
        if piece != os.read(other, 1 << 20):
            return False
        if not piece:
            return True

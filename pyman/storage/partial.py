"""The beginning of a layer whose download was broken off, kept so that the next pull goes on there. CLI process.

partial/DIGEST holds the compressed bytes as they came. They are as little believed as those from the network: the unpacker
hashes both as one stream. One pull at a time has a partial blob (flock); others fetch without it.
"""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.state.lock import Lock

SMALLEST = 1 << 22  # bytes: a smaller layer is fetched again as quickly
KEPT = 7 * 86400  # seconds after which nobody is expected to come back
_CHUNK = 1 << 18


def _directory() -> str:
    return os.path.join(paths.graphroot(), "partial")


class Partial:
    """The partial blob of one layer, locked. A full disk ends its use, not the download."""

    __slots__ = ("_lock", "fd", "path", "size")

    def __init__(self, path: str, lock: Lock, fd: int, size: int) -> None:
        self.path = path
        self._lock = lock
        self.fd = fd
        self.size = size  # bytes that earlier pulls have left

    def replay(self, out_fd: int) -> None:
        """Write the bytes that are there to out_fd."""
        at = 0
        while at < self.size:
            view = memoryview(os.pread(self.fd, min(_CHUNK, self.size - at), at))
            at += len(view)
            while view:
                view = view[os.write(out_fd, view) :]

    def append(self, data: bytes) -> None:
        """Keep what has just arrived."""
        if self.fd < 0:
            return
        try:
            if os.write(self.fd, data) == len(data):
                return
        except OSError:
            pass
        self.discard()  # the disk is full: the layer's own files need what is left

    def discard(self) -> None:
        """Delete it: the layer is complete, or the bytes were wrong."""
        if self.fd >= 0:
            try:
                os.unlink(self.path)
            except OSError:
                pass
            self.close()

    def close(self) -> None:
        """Leave it for the next pull."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._lock.release()


def open_partial(digest: str, size: int) -> Partial | None:
    """The partial blob of the layer with that digest (64 hex digits) and size; None if it is not worth it or in use."""
    if size < SMALLEST:
        return None
    path = os.path.join(_directory(), digest)
    fd = -1
    try:
        os.makedirs(_directory(), 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        lock = Lock(path)
        if not lock.try_acquire():
            os.close(fd)
            return None
        have = os.fstat(fd).st_size
        if have >= size:  # complete, and yet no layer came of it: something is wrong with it
            os.ftruncate(fd, 0)
            have = 0
        return Partial(path, lock, fd, have)
    except OSError:
        if fd >= 0:
            os.close(fd)
        return None


def begun(digest: str) -> bool:
    """Whether a broken pull has left the beginning of that layer."""
    try:
        return os.stat(os.path.join(_directory(), digest)).st_size > 0
    except OSError:
        return False


def sweep(oldest: float = KEPT) -> int:
    """Delete partial blobs that nobody has touched for `oldest` seconds; returns the bytes freed."""
    freed = 0
    try:
        entries = os.listdir(_directory())
    except FileNotFoundError:
        return 0
    for entry in entries:
        path = os.path.join(_directory(), entry)
        lock = Lock(path)
        try:
            info = os.lstat(path)
            if time.time() - info.st_mtime >= oldest and lock.try_acquire():
                os.unlink(path)
                freed += info.st_size
        except OSError:
            continue
        finally:
            lock.release()
    return freed

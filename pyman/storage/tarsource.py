"""The plain side of a compressed tar: read exactly, hashed on both sides, bounded against bombs. Unpack worker in U1."""

from __future__ import annotations

import errno
import hashlib
import os

from pyman.errors import ImageError
from pyman.storage.decompress import Decompressor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_RATIO = 200  # plain bytes per compressed byte, beyond the first GiB: real layers stay far below
FREE_BYTES = 1 << 30
_AHEAD = 1 << 16  # bytes read at a time where content is moved within the kernel: what is read ahead is copied
_CHECKED = 8 << 20  # plain bytes between two looks at the free room


class Source:
    """Exact reads of the plain tar stream, hashing both sides (`hashing` false: neither; nobody asks for the digests).

    threaded: the plain side is hashed by a thread of its own, beside the writing; for streams that come as quickly as that.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_compressed",
        "_decompressor",
        "_direct",
        "_fd",
        "_hashing",
        "_jobs",
        "_media_type",
        "_plain",
        "_same",
        "_thread",
        "compressed_size",
        "guard",
        "plain_size",
        "progress",
    )

    def __init__(
        self, fd: int, media_type: str, progress: Callable[[int], None] | None, hashing: bool = True, threaded: bool = False
    ) -> None:
        self._fd = fd
        self._hashing = hashing
        self._same = False  # both sides are the same bytes: one hash will do
        self._media_type = media_type
        self._decompressor: Decompressor | None = None
        self._compressed, self._plain = hashlib.sha256(), hashlib.sha256()
        self._buffer, self._at = b"", 0  # the piece being read, and how much of it was
        self._direct = not hashing  # nobody looks at the content: the kernel may move it
        self._jobs: Any = None
        self._thread: Any = None
        if threaded:
            self._begin_thread()
        self.compressed_size = self.plain_size = 0
        self.progress = progress
        self.guard: Callable[[], None] | None = None  # called now and then while much is unpacked

    def _begin_thread(self) -> None:
        import queue
        import threading

        jobs: queue.Queue[bytes] = queue.Queue(8)

        def work() -> None:
            while piece := jobs.get():
                self._plain.update(piece)

        self._jobs, self._thread = jobs, threading.Thread(target=work, daemon=True)
        self._thread.start()

    def _raw(self, size: int) -> bytes:
        """Compressed bytes as they come."""
        data = os.read(self._fd, min(size, _AHEAD) if self._direct else size)
        if self._hashing and not self._same:
            self._compressed.update(data)
        self.compressed_size += len(data)
        if self.progress:
            self.progress(self.compressed_size)
        return data

    def _piece(self) -> bytes:
        """The next plain bytes; empty at the end."""
        if self._decompressor is None:
            self._decompressor = Decompressor(self._media_type, self._raw)
            self._same = self._decompressor.plain
        piece = self._decompressor.read()
        if self._jobs is not None and piece:
            self._jobs.put(piece)
        elif self._hashing:
            self._plain.update(piece)
        before = self.plain_size // _CHECKED
        self.plain_size += len(piece)
        if self.guard and self.plain_size // _CHECKED != before:
            self.guard()
        if self.plain_size > FREE_BYTES and self.plain_size > self.compressed_size * MAX_RATIO:
            raise ImageError("refused layer", f"it expands more than {MAX_RATIO} times: a decompression bomb")
        return piece

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes of the tar stream. ImageError at its end."""
        at, end = self._at, self._at + size
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[at:end]
        parts, have = [self._buffer[at:]], len(self._buffer) - at
        while have < size:
            piece = self._next()
            self._at = min(len(piece), size - have)
            parts.append(piece[: self._at])
            have += self._at
        return b"".join(parts)

    def some(self, limit: int) -> bytes:
        """At least one byte and at most `limit`: what has come, without waiting for more. ImageError at the end."""
        if self._at >= len(self._buffer):
            self._next()
        at = self._at
        self._at = min(len(self._buffer), at + limit)
        return self._buffer[at : self._at]

    def move(self, fd: int, limit: int) -> int:
        """Move up to `limit` bytes of content to file `fd` within the kernel (splice(2)); how many, 0 where that is not possible."""
        if not self._direct or not self._same or self._at < len(self._buffer):
            return 0
        try:
            moved = os.splice(self._fd, fd, min(limit, 1 << 20))
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self._direct = False  # not a pipe
            return 0
        self.compressed_size += moved
        self.plain_size += moved
        return moved

    def _next(self) -> bytes:
        piece = self._piece()
        if not piece:
            raise ImageError("damaged layer", "it ends in the middle: the download was cut short or the layer is truncated")
        self._buffer, self._at = piece, 0
        return piece

    def at_end(self) -> bool:
        """Whether the plain stream is at its end."""
        if self._at >= len(self._buffer):
            self._buffer, self._at = self._piece(), 0
        return not self._buffer

    def finish(self, keep: Callable[[bytes], None] | None = None) -> tuple[str, str]:
        """Read the rest, `keep` it; (digest of the compressed bytes, diff id), both 64 hex digits."""
        piece = self._buffer[self._at :] or self._piece()
        while piece:
            if keep:
                keep(piece)
            piece = self._piece()
        while self._raw(1 << 17):
            pass
        if self._thread is not None:
            self._jobs.put(b"")
            self._thread.join()
        plain = self._plain.hexdigest()
        return plain if self._same else self._compressed.hexdigest(), plain

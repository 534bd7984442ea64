"""Where a tar is written to: a descriptor, or a function. Contents of files go within the kernel where it can. Any process."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BUFFER = 1 << 18  # small pieces are collected up to this size
_BIG = 1 << 16  # files from this size on go past the buffer
PIECE = 1 << 20  # bytes that are read at a time
_ZEROS = bytes(PIECE)


class FdSink:
    """Writes to a descriptor: a pipe, a file, a socket. Large files are handed to the kernel (sendfile(2))."""

    __slots__ = ("_buffer", "_file", "_send", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray()
        self._send = True
        self._file = stat.S_ISREG(os.fstat(fd).st_mode) and not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND

    def write(self, data: bytes) -> None:
        """Append bytes. OSError."""
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Pass on what is collected. OSError."""
        view = memoryview(self._buffer)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
        finally:
            view.release()
        self._buffer = bytearray()

    def zeros(self, count: int) -> None:
        """Append noughts, in a file as a hole; something must follow them. OSError."""
        if count >= _BUFFER and self._file:
            self.flush()
            end = os.lseek(self.fd, 0, os.SEEK_CUR)
            if end == os.fstat(self.fd).st_size:
                os.lseek(self.fd, end + count, os.SEEK_SET)
                return
        write_zeros(self.write, count)

    def copy(self, fd: int, at: int, size: int) -> int:
        """Append up to `size` bytes of file `fd` from offset `at`; how many there were. OSError."""
        if size < _BIG or not self._send:
            return _copy_by_hand(self.write, fd, at, size)
        self.flush()
        done = 0
        while done < size:
            try:
                sent = os.sendfile(self.fd, fd, at + done, min(size - done, 1 << 30))
            except OSError as err:
                if err.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOVERFLOW) or done:
                    raise
                self._send = False  # a file opened to append, or a file system that cannot
                return _copy_by_hand(self.write, fd, at, size)
            if not sent:
                break
            done += sent
        return done


class CallSink:
    """Gives the bytes to a function, for whoever hashes or compresses them."""

    __slots__ = ("write",)

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write

    def flush(self) -> None:
        """Nothing is kept back."""

    def zeros(self, count: int) -> None:
        """See FdSink."""
        write_zeros(self.write, count)

    def copy(self, fd: int, at: int, size: int) -> int:
        """See FdSink."""
        return _copy_by_hand(self.write, fd, at, size)


def write_zeros(write: Callable[[bytes], object], count: int) -> None:
    """Noughts in pieces."""
    while count > 0:
        part = min(count, PIECE)
        write(_ZEROS if part == PIECE else bytes(part))
        count -= part


def _copy_by_hand(write: Callable[[bytes], object], fd: int, at: int, size: int) -> int:
    done = 0
    while done < size:
        data = os.pread(fd, min(size - done, PIECE), at + done)
        if not data:
            break
        write(data)
        done += len(data)
    return done

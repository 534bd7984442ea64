"""The file of an archive and the files in it. Slow path.

It is read where it lies, by an index of its members; a compressed one, or one that comes through a pipe, is first written to a file
without a name by a child that can do nothing else.
"""

from __future__ import annotations

import os
import stat

from pyman.errors import ImageError, NoSuchImage
from pyman.image import output
from pyman.linux import libc, process
from pyman.storage import decompress, tarindex, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_RATIO = 2000  # plain bytes per compressed byte, beyond the first GiB
_FREE_BYTES = 1 << 30


def split(text: str) -> tuple[str, str]:
    """(the path, what follows its colon) of FILE[:NAME]; a file whose own name has a colon is taken as it is."""
    if os.path.exists(text):
        return text, ""
    path, colon, rest = text.partition(":")
    return (path, rest) if colon else (text, "")


def open_plain(path: str, label: str) -> int:
    """A descriptor of a plain, seekable archive: the file itself, or what it (or a pipe) expands to. NoSuchImage, ImageError, StorageError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY) if path != "-" else os.dup(0)
        mode = os.fstat(fd).st_mode
    except OSError as err:
        raise NoSuchImage(f"cannot read {label}", f"{path}: {err.strerror}") from err
    if stat.S_ISDIR(mode):
        os.close(fd)
        raise NoSuchImage(f"cannot read {label}", f"{path} is a directory, not an archive", "oci:DIRECTORY or dir:DIRECTORY")
    if stat.S_ISREG(mode):
        head = os.pread(fd, 8, 0)
        if os.lseek(fd, 0, os.SEEK_CUR) == 0 and decompress.kind_of("", head) == decompress.PLAIN:
            return fd
    try:
        return expand(fd, label)
    finally:
        os.close(fd)


def expand(fd: int, label: str) -> int:
    """A file without a name that holds what the (compressed) stream `fd` expands to. ImageError, StorageError."""
    decompress.prepare()
    out = output.spool()
    read_end, write_end = os.pipe()

    def child() -> int:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        workers.confine([], [])
        workers.report(write_end, workers.answer_of(lambda: _expand(fd, out), f"read {label}"))
        return 0

    try:
        pid = process.fork(child, "pyman:[expand]", (fd, out, write_end))
        os.close(write_end)
        workers.result(pid, read_end, f"read {label}")
    except BaseException:
        os.close(out)
        raise
    return out


def _expand(fd: int, out: int) -> dict[str, Any]:
    taken = 0

    def source(size: int) -> bytes:
        nonlocal taken
        data = os.read(fd, size)
        taken += len(data)
        return data

    engine = decompress.Decompressor("", source)
    size = 0
    while piece := engine.read():
        size += len(piece)
        if size > _FREE_BYTES and size > taken * _MAX_RATIO:
            raise ImageError("refused archive", f"it expands more than {_MAX_RATIO} times: a decompression bomb")
        view = memoryview(piece)
        while view:
            view = view[os.write(out, view) :]
    return {"size": size}


class Archive:
    """The files of one archive; sources share it, and the last one closes it."""

    def __init__(self, path: str, label: str) -> None:
        self.path = path
        self.label = label
        self.users = 0
        self.fd = open_plain(path, label)
        try:
            self.files = tarindex.index(self.fd)
        except ImageError as err:
            archive = os.pread(self.fd, 8, 257).startswith(b"ustar")
            os.close(self.fd)
            if not archive:
                raise ImageError(f"cannot read {label}", "the file is no tar archive", f"look at it: file {path}") from err
            raise ImageError(f"{err.what.split(' ')[0]} {label}", err.why, err.hint) from err

    def place(self, name: Any) -> tuple[int, int]:
        """(offset, size) of a file. ImageError."""
        clean = os.path.normpath(os.path.join("/", name))[1:] if isinstance(name, str) else ""
        if clean not in self.files:
            raise ImageError(f"damaged {self.label}", f"it has no file {str(name)[:200]!r}")
        return self.files[clean]

    def read(self, name: Any, limit: int) -> bytes:
        """A whole small file; at most limit + 1 bytes of it."""
        at, size = self.place(name)
        return os.pread(self.fd, min(size, limit + 1), at)

    def copy(self, name: Any, fd: int) -> None:
        """A file's bytes to a pipe. ImageError."""
        at, size = self.place(name)
        try:
            output.copy(self.fd, fd, size, at)
        except EOFError as err:
            raise ImageError(f"damaged {self.label}", "it was made shorter meanwhile") from err

    def take(self) -> Archive:
        """One more source uses it."""
        self.users += 1
        return self

    def close(self) -> None:
        """One source less uses it."""
        self.users -= 1
        if self.users <= 0 and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

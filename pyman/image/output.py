"""A file that appears when it is complete, for archives; a device, a FIFO or stdout is written as it is. CLI process, slow path."""

from __future__ import annotations

import os
import stat

from pyman.errors import StorageError


class Output:
    """Where an archive goes: the file `path`, or the descriptor `fd` if path is empty. StorageError."""

    def __init__(self, path: str, fd: int = -1) -> None:
        self.path = path
        self._temp = ""
        self.seekable = False  # a new file, whose parts may be written in any order
        if not path:
            self.fd = os.dup(fd)
            return
        try:
            self.fd = self._open()
        except OSError as err:
            raise StorageError(f"cannot write {path}", err.strerror or str(err), errno=err.errno or 0) from err

    def _open(self) -> int:
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                return os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            self.path = os.path.realpath(self.path)
        except FileNotFoundError:
            pass
        self.seekable = True
        directory = os.path.dirname(self.path) or "."
        try:
            return os.open(directory, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o644)  # a killed command leaves nothing
        except OSError as err:
            if err.errno not in (21, 22, 95):  # EISDIR, EINVAL, EOPNOTSUPP: a file system without such files
                raise
        self._temp = self._name()
        return os.open(self._temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)

    def _name(self) -> str:
        directory, base = os.path.split(self.path)
        return os.path.join(directory, f".{base[:80]}.{os.urandom(6).hex()}.tmp")

    def write(self, data: bytes) -> None:
        """All of `data`. OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def at(self, offset: int) -> int:
        """A further descriptor of a seekable file, at a place of its own. OSError."""
        fd = os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_CLOEXEC)
        os.lseek(fd, offset, os.SEEK_SET)
        return fd

    def finish(self) -> None:
        """The file is complete: it gets its name. StorageError."""
        if not self.seekable:
            return
        try:
            if not self._temp:
                self._temp = self._name()
                links = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:  # only with a descriptor of a directory does Python let linkat(2) follow the link
                    os.link(str(self.fd), self._temp, src_dir_fd=links, follow_symlinks=True)
                finally:
                    os.close(links)
            os.rename(self._temp, self.path)
            self._temp = ""
        except OSError as err:
            raise StorageError(f"cannot write {self.path}", err.strerror or str(err), errno=err.errno or 0) from err

    def close(self) -> None:
        """Forget what is not complete."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._temp:
            try:
                os.unlink(self._temp)
            except OSError:
                pass
            self._temp = ""


def spool() -> int:
    """A file without a name in the store, for what must be complete before it can go on. StorageError."""
    from pyman import paths

    base = os.path.join(paths.graphroot(), "tmp")
    try:
        os.makedirs(base, 0o700, exist_ok=True)
        try:
            return os.open(base, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as err:
            if err.errno not in (21, 22, 95):
                raise
        path = os.path.join(base, f"spool-{os.urandom(8).hex()}")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.unlink(path)
        return fd
    except OSError as err:
        raise StorageError("cannot write to the store", err.strerror or str(err), errno=err.errno or 0) from err


def copy(source: int, into: int, size: int, at: int = 0) -> None:
    """`size` bytes of the file `source` from `at` on to the descriptor `into`. OSError, EOFError if the file is shorter."""
    while size:
        done = os.sendfile(into, source, at, min(size, 1 << 30))
        if not done:
            raise EOFError("the file is shorter than it was")
        at += done
        size -= done

"""Tar streams written from directories, by descriptors: layers, exports, copies. Any process; in U1 for files of other owners.

The tree is hostile and may change meanwhile: no symlink is followed, a file that has gone is left out, one that has shrunk is
filled with noughts. Equal trees give equal bytes: names in byte order, whole seconds, ids as numbers, PAX records sorted.
"""

from __future__ import annotations

import errno
import os
import stat

from pyman.linux import trees
from pyman.storage.tarheader import header
from pyman.storage.tarstream import BLOCK, MAX_PARTS, Member, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from pyman.storage.tarsink import CallSink, FdSink

    Ids = Callable[[int, int], tuple[int, int]]

_LINKS = 200_000  # inodes with several names that are remembered; those beyond are written as files of their own
_PATH = 4096  # what readers take
_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
_OPAQUE_XATTRS = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
_OWN_XATTRS = ("user.overlay.", "user.fuseoverlayfs.")


class TreeWriter:
    """Writes trees and single entries of one archive.

    layer: overlay's markers become those of layers; names that only look like markers are left out. `marker_files`: the tree's
    own .wh. files are markers (fuse-overlayfs writes such). ids: (uid, gid) of a file -> those of its entry.
    note: told what is left out, and why. holes: for our own readers, which know how holes are told of.
    """

    __slots__ = ("_holes", "_ids", "_layer", "_links", "_marker_files", "_note", "sink")

    def __init__(
        self,
        sink: FdSink | CallSink,
        *,
        layer: bool = False,
        marker_files: bool = False,
        ids: Ids | None = None,
        note: Callable[[str], object] | None = None,
        holes: bool = False,
    ) -> None:
        self.sink = sink
        self._layer = layer
        self._marker_files = marker_files
        self._ids = ids
        self._holes = holes
        self._note = note
        self._links: dict[tuple[int, int], bytes] = {}

    def tree(self, root: int, prefix: bytes = b"", skip: Container[str] = ()) -> None:
        """Everything in directory `root` (O_PATH will do), under `prefix`: the entry of the directory itself first, if it has a name.

        skip: names directly in it that are left out. OSError.
        """
        cursor = trees.Cursor(root)
        try:
            info = os.fstat(cursor.fd)
            base = prefix.rstrip(b"/")
            if base:
                self._emit(base, info, self._xattrs(cursor.fd))
            path = base + b"/" if base else b""
            levels = [(self._names(cursor.fd, path, skip), len(path))]
            while levels:
                names, length = levels[-1]
                path = path[:length]
                if not names:
                    levels.pop()
                    if levels:
                        cursor.up()
                    continue
                name = names.pop()
                entered = self._entry(cursor, name, path + os.fsencode(name))
                if entered:
                    path += os.fsencode(name) + b"/"
                    levels.append((self._names(cursor.fd, path), len(path)))
        finally:
            cursor.close()

    def file(self, fd: int, name: bytes) -> None:
        """One entry for what `fd` (of whatever type, O_PATH will do) is, called `name`. A directory: only itself. OSError."""
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode):
            inner = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._regular(inner, name)
            finally:
                os.close(inner)
        else:
            self._emit(name, info, {}, os.fsencode(os.readlink("", dir_fd=fd)) if stat.S_ISLNK(info.st_mode) else b"")

    def close(self) -> None:
        """The end of the archive. OSError."""
        self.sink.write(bytes(2 * BLOCK))
        self.sink.flush()

    def _say(self, path: bytes, why: str) -> None:
        if self._note:
            self._note(f"{show(path)} was left out: {why}")

    def _names(self, fd: int, path: bytes, skip: Container[str] = ()) -> list[str]:
        """The names in a directory in reverse order; the markers of a layer that belong to it are written."""
        names = sorted((name for name in os.listdir(fd) if name not in skip), key=os.fsencode, reverse=True)
        if not self._layer:
            return names
        marked = any(_xattr(fd, key) == b"y" for key in _OPAQUE_XATTRS)
        if marked or (self._marker_files and (".wh..wh..opq" in names or ".wh..opq" in names)):
            self._marker(path + _OPAQUE)
        if any(name.startswith(".wh.") for name in names):
            for name in reversed(names):
                if name.startswith(".wh.") and not name.startswith((".wh..wh.", ".wh..opq")) and self._marker_files:
                    self._marker(path + os.fsencode(name))
                elif name.startswith(".wh.") and not self._marker_files:
                    self._say(path + os.fsencode(name), "a layer cannot hold a file of that name")
            names = [name for name in names if not name.startswith(".wh.")]
        return names

    def _marker(self, path: bytes) -> None:
        member = Member()
        member.name = path
        member.mode = 0o600
        self.sink.write(header(member))

    def _entry(self, cursor: trees.Cursor, name: str, path: bytes) -> bool:
        """Write one entry; true if it is a directory, which the cursor then stands in."""
        if len(path) >= _PATH:
            self._say(path, "its path is too long")
            return False
        try:
            info = os.stat(name, dir_fd=cursor.fd, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                cursor.down(name)
                self._emit(path, os.fstat(cursor.fd), self._xattrs(cursor.fd))
                return True
            if stat.S_ISREG(info.st_mode):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=cursor.fd)
                try:
                    if stat.S_ISREG(os.fstat(fd).st_mode):
                        self._regular(fd, path)
                finally:
                    os.close(fd)
            elif stat.S_ISLNK(info.st_mode):
                self._emit(path, info, {}, os.fsencode(os.readlink(name, dir_fd=cursor.fd)))
            elif self._layer and stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                directory, slash, base = path.rpartition(b"/")
                self._marker(directory + slash + _WHITEOUT + base)
            elif not stat.S_ISSOCK(info.st_mode):
                self._emit(path, info, {})
        except OSError as err:
            if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
                return False  # removed, or replaced, since it was listed
            if err.errno in (errno.EACCES, errno.EPERM):
                self._say(path, err.strerror or str(err))
                return False
            raise
        return False

    def _member(self, path: bytes, info: os.stat_result) -> Member:
        member = Member()
        member.name = path
        member.mode = stat.S_IMODE(info.st_mode)
        member.uid, member.gid = self._ids(info.st_uid, info.st_gid) if self._ids else (info.st_uid, info.st_gid)
        member.mtime_ns = info.st_mtime_ns
        return member

    def _linked(self, member: Member, info: os.stat_result) -> bool:
        """Whether the inode was written before: then it is an entry of the first name's."""
        if info.st_nlink < 2:
            return False
        key = (info.st_dev, info.st_ino)
        first = self._links.get(key)
        if first is None:
            if len(self._links) < _LINKS:
                self._links[key] = member.name
            return False
        member.type, member.link = "1", first
        self.sink.write(header(member))
        return True

    def _emit(self, path: bytes, info: os.stat_result, xattrs: dict[str, bytes], link: bytes = b"") -> None:
        """An entry without data."""
        member = self._member(path, info)
        kind = stat.S_IFMT(info.st_mode)
        kinds = {stat.S_IFDIR: "5", stat.S_IFLNK: "2", stat.S_IFIFO: "6", stat.S_IFCHR: "3", stat.S_IFBLK: "4"}
        if kind != stat.S_IFDIR and self._linked(member, info):
            return
        member.type = kinds[kind]
        if member.type in "34":
            member.major, member.minor = os.major(info.st_rdev), os.minor(info.st_rdev)
        member.link, member.xattrs = link, xattrs
        self.sink.write(header(member))

    def _regular(self, fd: int, path: bytes) -> None:
        info = os.fstat(fd)
        member = self._member(path, info)
        if self._linked(member, info):
            return
        member.size, member.xattrs = info.st_size, self._xattrs(fd)
        if self._holes and info.st_blocks * 512 < info.st_size:
            self._parts(fd, member)
            return
        self.sink.write(header(member))
        self._content(fd, info)
        self.sink.write(bytes(-info.st_size % BLOCK))

    def _parts(self, fd: int, member: Member) -> None:
        """A file with holes, as our own readers take it: what is data, and where; of too many parts the last takes in the others."""
        at, whole = 0, member.size
        while at < whole:
            try:
                start = min(os.lseek(fd, at, os.SEEK_DATA), whole)
            except OSError:
                break  # a hole up to the end
            at = min(os.lseek(fd, start, os.SEEK_HOLE), whole) if len(member.parts) < MAX_PARTS - 1 else whole
            if at > start:
                member.parts.append((start, at - start))
        member.parts = member.parts or [(0, 0)]
        member.whole, member.size = whole, sum(length for _, length in member.parts)
        self.sink.write(header(member))
        for start, length in member.parts:
            done = 0
            while done < length:
                copied = self.sink.copy(fd, start + done, length - done)
                done += copied
                if not copied:  # it has become shorter
                    self.sink.zeros(length - done)
                    break
        self.sink.write(bytes(-member.size % BLOCK))

    def _content(self, fd: int, info: os.stat_result) -> None:
        """Exactly st_size bytes; holes are not read."""
        at, size = 0, info.st_size
        sparse = info.st_blocks * 512 < size
        while at < size:
            end = size
            if sparse:
                try:
                    data = min(os.lseek(fd, at, os.SEEK_DATA), size)
                    end = min(os.lseek(fd, data, os.SEEK_HOLE), size) if data < size else size
                except OSError:
                    data = size  # a hole up to the end
                self.sink.zeros(data - at)
                at = data
            if at < size:
                copied = self.sink.copy(fd, at, end - at)
                at += copied
                if copied == 0:  # it has become shorter: its header promises more
                    self.sink.zeros(size - at)
                    return

    def _xattrs(self, fd: int) -> dict[str, bytes]:
        """What layers keep: users' attributes and file capabilities."""
        found: dict[str, bytes] = {}
        try:
            names = os.listxattr(fd)
        except OSError:
            return found  # a file system without them
        for name in names:
            if (name.startswith("user.") and not name.startswith(_OWN_XATTRS)) or name == "security.capability":
                value = _xattr(fd, name)
                if value is not None:
                    found[name] = value
        return found


def _xattr(fd: int, name: str) -> bytes | None:
    try:
        return os.getxattr(fd, name)
    except OSError:
        return None

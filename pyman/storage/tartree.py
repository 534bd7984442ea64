"""A directory that is filled with a tar's members, which cannot lead out of it. Unpack worker in U1.

Parents are opened with openat2(RESOLVE_IN_ROOT) below the directory, so `..`, absolute names and symlinks planted by earlier members
stay inside; members are made by *at() calls on the parent's descriptor.
"""

from __future__ import annotations

import errno
import os

from pyman.errors import ImageError
from pyman.linux import libc, trees
from pyman.storage.tarstream import Member, show

_PENDING_BYTES = 4 << 20  # of directories' names kept until their times are set
_OWN_XATTRS = ("user.overlay.", "user.fuseoverlayfs.", "trusted.")


class Tree:
    """The layer's directory being filled."""

    __slots__ = ("_cached", "_cached_name", "_pending", "_pending_bytes", "bytes", "entries", "notes", "root", "single")

    def __init__(self, root_fd: int, single: bool) -> None:
        self.root = root_fd
        self._cached = -1  # descriptor of the last parent directory: members come in order
        self._cached_name = b""
        self._pending: list[tuple[bytes, int]] = []  # directories' times, set late: their members change them
        self._pending_bytes = 0
        self.entries = self.bytes = 0
        self.single = single
        self.notes: list[str] = []

    def parent(self, name: bytes) -> tuple[int, bytes]:
        """(descriptor of the parent directory, last component)."""
        directory, _, base = name.rpartition(b"/")
        if directory == self._cached_name and self._cached >= 0:
            return self._cached, base
        self._forget()
        self._cached = self._open_dir(directory)
        self._cached_name = directory
        return self._cached, base

    def _forget(self) -> None:
        if self._cached >= 0:
            os.close(self._cached)
            self._cached = -1

    def _open_dir(self, path: bytes) -> int:
        if not path:
            return os.dup(self.root)
        try:
            return libc.openat2(self.root, os.fsdecode(path), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return self._make_dirs(path.split(b"/"))

    def _make_dirs(self, names: list[bytes]) -> int:
        """Make what of a path is missing: its beginning that is there is found by halves, for a path can be thousands of levels deep."""
        fd, there, missing = os.dup(self.root), 0, len(names)
        while missing - there > 1:
            middle = (there + missing) // 2
            try:
                found = libc.openat2(self.root, os.fsdecode(b"/".join(names[:middle])), os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                missing = middle
                continue
            os.close(fd)
            fd, there = found, middle
        for at in range(there, len(names)):
            try:
                os.mkdir(names[at], 0o755, dir_fd=fd)
                found = os.open(names[at], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except FileExistsError:  # a symlink that leads nowhere: this says so
                found = libc.openat2(self.root, os.fsdecode(b"/".join(names[: at + 1])), os.O_RDONLY | os.O_DIRECTORY)
            finally:
                os.close(fd)
            fd = found
        return fd

    def remove(self, parent: int, base: bytes) -> None:
        """Remove what an earlier member put there (not below a directory that stays a directory)."""
        try:
            os.unlink(base, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            self._forget_below()
            trees.remove_tree(parent, os.fsdecode(base))

    def _forget_below(self) -> None:
        # The cached parent may lie inside the tree that goes; the caller's own descriptor is a duplicate.
        self._cached_name = b"\0"

    def set_meta(self, parent: int, base: bytes, member: Member) -> None:
        """Owner, mode, xattrs, times of a freshly made entry, in the order in which they survive each other."""
        if not self.single:
            try:
                os.chown(base, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
            except OSError as err:
                _refuse_owner(err, member)
                raise
        if member.type != "2":
            os.chmod(base, member.mode, dir_fd=parent)
        for key, value in member.xattrs.items():
            self.set_xattr(f"/proc/self/fd/{parent}/{os.fsdecode(base)}", key, value)
        if member.type == "5":
            self.set_time_later(member)
        else:
            os.utime(base, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def set_meta_of(self, fd: int, member: Member) -> None:
        """The same for an open file: no name is looked up again, which takes longer, and may lead elsewhere by now where others write too.

        What is right already is not set: to ask costs a tenth of what a change in the file system's journal costs.
        """
        info = os.fstat(fd)
        changed = not self.single and (info.st_uid != member.uid or info.st_gid != member.gid)
        if changed:
            try:
                os.fchown(fd, member.uid, member.gid)
            except OSError as err:
                _refuse_owner(err, member)
                raise
        if changed or info.st_mode & 0o7777 != member.mode:  # a change of owner takes set-user-ID bits away
            os.fchmod(fd, member.mode)
        for key, value in member.xattrs.items():
            self.set_xattr(fd, key, value)
        os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))

    def set_time_later(self, member: Member) -> None:
        """Set a directory's time once nothing more comes into it."""
        self._pending.append((member.name, member.mtime_ns))
        self._pending_bytes += len(member.name) + 200
        if self._pending_bytes > _PENDING_BYTES:
            self._set_times()  # members that still come change some: better than memory without bound

    def set_xattr(self, where: str | int, key: str, value: bytes) -> None:
        """Set an extended attribute of a path (whose last part is not followed) or descriptor. ImageError for those of overlay."""
        if key.startswith(_OWN_XATTRS):
            raise ImageError(
                "refused layer",
                f"it sets the extended attribute {show(key.encode(errors='replace'))}, which steers the overlay file system",
            )
        if not key.startswith(("user.", "security.capability")):
            return  # system.posix_acl, selinux labels: as other rootless tools
        try:
            os.setxattr(where, key, value, follow_symlinks=isinstance(where, int))
        except OSError:
            self.note(f"xattr {key} not kept")

    def note(self, text: str) -> None:
        """Something left out; the first few are kept for the layer's record."""
        if len(self.notes) < 20:
            self.notes.append(text)

    def finish(self) -> None:
        """Directories' times, deepest last made first."""
        self._forget()
        self._set_times()

    def _set_times(self) -> None:
        for name, mtime in reversed(self._pending):
            try:
                fd = libc.openat2(self.root, os.fsdecode(name) or ".", os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue  # replaced by a later member
            os.utime(fd, ns=(mtime, mtime))
            os.close(fd)
        self._pending.clear()
        self._pending_bytes = 0


def _refuse_owner(err: OSError, member: Member) -> None:
    if err.errno == errno.EINVAL:
        raise ImageError(
            "cannot unpack layer",
            f"{show(member.name)} belongs to {member.uid}:{member.gid}, which is outside your subordinate id range",
            "as root: give the user a larger range in /etc/subuid and /etc/subgid",
        ) from err

"""Unpack one layer: decompress, hash, parse and write in one pass, confined to the layer's directory. Unpack worker in U1.

Parents are opened with openat2(RESOLVE_IN_ROOT) below the layer's root, so `..`, absolute names and symlinks planted by
earlier members cannot lead out; members are made by *at() calls on the parent's descriptor.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from pyman.errors import ImageError, StorageError
from pyman.linux import libc, trees
from pyman.storage import convert, skeleton, tarstream
from pyman.storage.decompress import Decompressor
from pyman.storage.tarstream import WHITEOUT, Member, clean_name, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_ENTRIES = 3_000_000
MAX_RATIO = 200  # plain bytes per compressed byte, beyond the first GiB: real layers stay far below
_FREE_BYTES = 1 << 30
_AHEAD = 1 << 16  # bytes read at a time where content is moved within the kernel: what is read ahead is copied
_RESERVE = 256 << 20  # bytes of the disk that a layer may not take, or a fiftieth of a small one
_CHECKED = 8 << 20  # plain bytes between two looks at the free room
_PENDING_BYTES = 4 << 20  # of directories' names kept until their times are set
_OPAQUE = b".wh..wh..opq"
_OWN_XATTRS = ("user.overlay.", "user.fuseoverlayfs.", "trusted.")


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
        if self.plain_size > _FREE_BYTES and self.plain_size > self.compressed_size * MAX_RATIO:
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
        missing: list[bytes] = []
        while True:
            try:
                fd = libc.openat2(self.root, os.fsdecode(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
                break
            except FileNotFoundError:
                path, _, base = path.rpartition(b"/")
                missing.append(base)
        while missing:
            path = path + b"/" + missing[-1] if path else missing[-1]
            try:
                os.mkdir(missing.pop(), 0o755, dir_fd=fd)
            except FileExistsError:
                pass  # a symlink that leads nowhere: the next open says so
            finally:
                os.close(fd)
            fd = libc.openat2(self.root, os.fsdecode(path), os.O_RDONLY | os.O_DIRECTORY)
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
                if err.errno == 22:
                    raise ImageError(
                        "cannot unpack layer",
                        f"{show(member.name)} belongs to {member.uid}:{member.gid}, which is outside your subordinate id range",
                        "as root: give the user a larger range in /etc/subuid and /etc/subgid",
                    ) from err
                raise
        if member.type != "2":
            os.chmod(base, member.mode, dir_fd=parent)
        for key, value in member.xattrs.items():
            self.set_xattr(f"/proc/self/fd/{parent}/{os.fsdecode(base)}", key, value)
        if member.type == "5":
            self.set_time_later(member)
        else:
            os.utime(base, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)

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


def _place(tree: Tree, member: Member, content: Iterator[bytes]) -> None:
    member.name = clean_name(member.name)
    if not member.name:
        if member.type == "5":
            os.chmod(tree.root, member.mode)  # the root directory itself
        return
    parent, base = tree.parent(member.name)
    if base.startswith(WHITEOUT):
        _whiteout(tree, parent, base, member)
        return
    if member.type == "5":
        _directory(tree, parent, base, member)
        return
    tree.remove(parent, base)
    if member.type == "0":
        fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            for piece in content:
                tree.bytes += len(piece)
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
    elif member.type == "1":
        _hard_link(tree, parent, base, member)
        return
    elif member.type == "2":
        os.symlink(member.link, base, dir_fd=parent)
    elif member.type == "6":
        os.mkfifo(base, 0o600, dir_fd=parent)
    else:
        # Device nodes need privileges a user namespace has not; /dev comes from the runtime anyway.
        tree.note(f"device {show(member.name)} left out")
        return
    tree.set_meta(parent, base, member)


def _directory(tree: Tree, parent: int, base: bytes, member: Member) -> None:
    try:
        os.mkdir(base, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(base, dir_fd=parent)
            os.mkdir(base, 0o700, dir_fd=parent)
    tree.set_meta(parent, base, member)


def _hard_link(tree: Tree, parent: int, base: bytes, member: Member) -> None:
    target = clean_name(member.link)
    directory, _, name = target.rpartition(b"/")
    if not name or name.startswith(WHITEOUT):
        raise ImageError("refused layer", f"{show(member.name)} is a hard link to {show(member.link)}")
    try:
        source = libc.openat2(tree.root, os.fsdecode(directory) or ".", os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError as err:
        raise ImageError("damaged layer", f"{show(member.name)} is a hard link to {show(member.link)}, which does not exist") from err
    try:
        mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError("refused layer", f"{show(member.name)} is a hard link to a directory")
        if stat.S_ISCHR(mode):
            # The only devices here are whiteouts: what they stand for has been removed.
            raise FileNotFoundError
        os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError as err:
        raise ImageError("damaged layer", f"{show(member.name)} is a hard link to {show(member.link)}, which does not exist") from err
    finally:
        os.close(source)


def _whiteout(tree: Tree, parent: int, base: bytes, member: Member) -> None:
    if base == _OPAQUE:
        convert.set_opaque(parent)
        return
    name = base[len(WHITEOUT) :]
    if name in (b"", b".", b"..") or name.startswith(WHITEOUT):
        raise ImageError("refused layer", f"the whiteout {show(member.name)} names nothing that can be removed")
    tree.remove(parent, name)
    os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)  # 0:0 is allowed in a user namespace since Linux 5.8


def unpack_layer(
    fd_in: int,
    dest: str,
    *,
    media_type: str,
    digest: str = "",
    size: int = -1,
    diff_id: str = "",
    single: bool = False,
    progress: Callable[[int], None] | None = None,
    skeleton_fd: int = -1,
    threaded: bool = False,
) -> dict[str, object]:
    """Unpack the layer read from `fd_in` into directory `dest`; what it was, as data for layer.json.

    digest, diff_id: 64 hex digits to be matched, or empty; size: compressed bytes expected, or -1.
    single: one id only, so owners are not set; skeleton_fd: where all but the files' bytes are kept (skeleton.py), or -1.
    threaded: see Source. ImageError (damaged, hostile, wrong digest), StorageError (disk).
    """
    recorder = skeleton.Recorder(skeleton_fd) if skeleton_fd >= 0 else None
    keep = recorder.keep if recorder else None
    source = Source(fd_in, media_type, progress, threaded=threaded)
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    source.guard = lambda: _check_room(root)
    tree = Tree(root, single)
    old_mask = os.umask(0)
    try:
        stream = tarstream.TarStream(source.read, source.at_end, keep, source.some)
        for member in stream:
            tree.entries += 1
            if tree.entries > MAX_ENTRIES:
                raise ImageError("refused layer", f"it has more than {MAX_ENTRIES} entries")
            _place_safely(tree, member, stream)
        tree.finish()
        found_digest, found_diff = source.finish(keep)
        if recorder:
            recorder.finish()
    finally:
        os.umask(old_mask)
        os.close(root)
    if not source.plain_size:
        raise ImageError("damaged layer", "it is empty: not even the end of an archive is there")
    if size >= 0 and source.compressed_size != size:
        raise ImageError("damaged layer", f"it has {source.compressed_size} bytes, the manifest says {size}")
    for kind, found, wanted in (("digest", found_digest, digest), ("diff id", found_diff, diff_id)):
        if wanted and found != wanted:
            raise ImageError(
                "damaged layer",
                f"its {kind} is sha256:{found}, expected sha256:{wanted}",
                "pull again; if it stays, the registry's copy is damaged",
            )
    return {
        "digest": found_digest,
        "diff_id": found_diff,
        "size": tree.bytes,
        "compressed_size": source.compressed_size,
        "plain_size": source.plain_size,
        "entries": tree.entries,
        "notes": tree.notes,
        **({"single": True} if single else {}),  # its owners were not kept
    }


def _check_room(root: int) -> None:
    """StorageError before the disk is full: other programs, and the containers, need some of it too."""
    info = os.fstatvfs(root)
    reserve = min(_RESERVE, info.f_blocks * info.f_frsize // 50)
    free = info.f_bavail * info.f_frsize
    if free < reserve:
        raise StorageError(
            "cannot unpack layer",
            f"the disk is nearly full: {free >> 20} MiB are left, and {reserve >> 20} MiB are kept free",
            "free some disk space (pyman image prune), or move the store (XDG_DATA_HOME)",
            errno=28,
        )


def _place_safely(tree: Tree, member: Member, stream: tarstream.TarStream) -> None:
    shown = show(member.name)
    try:
        _place(tree, member, stream.data(member.size))
    except OSError as err:
        if err.errno in (28, 122):
            raise StorageError(
                f"cannot unpack layer: {shown}",
                err.strerror or str(err),
                "free some disk space (pyman image prune), or move the store (XDG_DATA_HOME)",
                errno=err.errno,
            ) from err
        raise ImageError("cannot unpack layer", f"{shown}: {err.strerror or err}") from err

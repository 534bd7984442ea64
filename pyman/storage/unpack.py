"""Unpack one layer: decompress, hash, parse and write in one pass, confined to the layer's directory. Unpack worker in U1."""

from __future__ import annotations

import os
import stat

from pyman.errors import ImageError, StorageError
from pyman.linux import libc
from pyman.storage import convert, skeleton, tarsource, tarstream, tartree
from pyman.storage.tarstream import WHITEOUT, Member, clean_name, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_ENTRIES = 3_000_000
_RESERVE = 256 << 20  # bytes of the disk that a layer may not take, or a fiftieth of a small one
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = b".wh..wh..opq"
_PAGE = 4096
_ZEROS = bytes(1 << 20)  # as long as a piece can be


def _place(tree: tartree.Tree, member: Member, content: Iterator[bytes]) -> None:
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
    if member.type == "0":
        _file(tree, parent, base, member, content)
        return
    tree.remove(parent, base)
    if member.type == "1":
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


def _file(tree: tartree.Tree, parent: int, base: bytes, member: Member, content: Iterator[bytes]) -> None:
    mode = member.mode & 0o777  # nobody else can enter the layer's directory
    try:
        fd = os.open(base, _NEW, mode, dir_fd=parent)
    except FileExistsError:  # an earlier member's: seldom, so it costs no look before
        tree.remove(parent, base)
        fd = os.open(base, _NEW, mode, dir_fd=parent)
    try:
        hole = 0  # noughts that are not written: a file with a size alone must not fill the disk
        for piece in content:
            tree.bytes += len(piece)
            if len(piece) >= _PAGE and not piece[0] and piece == _ZEROS[: len(piece)]:
                hole += len(piece)
                continue
            if hole:
                os.lseek(fd, hole, os.SEEK_CUR)
                hole = 0
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
        if hole:
            os.ftruncate(fd, os.lseek(fd, hole, os.SEEK_CUR))
        tree.set_meta_of(fd, member)
    finally:
        os.close(fd)


def _directory(tree: tartree.Tree, parent: int, base: bytes, member: Member) -> None:
    try:
        os.mkdir(base, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(base, dir_fd=parent)
            os.mkdir(base, 0o700, dir_fd=parent)
    tree.set_meta(parent, base, member)


def _hard_link(tree: tartree.Tree, parent: int, base: bytes, member: Member) -> None:
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


def _whiteout(tree: tartree.Tree, parent: int, base: bytes, member: Member) -> None:
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
    threaded: see tarsource.Source. ImageError (damaged, hostile, wrong digest), StorageError (disk).
    """
    recorder = skeleton.Recorder(skeleton_fd) if skeleton_fd >= 0 else None
    keep = recorder.keep if recorder else None
    source = tarsource.Source(fd_in, media_type, progress, threaded=threaded)
    root = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    source.guard = lambda: _check_room(root)
    tree = tartree.Tree(root, single)
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


def _place_safely(tree: tartree.Tree, member: Member, stream: tarstream.TarStream) -> None:
    try:
        _place(tree, member, stream.data(member.size))
    except OSError as err:
        shown = show(member.name)
        if err.errno in (28, 122):
            raise StorageError(
                f"cannot unpack layer: {shown}",
                err.strerror or str(err),
                "free some disk space (pyman image prune), or move the store (XDG_DATA_HOME)",
                errno=err.errno,
            ) from err
        raise ImageError("cannot unpack layer", f"{shown}: {err.strerror or err}") from err

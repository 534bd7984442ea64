"""Unpack an archive into a directory that others use: cp, and whatever brings files into a volume. A confined child in U1.

The archive is as hostile as a layer. Unlike a layer's directory this one has files already: what is there is replaced by what
comes, but never a directory by something else or the other way without being asked; directories keep their attributes.
"""

from __future__ import annotations

import errno
import os
import stat

from pyman.errors import ImageError, StateError, StorageError
from pyman.linux import libc, trees
from pyman.storage import tarsource, tarsparse, tarstream, tartree, unpack
from pyman.storage.tarstream import Member, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Ids = Callable[[int, int], tuple[int, int]]


class Rules:
    """How members become files.

    owner: who gets them all, or None: their own owners, through `ids` where that is given; single: owners cannot be set.
    overwrite: a directory may be replaced by something else, and the other way. first: the name that takes the place of each
    member's first component; "" takes the component away, None leaves names as they are. plain: no set-user-ID bits and no
    capabilities are kept, for files that leave a container. own: a process of ours writes the archive, so that files may have holes.
    """

    __slots__ = ("first", "ids", "overwrite", "own", "owner", "plain", "single")

    def __init__(self) -> None:
        self.owner: tuple[int, int] | None = None
        self.ids: Ids | None = None
        self.overwrite = self.own = self.plain = self.single = False
        self.first: bytes | None = None


def put(fd: int, dest: int, rules: Rules, progress: Callable[[int], None] | None = None) -> list[str]:
    """Unpack the archive read from `fd` (plain, gzip or zstd) into the directory `dest`; what was left out, for the user to know.

    progress: told how many bytes of the archive are read.

    ImageError (damaged or hostile), StateError (something is in the way), StorageError (disk).
    """
    source = tarsource.Source(fd, "", progress, hashing=False)
    tree = tartree.Tree(dest, rules.single)
    old_mask = os.umask(0)
    try:
        stream = tarstream.TarStream(source.read, source.at_end, some=source.some, own=rules.own, sparse=not rules.own)
        for member in stream:
            tree.entries += 1
            if tree.entries > unpack.MAX_ENTRIES:
                raise ImageError("refused archive", f"it has more than {unpack.MAX_ENTRIES} entries")
            _put_safely(tree, member, source, stream, rules)
        tree.finish()
        source.finish()
    except ImageError as err:
        why = err.why.replace("the download was cut short or the layer is truncated", "it was cut short").replace(
            "the layer", "the archive"
        )
        raise ImageError(err.what.replace("layer", "archive"), why, err.hint) from err
    finally:
        os.umask(old_mask)
    if not tree.entries and not source.plain_size:
        raise ImageError("damaged archive", "it is empty: not even the end of an archive is there")
    return tree.notes


def _put_safely(tree: tartree.Tree, member: Member, source: tarsource.Source, stream: tarstream.TarStream, rules: Rules) -> None:
    shown = show(member.name)

    def write(fd: int) -> None:
        some = write_some if rules.own else write_data
        if not member.parts:
            some(fd, 0, member.size)
        for start, length in member.parts:
            some(fd, start, length)
        if member.parts or member.whole or not rules.own:
            os.ftruncate(fd, member.whole or member.size)

    def write_data(fd: int, start: int, left: int) -> None:
        """What another program has packed: noughts become holes."""
        while left:
            piece = stream.piece(left)
            tarsparse.put(fd, piece, start)
            start, left = start + len(piece), left - len(piece)

    def write_some(fd: int, start: int, left: int) -> None:
        if start:
            os.lseek(fd, start, os.SEEK_SET)
        while left:
            moved = source.move(fd, left)
            if moved:
                stream.absent(moved)
            else:
                view = memoryview(stream.piece(left))
                moved = len(view)
                while view:
                    view = view[os.write(fd, view) :]
            left -= moved

    try:
        _put(tree, member, write, rules)
    except OSError as err:
        hint = "free some disk space" if err.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StorageError(f"cannot write {shown}", os.strerror(err.errno or 0), hint, errno=err.errno or 0) from err


def _renamed(name: bytes, rules: Rules) -> bytes:
    """The name a member gets; empty for the directory itself."""
    name = tarstream.clean_name(name)
    if rules.first is None or not name:
        return name
    _, slash, rest = name.partition(b"/")
    return rules.first + (slash + rest if rules.first else rest)


def _put(tree: tartree.Tree, member: Member, write: Callable[[int], None], rules: Rules) -> None:
    member.name = _renamed(member.name, rules)
    if not member.name:
        return
    if member.type in "34":
        tree.note(f"device {show(member.name)} left out")
        return
    _adapt(member, rules)
    parent, base = tree.parent(member.name)
    if member.type == "5":
        if _make_directory(tree, parent, base, member, rules):
            fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            _set_meta(tree, fd, member)
            tree.set_time_later(member)
        return
    in_place = _make_way(tree, parent, base, member, rules)
    if member.type == "0":
        _write(tree, in_place, parent, base, member, write)
    elif member.type == "1":
        _link(tree, parent, base, member, rules)
    elif member.type == "2":
        os.symlink(member.link, base, dir_fd=parent)
        if not tree.single:
            os.chown(base, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(base, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent, follow_symlinks=False)
    else:
        os.mkfifo(base, 0o600, dir_fd=parent)
        _set_meta(tree, os.open(base, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent), member)


def _set_meta(tree: tartree.Tree, fd: int, member: Member) -> None:
    """Owner, mode, attributes, times of what was just made, by its descriptor, which is closed: the name may lead elsewhere by now."""
    try:
        tree.set_meta_of(fd, member)
    finally:
        os.close(fd)


def _adapt(member: Member, rules: Rules) -> None:
    """Owner, mode and attributes as the rules want them."""
    if rules.owner:
        member.uid, member.gid = rules.owner
    elif rules.ids:
        member.uid, member.gid = rules.ids(member.uid, member.gid)
    if rules.plain:
        member.mode &= 0o1777
        member.xattrs.pop("security.capability", None)


def _make_directory(tree: tartree.Tree, parent: int, base: bytes, member: Member, rules: Rules) -> bool:
    """Whether the directory is new. One that is there, also behind a symlink that stays inside, is used as it is."""
    try:
        os.mkdir(base, 0o700, dir_fd=parent)
        return True
    except FileExistsError:
        pass
    try:
        os.close(libc.openat2(tree.root, os.fsdecode(member.name), os.O_PATH | os.O_DIRECTORY))
        return False
    except OSError:
        if not rules.overwrite:
            raise _in_the_way(member, "there is a file of that name") from None
    _make_way(tree, parent, base, member, rules)
    os.mkdir(base, 0o700, dir_fd=parent)
    return True


def _in_the_way(member: Member, what: str) -> StateError:
    return StateError(f"cannot write {show(member.name)}", what, "use --overwrite to replace it")


def _make_way(tree: tartree.Tree, parent: int, base: bytes, member: Member, rules: Rules) -> int:
    """Remove what has the member's name. A descriptor of it if it is a regular file something is mounted on: it is written in place.

    What is mounted and devices stay. The kernel would let us remove the name below a mount of another mount namespace, such as a running
    container's, and takes the mount away with it.
    """
    in_place = _look(parent, base, member)
    if in_place >= 0:
        return in_place
    try:
        os.unlink(base, dir_fd=parent)
    except FileNotFoundError:
        pass
    except OSError as err:
        if err.errno not in (errno.EISDIR, errno.EPERM) or not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
        if not rules.overwrite:
            raise _in_the_way(member, "there is a directory of that name") from None
        trees.remove_tree(parent, os.fsdecode(base))
    return -1


def _look(parent: int, base: bytes, member: Member) -> int:
    """A descriptor for writing if what has the member's name is a mounted regular file, as the member is; -1 if it may be removed."""
    name, mounted = os.fsdecode(base), False
    try:
        fd = libc.openat2(parent, name, os.O_PATH | os.O_NOFOLLOW, 0, _NO_LINKS | libc.RESOLVE_NO_XDEV)
    except FileNotFoundError:
        return -1
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        mounted = True
        fd = libc.openat2(parent, name, os.O_PATH | os.O_NOFOLLOW, 0, _NO_LINKS)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise StateError(f"cannot write {show(member.name)}", "there is a device of that name", "choose another name")
        if not mounted:
            return -1
        if stat.S_ISREG(mode) and member.type == "0":
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    finally:
        os.close(fd)
    raise StateError(f"cannot write {show(member.name)}", "something is mounted at that name", "choose another name")


_NO_LINKS = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS | libc.RESOLVE_NO_SYMLINKS


def _write(tree: tartree.Tree, in_place: int, parent: int, base: bytes, member: Member, write: Callable[[int], None]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = in_place if in_place >= 0 else os.open(base, flags, 0o600, dir_fd=parent)
    try:
        write(fd)
    except BaseException:
        os.close(fd)
        raise
    if in_place >= 0:
        os.close(fd)
    else:
        _set_meta(tree, fd, member)


def _link(tree: tartree.Tree, parent: int, base: bytes, member: Member, rules: Rules) -> None:
    target = _renamed(member.link, rules)
    directory, _, name = target.rpartition(b"/")
    if not name:
        raise ImageError("refused archive", f"{show(member.name)} is a hard link to {show(member.link)}")
    try:
        source = libc.openat2(tree.root, os.fsdecode(directory) or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
    except FileNotFoundError as err:
        raise ImageError("damaged archive", f"{show(member.name)} is a hard link to {show(member.link)}, which does not exist") from err

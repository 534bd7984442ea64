"""Copy files between containers and the host, as an archive in a pipe between two children in U1. CLI process.

One child reads below the root of its side, the other unpacks below that of its own, confined to it; neither executes anything.
"""

from __future__ import annotations

import os
import select
import stat

from pyman import paths
from pyman.engine import cp_sides, root_access
from pyman.engine.cp_sides import Side
from pyman.errors import ImageError, PymanError, StorageError, UsageError
from pyman.linux import fs, libc
from pyman.rootless import userns
from pyman.state import fastjson
from pyman.storage import tarsink, tarwriter, untar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HEAD = 4096  # bytes before the archive that tell what comes: {"name", "directory", "content"}
_KERNEL = {fs.PROC_SUPER_MAGIC: "procfs", 0x62656572: "sysfs", 0x63677270: "cgroup2"}  # by linux/magic.h
_FULL = ("dev", "proc", "sys")  # the kernel's, where a whole root is copied


def copy(source: Side, dest: Side, *, archive: bool = True, overwrite: bool = False, warn: Callable[[str], None]) -> None:
    """Copy a file or directory; archive: in a container everything belongs to its primary user, else owners are kept.

    NoSuchObject, StateError (something is in the way), UsageError, StorageError.
    """
    same = source.container is not None and dest.container is not None and source.container.id == dest.container.id
    if same:
        _copy_within(source, dest, archive, overwrite, warn)
        return
    try:
        # Two stopped containers are locked in the order of their ids, so that copies back and forth do not wait for each other.
        for side in sorted((source, dest), key=lambda side: side.container.id if side.container is not None else ""):
            side.prepare()
        read_end, write_end = os.pipe()
        fs.widen_pipe(write_end)
        reading = writing = None
        try:
            reading = userns.start_call(lambda: _pack(source, write_end), "pyman:[cp]", (write_end, *_held(source)), source.join_fd)
            os.close(write_end)
            write_end = -1
            writing = userns.start_call(
                lambda: _unpack(dest, read_end, archive, overwrite), "pyman:[cp]", (read_end, *_held(dest)), dest.join_fd
            )
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
        _finish(reading, writing, warn)
    finally:
        source.release()
        dest.release()


def _held(side: Side) -> tuple[int, ...]:
    """The lock of a stopped container: it holds as long as its root is mounted, whoever is killed."""
    return (side.container.lock_fd,) if side.container is not None and side.container.lock_fd >= 0 else ()


def _finish(reading: userns.Call, writing: userns.Call, warn: Callable[[str], None]) -> None:
    """Wait for both; of two failures the cause is raised, not its consequence."""
    failures: list[PymanError] = []
    for call in (writing, reading):
        try:
            for text in call.finish():
                warn(text)
        except PymanError as err:
            failures.append(err)
    causes = [err for err in failures if err.errno != 32 and err.stage != "cut"]
    if failures:
        raise (causes or failures)[0]


def _copy_within(source: Side, dest: Side, archive: bool, overwrite: bool, warn: Callable[[str], None]) -> None:
    """From a container to itself: one after the other, by a file, so that a stopped one's root is not mounted twice."""
    os.makedirs(os.path.join(paths.graphroot(), "tmp"), 0o700, exist_ok=True)
    spool = os.open(os.path.join(paths.graphroot(), "tmp"), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        for side, body in ((source, lambda: _pack(source, spool)), (dest, lambda: _unpack(dest, spool, archive, overwrite))):
            try:
                side.prepare()
                for text in userns.start_call(body, "pyman:[cp]", (spool, *_held(side)), side.join_fd).finish():
                    warn(text)
            finally:
                side.release()
            os.lseek(spool, 0, os.SEEK_SET)
    finally:
        os.close(spool)


def to_stdout(source: Side, out_fd: int, warn: Callable[[str], None]) -> None:
    """Write the source as an archive to `out_fd`. NoSuchObject, StorageError."""
    try:
        source.prepare()
        call = userns.start_call(lambda: _pack(source, out_fd, head=False), "pyman:[cp]", (out_fd, *_held(source)), source.join_fd)
        for text in call.finish():
            warn(text)
    finally:
        source.release()


def from_stdin(dest: Side, in_fd: int, *, archive: bool, overwrite: bool, warn: Callable[[str], None]) -> None:
    """Unpack the archive read from `in_fd` into a directory of a container. UsageError if it is none; ImageError, StateError."""
    ready = select.poll()
    ready.register(in_fd, select.POLLIN)
    ready.poll()  # a stopped container is locked while its files are written, not while nobody has begun to send any
    try:
        dest.prepare()
        call = userns.start_call(
            lambda: _unpack(dest, in_fd, archive, overwrite, head=False), "pyman:[cp]", (in_fd, *_held(dest)), dest.join_fd
        )
        for text in call.finish():
            warn(text)
    finally:
        dest.release()


def _pack(source: Side, out_fd: int, head: bool = True) -> list[str]:
    """In U1: the archive of the source into out_fd; what was left out."""
    import _signal

    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)  # an error says more than a killed child
    root = source.open_root()
    try:
        fd = source.open(root, source.path)
    except OSError as err:
        raise cp_sides.not_found(source, err) from err
    _check_size_is_known(source, fd)
    info = os.fstat(fd)
    directory = stat.S_ISDIR(info.st_mode)
    content = directory and (source.path.rpartition("/")[2] in (".", "") and os.path.basename(source.path.rstrip("/")) in ("", "."))
    name = cp_sides.base_name(source, fd)
    left_out: list[str] = []
    sink = tarsink.FdSink(out_fd)
    _, inwards = root_access.id_maps(source.container) if source.container is not None else (None, None)
    writer = tarwriter.TreeWriter(sink, ids=inwards, note=left_out.append, holes=head)
    try:
        if head:
            sink.write(fastjson.dumps({"name": os.fsdecode(name), "directory": directory, "content": content}).encode().ljust(_HEAD))
        whole = source.container is not None and os.path.samestat(info, os.fstat(root))
        if directory:
            writer.tree(fd, b"" if content and not head else name, _FULL if whole else ())
        elif stat.S_ISSOCK(info.st_mode):
            raise UsageError(f"cannot copy {source.path}", "it is a socket")
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            raise UsageError(f"cannot copy {source.path}", "it is a device")
        else:
            writer.file(fd, name)
        writer.close()
    except BrokenPipeError as err:
        raise StorageError("cannot copy", "the other side has ended", errno=32) from err
    except OSError as err:
        if err.errno not in (fs.ENOSPC, fs.EDQUOT):
            raise
        raise fs.failure(f"cannot copy {source.path}", err, out_fd, "" if head else "stdout") from err
    return left_out[:20]


def _check_size_is_known(source: Side, fd: int) -> None:
    """An archive has a file's size before its content. The kernel's own files say 0, or a page, whatever they hold. UsageError.

    What has no place in any file system (a pipe by the name /dev/stdin) would come as one of its kind, with nobody at the other end.
    """
    if source.container is None and not os.readlink(f"/proc/self/fd/{fd}").startswith("/"):
        hint = f"cat {source.path} >FILE, and copy that; or give an archive: tar c FILES | pyman cp - CONTAINER:DIRECTORY"
        raise UsageError(f"cannot copy {source.path}", "it is a pipe or a socket, no file", hint)
    kind = _KERNEL.get(fs.magic(fd))
    if kind:
        file = f"{source.path.rstrip('/')}/FILE" if stat.S_ISDIR(os.fstat(fd).st_mode) else source.path
        hint = f"cat {file} >COPY, and copy that"
        if source.container is not None:
            hint = f"pyman exec {source.container.name} cat {file}"
        raise UsageError(f"cannot copy {source.path}", f"it is in the kernel's {kind}, whose files do not tell their size", hint)


def _unpack(dest: Side, in_fd: int, archive: bool, overwrite: bool, head: bool = True) -> list[str]:
    """In U1: the archive from in_fd to the destination; what was left out."""
    root = dest.open_root()
    rules = untar.Rules()
    rules.overwrite, rules.single, rules.own = overwrite, root_access.single_id(), head
    if dest.container is None:
        rules.owner, rules.plain = (0, 0), True  # in U1 that is the user
    else:
        outwards, _ = root_access.id_maps(dest.container)
        if archive:
            owner = root_access.owner_ids(dest.container, root)
            rules.owner = outwards(*owner) if outwards else owner
        else:
            rules.ids = outwards
    if head:
        place = cp_sides.place(dest, root, _read_head(in_fd), rules)
    else:
        place = cp_sides.directory(dest, root)
    _confine(place)
    try:
        return untar.put(in_fd, place, rules)
    except StorageError as err:
        if err.errno in (fs.ENOSPC, fs.EDQUOT):
            err.room = fs.room(place, f"container {dest.container.name}, {dest.path}" if dest.container else "")
        raise
    except ImageError as err:
        if not head and err.what.startswith("damaged"):
            raise UsageError("source must be a (compressed) tar archive when copying from stdin", err.why) from err
        if head:
            err.stage = "cut"  # the writing side knows why
        raise


def _confine(place: int) -> None:
    """Nothing but the destination can be written from here on."""
    from pyman.storage import workers

    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(libc.PR_SET_PDEATHSIG, 9)
    workers.confine([], [f"/proc/self/fd/{place}"])


def _read_head(fd: int) -> dict[str, Any]:
    data = b""
    while len(data) < _HEAD:
        more = os.read(fd, _HEAD - len(data))
        if not more:
            raise StorageError("cannot copy", "the other side has ended", stage="cut")
        data += more
    return dict(fastjson.loads(data))

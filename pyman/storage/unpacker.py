"""Workers that unpack layers inside the user namespace. CLI process forks them.

Beyond what confines every worker (workers.py), each layer is read by a child of the worker, which can write into that layer's own
directory and nowhere else.
"""

from __future__ import annotations

import _signal
import os

from pyman import paths, stages
from pyman.errors import PymanError
from pyman.linux import libc, process
from pyman.rootless import idmap
from pyman.state.lock import Lock
from pyman.storage import layers, sharing, skeleton, trash, unpack, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_STEP = 1 << 20  # bytes between two progress messages


class Worker(workers.Worker):
    """One worker process."""

    __slots__ = ()

    def __init__(self, single: bool, userns_fd: int) -> None:
        super().__init__(lambda fd, job, sock: _one(fd, job, single, sock), "unpack layer", places, userns_fd)

    def unpack(
        self,
        fd: int,
        job: dict[str, Any],
        progress: Callable[[int], None] | None = None,
        wanted: Callable[[list[list[int]], bool], None] | None = None,
    ) -> dict[str, Any]:
        """Unpack the layer read from `fd` into the staging directory job["path"], which goes if that fails; what is known of the layer.

        See unpack.unpack_layer for the other keys of `job`; "chunked": the layer is made by assemble.assemble, of which `wanted` is told the
        ranges that `fd` is to bring, and whether there are more.

        ImageError, StorageError. Blocks; call it from a thread of its own.
        """
        return self.ask(fd, job, progress, wanted)


class Unpacker:
    """A pool of workers; `take` and `give` are called from one thread each time a layer starts and ends."""

    __slots__ = ("free", "workers")

    def __init__(self, count: int) -> None:
        single = idmap.load_idmap().single
        sharing.how()
        self.workers = workers.several(count, lambda fd: Worker(single, fd))
        self.free = list(self.workers)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()


def places() -> tuple[list[str], list[str]]:
    """Where such a worker reads, and where it writes too: the store's directories of layers and of unfinished work."""
    store = [os.path.join(paths.graphroot(), name) for name in ("layers", "tmp", "trash")]
    for path in store:
        os.makedirs(path, 0o700, exist_ok=True)
    return [], store


def unpack_confined(fd: int, dest: str, *, keep: tuple[int, ...] = (), **job: Any) -> dict[str, Any]:
    """unpack.unpack_layer in a child that can write below `dest` only and reach no network socket of this process.

    keep: further descriptors that the child needs. ImageError, StorageError: whatever the child meets, the caller gets one of both.
    """
    read_end, write_end = os.pipe()

    def child() -> int:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        workers.confine([], [dest])
        answer = workers.answer_of(lambda: unpack.unpack_layer(fd, dest, **job), "unpack layer")
        workers.report(write_end, answer)
        return 0

    try:
        pid = process.fork(child, "pyman:[unpack]", (fd, write_end, *keep))
    finally:
        os.close(write_end)
    return workers.result(pid, read_end, "unpack layer")


def unpack_layer(fd: int, path: str, *, keep: tuple[int, ...] = (), share: bool = True, **job: Any) -> dict[str, Any]:
    """unpack_confined into a layer that is being made at `path`, with what it takes to make its tar again.

    share: store what other layers have, too, only once, where that is possible (sharing.py).
    """
    skeleton_fd = os.open(os.path.join(path, skeleton.NAME), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    diff = os.path.join(path, "diff")
    try:
        info = unpack_confined(fd, diff, keep=(skeleton_fd, *keep), skeleton_fd=skeleton_fd, **job)
    finally:
        os.close(skeleton_fd)
    shared = sharing.share(diff) if share else 0
    return {**info, **({"shared": shared} if shared else {})}


def _one(fd: int, job: dict[str, Any], single: bool, sock: Any) -> dict[str, Any]:
    from pyman.state import fastjson

    told = [0]

    def progress(done: int) -> None:
        if done - told[0] >= _STEP:
            told[0] = done
            sock.send(fastjson.dumps({"progress": done}).encode())

    path, chunked = str(job.pop("path")), job.pop("chunked", None)
    with Lock(path, shared=True):  # nobody sweeps it while this process lives, also if the command is killed
        try:
            if chunked:
                info = _assembled(fd, chunked, sock, path, single=single, **job)
            else:
                info = unpack_layer(fd, path, keep=(sock.fileno(),), single=single, progress=progress, **job)
        except BaseException:
            trash.discard(path)  # here, where files of all owners can be deleted
            raise
    stages.reach("pull:unpacked")
    return info


def _assembled(fd: int, chunked: dict[str, Any], sock: Any, path: str, **job: Any) -> dict[str, Any]:
    """unpack_layer of the tar that a child makes of files of other layers and of what is asked for by the socket. ImageError, StorageError."""
    from pyman.state import fastjson
    from pyman.storage import assemble

    plain, into = os.pipe()
    read_end, write_end = os.pipe()

    def ask(ranges: list[tuple[int, int]], more: bool) -> None:
        sock.send(fastjson.dumps({"wanted": ranges, "more": more}).encode())

    def made() -> dict[str, Any]:
        try:
            return assemble.assemble(fd, into, chunked, ask)
        except BrokenPipeError:
            return {}  # whoever unpacks has stopped, and says why

    def child() -> int:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
        workers.confine([layers.layers_dir()], [])
        workers.report(write_end, workers.answer_of(made, "assemble layer"))
        return 0

    try:
        pid = process.fork(child, "pyman:[assemble]", (fd, into, write_end, sock.fileno()))
    finally:
        os.close(write_end)
        os.close(into)
    info: dict[str, Any] = {}
    failure = None
    try:
        info = unpack_layer(plain, path, **job)
    except PymanError as err:
        failure = err
    finally:
        os.close(plain)  # a child that still writes notices
    workers.result(pid, read_end, "assemble layer")  # what it says is the cause
    if failure:
        raise failure
    return info

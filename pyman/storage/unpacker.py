"""Workers that unpack layers inside the user namespace, forked before the command starts any thread. CLI process forks them.

A worker has no network (an own, empty network namespace), no descriptors but its socket, no new privileges, executes
nothing, and where the kernel has Landlock it reads only what the interpreter needs and writes only where layers are made. Each
layer is read by a child of the worker, which can write into that layer's own directory and nowhere else.
"""

from __future__ import annotations

import _socket
import os
import sys

from pyman import errors, paths, stages
from pyman.errors import ImageError, PymanError, StorageError
from pyman.linux import landlock, libc, process
from pyman.rootless import idmap, userns
from pyman.storage import unpack
from pyman.storage.layers import Staging, has_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_STEP = 1 << 20  # bytes between two progress messages
_progress_fds: list[int] = []  # in a worker: its socket, which the child that unpacks one layer reports to


class Worker:
    """One worker process and the socket to it."""

    __slots__ = ("pid", "sock")

    def __init__(self, single: bool) -> None:
        self.sock, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self.pid = userns.fork_in_userns(lambda: _serve(theirs, single), "pyman:[unpack]", (theirs.fileno(),))
        theirs.close()

    def unpack(self, fd: int, job: dict[str, Any], progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Unpack the layer read from `fd` (see unpack.unpack_layer for the keys of `job`) and commit it to the store.

        ImageError, StorageError. Blocks; call it from a thread of its own.
        """
        from pyman.state import fastjson

        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        self.sock.sendmsg([fastjson.dumps(job).encode()], rights)
        while True:
            data = self.sock.recv(1 << 16)
            if not data:
                raise StorageError(
                    "cannot unpack layer", "the unpacking process was killed", "look for an out-of-memory kill in the kernel log"
                )
            answer = fastjson.loads(data)
            if "progress" in answer:
                if progress:
                    progress(answer["progress"])
            elif "error" in answer:
                raise errors.from_record(answer["error"])
            else:
                return dict(answer["layer"])

    def close(self) -> None:
        """End the worker."""
        self.sock.close()
        os.waitpid(self.pid, 0)


class Unpacker:
    """A pool of workers; `take` and `give` are called from one thread each time a layer starts and ends."""

    __slots__ = ("free", "workers")

    def __init__(self, count: int) -> None:
        single = idmap.load_idmap().single
        self.workers = [Worker(single) for _ in range(count)]
        self.free = list(self.workers)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()


def _serve(sock: Any, single: bool) -> int:
    """A worker's life: one layer after the other until the socket closes."""
    from pyman.state import fastjson

    libc.unshare(libc.CLONE_NEWNET)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(libc.PR_SET_PDEATHSIG, 9)  # an unpacker without its command has nobody to report to
    store = [os.path.join(paths.graphroot(), name) for name in ("layers", "tmp", "trash")]
    for path in store:
        os.makedirs(path, 0o700, exist_ok=True)
    confine(store)
    _progress_fds.append(sock.fileno())
    while True:
        data, ancillary, _, _ = sock.recvmsg(1 << 16, 64, _socket.MSG_CMSG_CLOEXEC)
        if not data:
            return 0
        fd = int.from_bytes(ancillary[0][2][:4], "little")
        job = fastjson.loads(data)
        try:
            answer: dict[str, Any] = {"layer": _one(fd, job, single, sock)}
        except PymanError as err:
            answer = {"error": err.to_record()}
        except OSError as err:
            answer = {
                "error": StorageError(
                    "cannot unpack layer", f"{err.filename or ''} {err.strerror or err}".strip(), errno=err.errno or 0
                ).to_record()
            }
        except Exception as err:  # a parser's bug on hostile input must end as a refused layer, not as a dead worker
            answer = {"error": ImageError("refused layer", f"it cannot be read: {type(err).__name__}: {err}").to_record()}
        os.close(fd)
        sock.send(fastjson.dumps(answer).encode())


def confine(places: list[str]) -> None:
    """Landlock: read what the interpreter and its libraries need, write below `places`, execute nothing."""
    landlock.restrict(["/usr", "/lib", "/lib64", "/proc", "/dev/null", *sys.path, os.path.dirname(os.__file__)], places)


def unpack_confined(fd: int, dest: str, **job: Any) -> dict[str, Any]:
    """unpack.unpack_layer in a child that can write below `dest` only and reach no network socket of this process.

    ImageError, StorageError: whatever the child meets, the caller gets one of both.
    """
    from pyman.state import fastjson

    read_end, write_end = os.pipe()

    def child() -> int:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        confine([dest])
        try:
            answer: dict[str, Any] = {"layer": unpack.unpack_layer(fd, dest, **job)}
        except PymanError as err:
            answer = {"error": err.to_record()}
        except OSError as err:
            text = f"{err.filename or ''} {err.strerror or err}".strip()
            answer = {"error": StorageError("cannot unpack layer", text, errno=err.errno or 0).to_record()}
        except Exception as err:  # a parser's bug on hostile input must end as a refused layer, not as a dead worker
            answer = {"error": ImageError("refused layer", f"it cannot be read: {type(err).__name__}: {err}").to_record()}
        with open(write_end, "wb") as pipe:
            pipe.write(fastjson.dumps(answer).encode())
        return 0

    keep = (fd, write_end, *_progress_fds)
    try:
        pid = process.fork(child, "pyman:[unpack]", keep)
    finally:
        os.close(write_end)
    with open(read_end, "rb") as pipe:
        data = pipe.read()
    process.wait(pid)
    if not data:
        raise StorageError("cannot unpack layer", "the unpacking process was killed", "look for an out-of-memory kill in the kernel log")
    answer = fastjson.loads(data)
    if "error" in answer:
        raise errors.from_record(answer["error"])
    return dict(answer["layer"])


def _one(fd: int, job: dict[str, Any], single: bool, sock: Any) -> dict[str, Any]:
    from pyman.state import fastjson

    told = [0]

    def progress(done: int) -> None:
        if done - told[0] >= _STEP:
            told[0] = done
            sock.send(fastjson.dumps({"progress": done}).encode())

    staging = Staging()
    try:
        info = unpack_confined(fd, staging.diff, single=single, progress=progress, **job)
        stages.reach("pull:unpacked")
        staging.commit(str(info["diff_id"]), info)
    except BaseException:
        if not has_layer(os.path.basename(staging.path)):
            staging.abandon()
        raise
    return info

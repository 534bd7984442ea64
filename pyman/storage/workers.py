"""Worker processes of one command, each doing one job at a time inside the user namespace. CLI process forks them.

They are forked before the command starts any thread. A worker has no network (an own, empty network namespace), no descriptors but its
socket, no new privileges, executes nothing, and where the kernel has Landlock it reads and writes only where its work is.
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys

from pyman import errors
from pyman.errors import ImageError, PymanError, StorageError
from pyman.linux import landlock, libc, process
from pyman.rootless import userns
from pyman.storage import decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Made = TypeVar("Made", bound="Worker")
    Action = Callable[[int, dict[str, Any], Any], dict[str, Any]]


class Worker:
    """One worker process and the socket to it. `action(fd, job, socket)` is what it does with each job."""

    __slots__ = ("_what", "pid", "sock")

    def __init__(self, action: Action, what: str, places: Callable[[], tuple[list[str], list[str]]], userns_fd: int = -1) -> None:
        self._what = what
        decompress.prepare()
        self.sock, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        self.pid = userns.fork_in_userns(
            lambda: _serve(theirs, action, what, places), f"pyman:[{what.split(' ')[0]}]", (theirs.fileno(),), userns_fd
        )
        theirs.close()

    def ask(
        self,
        fd: int,
        job: dict[str, Any],
        progress: Callable[[int], None] | None = None,
        wanted: Callable[[list[list[int]], bool], None] | None = None,
    ) -> dict[str, Any]:
        """Have a job done with the descriptor `fd`; its answer. ImageError, StorageError. Blocks; call it from a thread of its own.

        progress, wanted: told what the worker says meanwhile (how far it is; see Worker.unpack of unpacker.py).
        """
        from pyman.state import fastjson

        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
        self.sock.sendmsg([fastjson.dumps(job).encode()], rights)
        while True:
            data = self.sock.recv(1 << 16)
            if not data:
                raise StorageError(
                    f"cannot {self._what}", "the process that does it was killed", "look for an out-of-memory kill in the kernel log"
                )
            answer = fastjson.loads(data)
            if "progress" in answer:
                if progress:
                    progress(answer["progress"])
            elif "wanted" in answer:
                if wanted:
                    wanted(answer["wanted"], answer["more"])
            elif "error" in answer:
                raise errors.from_record(answer["error"])
            else:
                return dict(answer["done"])

    def close(self) -> None:
        """End the worker; in the middle of its work where the command is being interrupted: it may wait for a line that is silent."""
        self.sock.close()
        if sys.exc_info()[0] is KeyboardInterrupt:
            os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)


def several(count: int, make: Callable[[int], Made]) -> list[Made]:
    """`count` workers in one user namespace, which takes longer to make than a worker; `make` is given its descriptor. RootlessError."""
    userns_fd = userns.obtain()
    try:
        return [make(userns_fd) for _ in range(count)]
    finally:
        if userns_fd >= 0:
            os.close(userns_fd)


def confine(read: list[str], write: list[str]) -> None:
    """Landlock: read what the interpreter and its libraries need and `read`, write below `write`, execute nothing."""
    landlock.restrict(["/usr", "/lib", "/lib64", "/proc", "/dev/null", *sys.path, os.path.dirname(os.__file__), *read], write)


def answer_of(action: Callable[[], dict[str, Any]], what: str) -> dict[str, Any]:
    """What an action returns, or the error it ends in, as data: whatever hostile input does, the caller gets one of both."""
    try:
        return {"done": action()}
    except PymanError as err:
        return {"error": err.to_record()}
    except OSError as err:
        text = f"{err.filename or ''} {err.strerror or err}".strip()
        return {"error": StorageError(f"cannot {what}", text, errno=err.errno or 0).to_record()}
    except Exception as err:  # a parser's bug on hostile input must end as a refused layer, not as a dead worker
        return {"error": ImageError("refused layer", f"it cannot be read: {type(err).__name__}: {err}").to_record()}


def _serve(sock: Any, action: Action, what: str, places: Callable[[], tuple[list[str], list[str]]]) -> int:
    """A worker's life: one job after the other until the socket closes."""
    import gc

    from pyman.state import fastjson

    # The command's garbage may hold sockets of a registry, whose numbers are closed here, and given to other files soon: never collect it.
    gc.freeze()

    libc.unshare(libc.CLONE_NEWNET)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(libc.PR_SET_PDEATHSIG, 9)  # a worker without its command has nobody to report to
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)  # a reader that goes away ends the job, not the worker
    confine(*places())
    while True:
        data, ancillary, _, _ = sock.recvmsg(1 << 16, 64, _socket.MSG_CMSG_CLOEXEC)
        if not data:
            return 0
        fd = int.from_bytes(ancillary[0][2][:4], "little")
        job = fastjson.loads(data)
        answer = answer_of(lambda fd=fd, job=job: action(fd, job, sock), what)  # type: ignore[misc]
        os.close(fd)
        sock.send(fastjson.dumps(answer).encode())


def report(fd: int, answer: dict[str, Any]) -> None:
    """In a child that does one thing: its answer, for `result`."""
    from pyman.state import fastjson

    with open(fd, "wb") as pipe:
        pipe.write(fastjson.dumps(answer).encode())


def result(pid: int, fd: int, what: str) -> dict[str, Any]:
    """What the child `pid` reported to the pipe `fd`, once it has ended; its error is raised. ImageError, StorageError."""
    from pyman.state import fastjson

    with open(fd, "rb") as pipe:
        data = pipe.read()
    process.wait(pid)
    if not data:
        raise StorageError(f"cannot {what}", "the process that does it was killed", "look for an out-of-memory kill in the kernel log")
    answer = fastjson.loads(data)
    if "error" in answer:
        raise errors.from_record(answer["error"])
    return dict(answer["done"])

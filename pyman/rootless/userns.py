"""Entering the user namespace: that of a living container of this user, else a new one. CLI process forks who enters.

Every container's processes live in a user namespace U1 in which the caller is uid 0; there is no pause process: the
monitors keep it alive, and the first command afterwards makes a new one.
"""

from __future__ import annotations

import os

from pyman import errors, paths
from pyman.errors import PymanError, RootlessError
from pyman.linux import libc, process
from pyman.rootless import namespaces
from pyman.rootless.idmap import IdMap, load_idmap
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MARK = "PYMAN_USERNS"  # environment: inode of the user namespace that pyman made; inherited by the clean-up command


def in_userns() -> bool:
    """Whether this process already runs in a user namespace made by pyman."""
    mark = os.environ.get(_MARK)
    return bool(mark) and mark == str(os.stat("/proc/self/ns/user").st_ino)


def _hint_path() -> str:
    return os.path.join(paths.runroot(), "userns.json")


def remember(pid: int, started: int, idmap: IdMap, brief: bool) -> None:
    """Note a monitor whose user namespace later commands may join. brief: it is expected to end soon.

    A brief one that has itself joined a noted one's leaves that note: many short runs beside a long one all join the long one's.
    """
    if not (brief and _joining):
        store.write_json(_hint_path(), {"pid": pid, "start": started, "map": idmap.key()})


def living(idmap: IdMap) -> int:
    """A descriptor of a living monitor's user namespace with the map `idmap`, or -1."""
    try:
        hint = store.read_json(_hint_path())
    except PymanError:
        return -1
    if not hint or hint.get("map") != idmap.key():
        return -1
    pid, started = hint.get("pid", 0), hint.get("start", 0)
    return userns_of(pid, started) if isinstance(pid, int) and isinstance(started, int) else -1


def userns_of(pid: int, started: int) -> int:
    """A descriptor of the user namespace of process (pid, started), or -1 if it has ended."""
    try:
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
    # The pid may have been recycled between the note and the open: believe it only after the open. Our own
    # namespace (a recycled pid, or root) must never be taken for a container's.
    if process.alive(pid, started) and (in_userns() or os.fstat(fd).st_ino != os.stat("/proc/self/ns/user").st_ino):
        return fd
    os.close(fd)
    return -1


def join(fd: int) -> None:
    """Join user namespace `fd` and become uid 0 in it. The calling process must have one thread."""
    _pin_paths()
    libc.setns(fd, libc.CLONE_NEWUSER)
    _become_root()


def _pin_paths() -> None:
    """Inside U1 the caller's uid is 0: who it is and where things lie must not be worked out from it again."""
    os.environ["PYMAN_CALLER"] = "{}:{}".format(*paths.caller())
    os.environ["PYMAN_GRAPHROOT"], os.environ["PYMAN_RUNROOT"] = paths.graphroot(), paths.runroot()


def _become_root() -> None:
    os.environ[_MARK] = str(os.stat("/proc/self/ns/user").st_ino)
    try:
        os.setgroups([])
    except PermissionError:
        pass  # single-id mode: setgroups is denied for good in such a namespace
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _private_mounts(keep_slave: bool = True) -> None:
    """The mount namespace's own copy of the tree: host mounts still arrive, ours never leave."""
    libc.mount(None, "/", None, libc.MS_REC | (libc.MS_SLAVE if keep_slave else libc.MS_PRIVATE))


_holder: namespaces.Holder | None = None
_joining = False  # a living container's namespace


def begin() -> None:
    """For a command that is going to start a container: have the namespaces made from now on. Waits for nothing."""
    global _holder, _joining
    if _holder is None and not in_userns():
        idmap = load_idmap()
        fd = living(idmap)
        _joining = fd >= 0
        try:
            _holder = namespaces.begin(idmap, fd, ahead=True)
        finally:
            if fd >= 0:
                os.close(fd)


def claim() -> tuple[int, int]:
    """Descriptors of the user and the network namespace made since `begin` (-1: none). RootlessError, MissingProgram."""
    if _holder is None:
        return -1, -1
    try:
        namespaces.claim(_holder)
    except BaseException:
        release()
        raise
    return _holder.userns_fd, _holder.netns_fd


def release() -> None:
    """Give up what `begin` made, or has under way."""
    global _holder
    holder, _holder = _holder, None
    if holder:
        namespaces.release(holder)


def fork_in_userns(body: Callable[[], int], name: str, keep: tuple[int, ...] = (), join_fd: int = -1) -> int:
    """Fork a child that runs `body` as uid 0 of U1, with all capabilities there, in a mount namespace of its own.

    join_fd: user namespace to join instead of any living one. Returns the child's pid. RootlessError, MissingProgram.
    """
    if in_userns():
        return process.fork(lambda: _own_mounts(body), name, keep)
    if join_fd >= 0:
        return process.fork(lambda: _joined(join_fd, body), name, (*keep, join_fd))
    fd = obtain()
    try:
        return process.fork(lambda: _joined(fd, body), name, (*keep, fd))
    finally:
        os.close(fd)


def obtain() -> int:
    """A descriptor of U1, to be closed: that of a living container, or a new one that lives as long as the descriptor or a process in it.

    -1 if this process is in U1. RootlessError, MissingProgram.
    """
    if in_userns():
        return -1
    idmap = load_idmap()
    fd = living(idmap)
    if fd >= 0:
        return fd
    holder = namespaces.begin(idmap)
    try:
        return os.dup(namespaces.claim(holder).userns_fd)
    finally:
        namespaces.release(holder)


def _own_mounts(body: Callable[[], int]) -> int:
    libc.unshare(libc.CLONE_NEWNS)
    _private_mounts()
    return body()


def _joined(fd: int, body: Callable[[], int]) -> int:
    join(fd)
    os.close(fd)
    return _own_mounts(body)


def call_in_userns(
    body: Callable[..., Any],
    name: str = "pyman:[userns]",
    keep: tuple[int, ...] = (),
    progress: Callable[[int], None] | None = None,
    join_fd: int = -1,
) -> Any:
    """Run `body` in a child inside U1 and return its JSON-able result; its PymanError is raised here.

    keep, join_fd: as in `start_call`. With `progress`, `body` gets a function; what it calls that with is passed on.
    """
    return start_call(body, name, keep, join_fd, tells=progress is not None).finish(progress)


class Call:
    """A child inside U1 at work; `finish` waits for its result."""

    __slots__ = ("_fd", "_pid")

    def __init__(self, pid: int, fd: int) -> None:
        self._pid = pid
        self._fd = fd

    def finish(self, progress: Callable[[int], None] | None = None) -> Any:
        """The JSON-able result of its body; what the body raised is raised here."""
        data = b""
        with open(self._fd, "rb", buffering=0) as pipe:
            while True:
                more = pipe.read(1 << 16)
                if not more:
                    break
                data += more
                while progress and data.startswith(b'{"progress":') and b"\n" in data:
                    line, _, data = data.partition(b"\n")
                    progress(fastjson.loads(line)["progress"])
        code = process.wait(self._pid)
        if not data:
            raise RootlessError("a helper process in the user namespace ended without an answer", f"exit code {code}")
        message = fastjson.loads(data)
        if "error" in message:
            raise errors.from_record(message["error"])
        return message["result"]


def start_call(
    body: Callable[..., Any], name: str = "pyman:[userns]", keep: tuple[int, ...] = (), join_fd: int = -1, tells: bool = False
) -> Call:
    """Begin to run `body` in a child inside U1, or in the user namespace `join_fd`; it keeps the descriptors `keep`.

    tells: `body` gets a function to report numbers with, for `finish`.
    """
    read_end, write_end = os.pipe()

    def tell(done: int) -> None:
        os.write(write_end, f'{{"progress":{done}}}\n'.encode())

    def child() -> int:
        try:
            message: dict[str, Any] = {"result": body(tell) if tells else body()}
        except PymanError as err:
            message = {"error": err.to_record()}
        except OSError as err:
            message = {"error": _os_error_record(err)}
        with open(write_end, "wb") as pipe:
            pipe.write(fastjson.dumps(message).encode())
        return 0

    try:
        pid = fork_in_userns(child, name, (write_end, *keep), join_fd)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return Call(pid, read_end)


def _os_error_record(err: OSError) -> dict[str, object]:
    """An OSError that left a body, as the record of a StorageError."""
    where = f" {err.filename}" if err.filename else ""
    return errors.StorageError(f"file operation failed{where}", err.strerror or str(err), errno=err.errno or 0).to_record()

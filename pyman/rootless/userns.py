"""Entering the user namespace: joined from a living container of this user, else created. CLI process forks it.

Every container's processes live in a user namespace U1 in which the caller is uid 0; there is no pause process: the
monitors keep it alive, and the first command afterwards makes a new one.
"""

from __future__ import annotations

import os

from pyman import errors, paths
from pyman.errors import MissingProgram, PymanError, RootlessError
from pyman.linux import libc, process
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


def remember(pid: int, started: int, idmap: IdMap) -> None:
    """Note a monitor whose user namespace later commands may join."""
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
    if process.alive(pid, started) and os.fstat(fd).st_ino != os.stat("/proc/self/ns/user").st_ino:
        return fd
    os.close(fd)
    return -1


def join(fd: int) -> None:
    """Join user namespace `fd` and become uid 0 in it. The calling process must have one thread."""
    _pin_paths()
    libc.setns(fd, libc.CLONE_NEWUSER)
    _become_root()


def _pin_paths() -> None:
    """Inside U1 the caller's uid is 0: where things lie must not be worked out from it again."""
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


def fork_in_userns(body: Callable[[], int], name: str, keep: tuple[int, ...] = (), join_fd: int = -1) -> int:
    """Fork a child that runs `body` as uid 0 of U1, with all capabilities there, in a mount namespace of its own.

    join_fd: user namespace to join instead of any living one. Returns the child's pid. RootlessError, MissingProgram.
    """
    if in_userns():
        return process.fork(lambda: _own_mounts(body), name, keep)
    if join_fd >= 0:
        return process.fork(lambda: _joined(join_fd, body), name, (*keep, join_fd))
    idmap = load_idmap()
    fd = living(idmap)
    if fd >= 0:
        try:
            return process.fork(lambda: _joined(fd, body), name, (*keep, fd))
        finally:
            os.close(fd)
    return _fork_new(idmap, body, name, keep)


def _own_mounts(body: Callable[[], int]) -> int:
    libc.unshare(libc.CLONE_NEWNS)
    _private_mounts()
    return body()


def _joined(fd: int, body: Callable[[], int]) -> int:
    join(fd)
    os.close(fd)
    return _own_mounts(body)


def _fork_new(idmap: IdMap, body: Callable[[], int], name: str, keep: tuple[int, ...]) -> int:
    """Create U1: the child unshares, the parent has its maps written, then the child goes on."""
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()

    def child() -> int:
        _pin_paths()
        try:
            libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
        except OSError as err:
            os.write(ready_w, b"%d" % (err.errno or 1))
            return 125
        os.write(ready_w, b"ok")
        os.close(ready_w)
        if os.read(go_r, 1) != b"g":  # EOF: the parent failed or was killed
            return 125
        os.close(go_r)
        _become_root()
        _private_mounts()
        return body()

    pid = process.fork(child, name, (*keep, ready_w, go_r))
    os.close(ready_w)
    os.close(go_r)
    try:
        answer = os.read(ready_r, 16)
        if answer != b"ok":
            os.waitpid(pid, 0)
            raise unshare_error(int(answer or b"0"))
        try:
            write_maps(pid, idmap)
        except BaseException:
            os.close(go_w)
            go_w = -1
            os.waitpid(pid, 0)
            raise
        os.write(go_w, b"g")
        return pid
    finally:
        os.close(ready_r)
        if go_w >= 0:
            os.close(go_w)


def unshare_error(number: int) -> RootlessError:
    """Why unshare(CLONE_NEWUSER) failed with errno `number`, with the setting that forbids it."""
    why = os.strerror(number)
    hint = "pyman doctor tells which setting forbids it"
    limit = store.read_text("/proc/sys/user/max_user_namespaces", 64) or ""
    if limit.strip() == "0":
        why, hint = "user.max_user_namespaces is 0", "as root: sysctl -w user.max_user_namespaces=28633"
    elif (store.read_text("/proc/sys/kernel/unprivileged_userns_clone", 64) or "").strip() == "0":
        why, hint = "kernel.unprivileged_userns_clone is 0", "as root: sysctl -w kernel.unprivileged_userns_clone=1"
    elif (store.read_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 64) or "").strip() == "1":
        why += " (AppArmor restricts unprivileged user namespaces)"
        hint = "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return RootlessError("cannot create a user namespace", why, hint, stage="userns", errno=number)


def write_maps(pid: int, idmap: IdMap) -> None:
    """Write uid_map and gid_map of `pid`'s new user namespace from outside. RootlessError, MissingProgram."""
    mapper = os.environ.get("PYMAN_MAPPER_FD")
    if mapper:
        from pyman.rootless import asroot  # root's calls only

        asroot.request_map(int(mapper), pid)
        return
    if idmap.single:
        for file, text in (("setgroups", "deny"), ("uid_map", f"0 {os.getuid()} 1"), ("gid_map", f"0 {os.getgid()} 1")):
            try:
                with open(f"/proc/{pid}/{file}", "w") as out:
                    out.write(text)
            except OSError as err:
                raise RootlessError(
                    "cannot map your user into the user namespace", f"writing {file}: {err.strerror}", "see: pyman doctor", stage="userns"
                ) from err
        return
    # Both helpers run at the same time: each costs more than a millisecond.
    helpers = [_spawn_helper(tool, pid, ranges) for tool, ranges in (("newuidmap", idmap.uids), ("newgidmap", idmap.gids))]
    failure = None
    for tool, child, stderr in helpers:
        with open(stderr, "rb") as pipe:
            text = pipe.read().decode(errors="replace").strip()
        if process.wait(child) != 0 and failure is None:
            failure = RootlessError(
                "cannot map the subordinate ids into the user namespace",
                f"{tool} failed: {text or 'no message'}",
                f"check that {tool} is setuid root or has its file capability (reinstall the package uidmap), and the ranges in /etc/subuid and /etc/subgid; see: pyman doctor",
                stage="userns",
            )
    if failure is not None:
        raise failure


def _spawn_helper(tool: str, pid: int, ranges: list[tuple[int, int, int]]) -> tuple[str, int, int]:
    path = next((f"{d}/{tool}" for d in (os.environ.get("PATH") or os.defpath).split(":") if d and os.access(f"{d}/{tool}", os.X_OK)), None)
    if path is None:
        raise MissingProgram(
            f"cannot find the program {tool}",
            "it maps your subordinate ids into the container",
            "as root: apt-get install uidmap",
            stage="userns",
        )
    read_end, write_end = os.pipe()
    argv = [tool, str(pid), *(str(n) for item in ranges for n in item)]
    actions = [(os.POSIX_SPAWN_DUP2, write_end, 2), (os.POSIX_SPAWN_DUP2, write_end, 1)]
    child = os.posix_spawn(path, argv, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, file_actions=actions)
    os.close(write_end)
    return tool, child, read_end


def call_in_userns(body: Callable[[], Any], name: str = "pyman:[userns]") -> Any:
    """Run `body` in a child inside U1 and return its JSON-able result; its PymanError is raised here."""
    read_end, write_end = os.pipe()

    def child() -> int:
        try:
            message: dict[str, Any] = {"result": body()}
        except PymanError as err:
            message = {"error": err.to_record()}
        except OSError as err:
            message = {"error": _os_error_record(err)}
        with open(write_end, "wb") as pipe:
            pipe.write(fastjson.dumps(message).encode())
        return 0

    try:
        pid = fork_in_userns(child, name, (write_end,))
    except BaseException:
        os.close(read_end)
        os.close(write_end)
        raise
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        data = pipe.read()
    code = process.wait(pid)
    if not data:
        raise RootlessError("a helper process in the user namespace ended without an answer", f"exit code {code}")
    message = fastjson.loads(data)
    if "error" in message:
        raise errors.from_record(message["error"])
    return message["result"]


def _os_error_record(err: OSError) -> dict[str, object]:
    """An OSError that left a body, as the record of a StorageError."""
    where = f" {err.filename}" if err.filename else ""
    return errors.StorageError(f"file operation failed{where}", err.strerror or str(err), errno=err.errno or 0).to_record()

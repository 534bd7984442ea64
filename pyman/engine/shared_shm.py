"""/dev/shm of the container whose ipc namespace another one joins: POSIX shared memory lies there. Process C; such containers only."""

from __future__ import annotations

import os

from pyman.errors import StateError
from pyman.linux import libc, passing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan

_EXDEV = 18


def mount(plan: Plan) -> None:
    """Mount it where the spec binds it from; a container without one (--ipc none) gives none. StateError."""
    place = os.path.join(plan.container.run_dir, "shm")
    tree = _copy(plan.shm_owner)
    if tree < 0:
        plan.spec["mounts"] = [entry for entry in plan.spec["mounts"] if entry["source"] != place]
        return
    os.makedirs(place, 0o700, exist_ok=True)
    libc.move_mount(tree, libc.AT_FDCWD, "", place, libc.MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)


def _copy(mount_ns: int) -> int:
    """A detached copy of what is mounted there, or -1. A mount is copied by who lives in its mount namespace: a child goes there. StateError."""
    answer, tree = passing.from_child(lambda theirs: _child(mount_ns, theirs), "pyman:[shm]", (mount_ns,))
    if answer not in (b"mounted", b"none"):
        why = answer.decode(errors="replace") or "the process that looks for it was killed"
        raise StateError("cannot share /dev/shm of the container whose ipc namespace is joined", why)
    return tree


def _child(mount_ns: int, sock: Any) -> int:
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # a container with the host's processes could look into this one
    try:
        libc.setns(mount_ns, libc.CLONE_NEWNS)
        tree = _tree()
    except OSError as err:
        sock.send(str(err).encode())
        return 0
    if tree < 0:
        sock.send(b"none")
    else:
        passing.send(sock, tree, b"mounted")
    return 0


def _tree() -> int:
    """In that mount namespace, whose "/" is this process's: the copy, or -1 where nothing is mounted. OSError."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    resolve = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS | libc.RESOLVE_NO_SYMLINKS
    try:
        devices = libc.openat2(root, "dev", os.O_PATH | os.O_DIRECTORY, 0, resolve)
        try:
            os.close(libc.openat2(devices, "shm", os.O_PATH | os.O_DIRECTORY, 0, resolve | libc.RESOLVE_NO_XDEV))
            return -1  # a directory of /dev itself
        except OSError as err:
            if err.errno != _EXDEV:
                raise
        place = libc.openat2(devices, "shm", os.O_PATH | os.O_DIRECTORY, 0, resolve)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return libc.open_tree(place, "", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH)

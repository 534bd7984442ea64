"""Mount with fuse-overlayfs, by a daemon that ends with its mount. Any process in U1 with a mount namespace of its own."""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.errors import StorageError
from pyman.linux import fs, libc, passing, process
from pyman.storage.driver import FUSE
from pyman.storage.overlay import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.storage.overlay import Shift

_WHAT = "cannot mount the container's root with fuse-overlayfs"


def mount(program: str, lowers: list[str], upper: str, work: str, merged: str, read_only: bool, uids: Shift, gids: Shift) -> None:
    """Mount layers (bottom first) below `upper` at `merged`. StorageError with what the program said.

    A daemon whose own mount namespace has the mount would keep both alive. So it starts in a namespace of its own, from which the mount is
    taken: it ends when the mount has gone here, whoever was killed, since the kernel then ends its session.
    """
    options = ["lowerdir=" + ":".join(escape(lower) for lower in reversed(lowers))]
    if not read_only:
        options += [f"upperdir={escape(upper)}", f"workdir={escape(work)}"]
    for key, shift in (("uidmapping", uids), ("gidmapping", gids)):
        if shift:
            options.append(f"{key}=" + ":".join(f"{image}:{inside}:{count}" for image, count, inside in shift))
    argv = [program, "-o", ",".join(options), merged]
    if not _can_move(merged):
        _start(argv)
        return
    # Nothing of it depends on this process: once begun, it also undoes the mount of who was killed meanwhile.
    text, tree = passing.from_child(lambda theirs: _starter(argv, theirs), "pyman:[fuse]")
    if tree < 0:
        raise StorageError(
            _WHAT, text.decode(errors="replace") or "it was killed", "check /dev/fuse (mode 0666), and fuse-overlayfs --version"
        )
    try:
        libc.move_mount(tree, libc.AT_FDCWD, "", merged, libc.MOVE_MOUNT_F_EMPTY_PATH)
    except OSError as err:
        raise StorageError(_WHAT, err.strerror or str(err)) from err
    finally:
        os.close(tree)


def _can_move(path: str) -> bool:
    """Whether mounts can be passed on by descriptor (Linux 5.2)."""
    try:
        os.close(libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE))
        return True
    except OSError:
        return False


def _starter(argv: list[str], theirs: Any) -> int:
    """In a process of its own: have the daemon mount in another mount namespace, and send a copy of the mount."""
    try:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
        _leave_others()
        _start(argv)
        merged = argv[-1]
        tree = libc.open_tree(libc.AT_FDCWD, merged, libc.OPEN_TREE_CLONE)
        libc.umount2(merged, libc.MNT_DETACH)
        passing.send(theirs, tree)
        return 0
    except StorageError as err:
        theirs.send(err.why.encode()[:4000])
    except OSError as err:
        theirs.send(f"{err.strerror or err}".encode()[:4000])
    return 1


def _leave_others() -> None:
    """The other mounts of this kind, of containers in a shell of `unshare`, are not to live as long as this daemon."""
    store = os.path.realpath(paths.graphroot()) + "/"
    for place in reversed(fs.mounted_places("fuse.fuse-overlayfs")):
        if place.startswith(store):
            libc.umount2(place, libc.MNT_DETACH)


def _start(argv: list[str]) -> None:
    """Run the program until its mount is there and it has gone to the background. StorageError."""
    merged = argv[-1]
    before = os.stat(merged).st_dev
    read_end, write_end = os.pipe()

    def body() -> int:
        # The daemon must not keep the caller's pipes open, nor die with its terminal.
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(write_end, 2)
        os.close(write_end)
        os.execv(argv[0], [FUSE, *argv[1:]])

    pid = process.fork(body, "fuse-overlayfs", (write_end,))
    os.close(write_end)
    code = process.wait(pid)
    with open(read_end, "rb") as pipe:
        if code != 0:
            text = pipe.read(4096).decode(errors="replace").strip()
            raise StorageError(_WHAT, text or f"exit code {code}", "check /dev/fuse (mode 0666), and fuse-overlayfs --version")
    deadline = time.monotonic() + 30
    while os.stat(merged).st_dev == before and time.monotonic() < deadline:
        time.sleep(0.001)
    if os.stat(merged).st_dev == before:
        raise StorageError(_WHAT, "it ended well, and nothing is mounted", "fuse-overlayfs --version")

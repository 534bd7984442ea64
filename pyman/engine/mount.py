"""Mount containers' files in the mount namespace of `pyman unshare`. CLI process, which is uid 0 of the user namespace there.

What is mounted is read from the kernel's own list, so nothing can be forgotten: the mounts end with the last process in it.
"""

from __future__ import annotations

import os

from pyman.engine import launch, lost_root, root_access
from pyman.engine.container import RUNNING, Container
from pyman.engine.container_list import list_containers
from pyman.errors import StateError, UsageError
from pyman.linux import fs, libc, passing, process
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def require_inside(verb: str, what: str = "CONTAINER") -> None:
    """UsageError outside `pyman unshare`: a mount would end with this command."""
    if not userns.in_userns():
        raise UsageError(
            f'cannot run command "pyman {verb}" in rootless mode, must execute `pyman unshare` first',
            "only in a user namespace may a user mount, and what is mounted there ends with it",
            f"pyman unshare sh -c 'ls $(pyman {verb.replace('unmount', 'mount')} {what})'",
        )


def place(container: Container) -> str:
    """Where a container's files are mounted."""
    config = container.config
    return str(config["rootfs"]) if config["rootfs"] and not config.get("rootfs_overlay") else os.path.join(container.dir, "merged")


def mounted() -> list[Container]:
    """The containers whose files are mounted here."""
    here = fs.mounted_places()
    return [container for container in list_containers() if os.path.realpath(place(container)) in here]


def mount_container(container: Container) -> str:
    """Mount a container's files, without its volumes, and return where; one that is mounted here stays as it is. StorageError, StateError."""
    with container:
        path = place(container)
        if path == container.config["rootfs"] or os.path.realpath(path) in fs.mounted_places():
            return path
        if container.state["status"] in RUNNING:
            _take_root(container, path)
        else:
            made = root_access.bare_plan(container)
            for name in ("upper", "work", "merged"):
                os.makedirs(os.path.join(container.dir, name), 0o755 if name == "upper" else 0o700, exist_ok=True)
            launch.mount_rootfs(made)
        container.event("mount")
        return path


def _take_root(container: Container, path: str) -> None:
    """The root of a running container without its mounts, taken from its mount namespace: mounting its layers again would be another
    file system over the same directories. StateError."""
    state = container.state

    def body(theirs: Any) -> int:
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        try:
            fd = os.open(f"/proc/{state['pid']}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if not process.alive(state["pid"], state["pid_start"]):
                return 1
            libc.setns(fd, libc.CLONE_NEWNS)
            tree = libc.open_tree(libc.AT_FDCWD, "/", libc.OPEN_TREE_CLONE)
        except OSError as err:
            theirs.send(str(err.strerror).encode())
            return 1
        passing.send(theirs, tree)
        return 0

    if lost_root.found(container):
        raise lost_root.error(container, "mount")
    data, tree = passing.from_child(body, "pyman:[mount]")
    if tree < 0:
        raise StateError(
            f"cannot mount container {container.name}",
            data.decode(errors="replace") or "it ended just now",
            "it may live in another user namespace than this shell: leave pyman unshare, and enter it again",
        )
    try:
        libc.move_mount(tree, libc.AT_FDCWD, "", path, libc.MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def unmount_container(container: Container, *, force: bool = False) -> None:
    """Unmount a container's files; one that is not mounted here is fine. StateError if something is in use there."""
    with container:
        path = place(container)
        if path == container.config["rootfs"] or os.path.realpath(path) not in fs.mounted_places():
            return
        try:
            libc.umount2(path, libc.MNT_DETACH if force else 0)
        except OSError as err:
            raise StateError(
                f"cannot unmount container {container.name}",
                f"{path}: {os.strerror(err.errno or 0)}",
                "leave its directories, or use --force",
            ) from err
        container.event("unmount")


def described(containers: list[Container]) -> list[dict[str, Any]]:
    """As Podman's JSON lists them."""
    return [{"id": container.id, "Names": [container.name], "mountpoint": place(container)} for container in containers]

"""Mount a container's root from its layers, with either driver. Process C, inside U1 and its own mount namespace."""

from __future__ import annotations

import os

from pyman.errors import StorageError
from pyman.linux import fs, libc
from pyman.storage import additional
from pyman.storage.driver import FUSE, Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    Shift = list[tuple[int, int, int]]

_PAGE = 4000  # mount(2) takes one page of options


def mount_rootfs(
    driver: Driver,
    lowers: list[str],
    upper: str,
    work: str,
    merged: str,
    *,
    read_only: bool = False,
    volatile: bool = True,
    uid_shift: Shift | None = None,
    gid_shift: Shift | None = None,
) -> None:
    """Mount layers (bottom first) below `upper` at `merged`; it disappears with the caller's mount namespace.

    volatile: the kernel need not sync the upper directory: its content is worth no more than the container.
    uid_shift, gid_shift: (image id, count, id in U1) for containers with an own user namespace: needs fuse-overlayfs.
    StorageError names the layer that is missing or what the kernel said.
    """
    for lower in lowers:
        if not os.path.isdir(lower):
            diff_id = os.path.basename(os.path.dirname(lower))
            raise StorageError(
                f"cannot mount the image's layer {diff_id[:12]}",
                additional.missing("it is missing from the store"),
                "pull the image again; that mends it",
                stage="layer",
            )
    if not lowers:
        os.makedirs(os.path.join(os.path.dirname(upper), "empty"), exist_ok=True)
        lowers = [os.path.join(os.path.dirname(upper), "empty")]
    if uid_shift or gid_shift or driver.name == FUSE:
        from pyman.storage import fuse  # where the kernel's overlay does not do

    if uid_shift or gid_shift:
        if not driver.fuse_program:
            raise StorageError(
                "cannot shift the image's ids for this user namespace",
                "the kernel's overlay cannot do it without privileges, and fuse-overlayfs is not installed",
                "as root: apt-get install fuse-overlayfs",
            )
        fuse.mount(driver.fuse_program, lowers, upper, work, merged, read_only, uid_shift or [], gid_shift or [])
    elif driver.name == FUSE:
        fuse.mount(driver.program, lowers, upper, work, merged, read_only, [], [])
    else:
        _mount_kernel(lowers, upper, work, merged, read_only, volatile)


def _mount_kernel(lowers: list[str], upper: str, work: str, merged: str, read_only: bool, volatile: bool) -> None:
    # Relative names keep the option string short: 60 layers of 64 digits fit the page.
    base = os.path.dirname(os.path.dirname(lowers[0]))
    try:
        where = os.getcwd()
    except FileNotFoundError:
        where = "/"  # the caller's directory was removed under it
    top_first = [
        escape(lower[len(base) + 1 :] if lower.startswith(f"{base}/") else os.path.relpath(lower, base)) for lower in reversed(lowers)
    ]
    try:
        os.chdir(base)
        if read_only and len(top_first) == 1:
            libc.mount(lowers[0], merged, None, libc.MS_BIND)
            libc.mount_setattr(libc.AT_FDCWD, merged, 0, attr_set=1)
            return
        writable = [] if read_only else [("upperdir", upper), ("workdir", work)]
        if volatile and writable:
            _forget_volatile(work)
        options = ["userxattr", "lowerdir=" + ":".join(top_first), *(f"{key}={escape(value)}" for key, value in writable)]
        text = ",".join(options + (["volatile"] if volatile and writable else []))
        if len(text) < _PAGE:
            libc.mount("overlay", merged, "overlay", 0, text)
        else:
            fs.mount_overlay(merged, top_first, writable, volatile and not read_only)
    except OSError as err:
        raise StorageError(
            "cannot mount the container's root",
            f"the kernel's overlay says: {err.strerror or err}",
            'set [storage] driver = "fuse-overlayfs" in containers.toml',
            errno=err.errno or 0,
        ) from err
    finally:
        try:
            os.chdir(where)
        except OSError:
            os.chdir("/")  # it was removed since, or this user may not go there: a caller that became another user


def _forget_volatile(work: str) -> None:
    """After a volatile mount the kernel refuses the next one until this mark is gone: a crash might have lost data.

    What could be lost is a container's own writes at a power failure; Podman's rootless default is the same.
    """
    mark = os.path.join(work, "work", "incompat", "volatile")
    try:
        os.unlink(os.path.join(mark, "dirty"))
        os.rmdir(mark)
    except OSError:
        pass


def escape(path: str) -> str:
    """A path as it stands in the options of either overlay."""
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")

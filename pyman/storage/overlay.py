"""Mount a container's root from its layers, with either driver. Process C, inside U1 and its own mount namespace."""

from __future__ import annotations

import os
import time

from pyman.errors import StorageError
from pyman.linux import fs, libc, process
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
            )
    if not lowers:
        os.makedirs(os.path.join(os.path.dirname(upper), "empty"), exist_ok=True)
        lowers = [os.path.join(os.path.dirname(upper), "empty")]
    if uid_shift or gid_shift:
        if not driver.fuse_program:
            raise StorageError(
                "cannot shift the image's ids for this user namespace",
                "the kernel's overlay cannot do it without privileges, and fuse-overlayfs is not installed",
                "as root: apt-get install fuse-overlayfs",
            )
        _mount_fuse(driver.fuse_program, lowers, upper, work, merged, read_only, uid_shift or [], gid_shift or [])
    elif driver.name == FUSE:
        _mount_fuse(driver.program, lowers, upper, work, merged, read_only, [], [])
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
        _escape(lower[len(base) + 1 :] if lower.startswith(f"{base}/") else os.path.relpath(lower, base)) for lower in reversed(lowers)
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
        options = ["userxattr", "lowerdir=" + ":".join(top_first), *(f"{key}={_escape(value)}" for key, value in writable)]
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


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _mount_fuse(program: str, lowers: list[str], upper: str, work: str, merged: str, read_only: bool, uids: Shift, gids: Shift) -> None:
    options = ["lowerdir=" + ":".join(_escape(lower) for lower in reversed(lowers))]
    if not read_only:
        options += [f"upperdir={_escape(upper)}", f"workdir={_escape(work)}"]
    for key, shift in (("uidmapping", uids), ("gidmapping", gids)):
        if shift:
            options.append(f"{key}=" + ":".join(f"{image}:{inside}:{count}" for image, count, inside in shift))
    before = os.stat(merged).st_dev
    read_end, write_end = os.pipe()

    def body() -> int:
        # The daemon must not keep the caller's pipes open, nor die with its terminal.
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(write_end, 2)
        os.close(write_end)
        os.execv(program, [FUSE, "-o", ",".join(options), merged])

    pid = process.fork(body, "fuse-overlayfs", (write_end,))
    os.close(write_end)
    code = process.wait(pid)  # it goes to the background once it is mounted
    if code == 0:
        os.close(read_end)
        deadline = time.monotonic() + 30
        while os.stat(merged).st_dev == before and time.monotonic() < deadline:
            time.sleep(0.001)
        if os.stat(merged).st_dev == before:
            raise StorageError(
                "cannot mount the container's root with fuse-overlayfs", "it ended well, and nothing is mounted", "fuse-overlayfs --version"
            )
        return
    with open(read_end, "rb") as pipe:
        text = pipe.read(4096).decode(errors="replace").strip()
    raise StorageError(
        "cannot mount the container's root with fuse-overlayfs",
        text or f"exit code {code}",
        "check /dev/fuse (mode 0666), and fuse-overlayfs --version",
    )

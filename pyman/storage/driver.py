"""Which overlay: the kernel's own where it really works, else fuse-overlayfs. Probed by doing, cached. CLI process."""

from __future__ import annotations

import os
import stat

from pyman import paths
from pyman.errors import StorageError
from pyman.linux import libc
from pyman.state import cache
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OVERLAY, FUSE = "overlay", "fuse-overlayfs"
_PLACES = ("/usr/bin", "/usr/local/bin", "/bin")


class Driver:
    """A usable driver: its name, its program (fuse-overlayfs only), and why it was chosen."""

    __slots__ = ("fuse_program", "name", "program", "reason")

    def __init__(self, name: str, program: str, reason: str, fuse_program: str = "") -> None:
        self.name = name
        self.program = program
        self.reason = reason
        self.fuse_program = fuse_program  # for id shifts, which the kernel's overlay cannot do without privileges


def find_program(conf: dict[str, Any]) -> str:
    """Path of fuse-overlayfs: [storage] mount_program, else the usual places; empty if there is none."""
    configured = str(conf["storage"].get("mount_program") or "")
    if configured:
        return configured if os.access(configured, os.X_OK) else ""
    return next((f"{place}/{FUSE}" for place in _PLACES if os.access(f"{place}/{FUSE}", os.X_OK)), "")


def choose_driver(conf: dict[str, Any]) -> Driver:
    """The driver for this machine and store. StorageError, with what to install, if none works."""
    wanted = str(os.environ.get("PYMAN_STORAGE_DRIVER") or conf["storage"].get("driver") or "")
    if wanted not in ("", OVERLAY, FUSE):
        raise StorageError(
            f"cannot use storage driver {wanted!r}", "it must be overlay or fuse-overlayfs", "correct [storage] driver in containers.toml"
        )
    fuse = find_program(conf)
    if conf["storage"].get("mount_program") and not wanted:
        wanted = FUSE
    if wanted == FUSE:
        _check_fuse(fuse, conf)
        return Driver(FUSE, fuse, "chosen by configuration", fuse)
    problem = _kernel_problem()
    if not problem:
        return Driver(OVERLAY, "", "chosen by configuration" if wanted else "the kernel's overlay works in a user namespace here", fuse)
    if wanted == OVERLAY:
        raise StorageError("cannot use the kernel's overlay", problem, 'set [storage] driver = "fuse-overlayfs"')
    _check_fuse(fuse, conf, problem)
    return Driver(FUSE, fuse, f"the kernel's overlay does not work here: {problem}", fuse)


def _check_fuse(program: str, conf: dict[str, Any], kernel_problem: str = "") -> None:
    because = f" (and the kernel's overlay does not work: {kernel_problem})" if kernel_problem else ""
    if not program:
        name = conf["storage"].get("mount_program") or FUSE
        raise StorageError(f"cannot find {name}", f"no such program{because}", "as root: apt-get install fuse-overlayfs")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as err:
        raise StorageError(
            "cannot use fuse-overlayfs", f"/dev/fuse: {err.strerror}{because}", "as root: modprobe fuse; chmod 0666 /dev/fuse"
        ) from err


def _kernel_problem() -> str:
    """Empty if the kernel's overlay works for this store, else why not. The answer is cached per kernel, store and user."""
    root = paths.graphroot()
    key = f"{os.uname().release} {os.stat(root).st_dev} {paths.caller()[0]}"
    cached = cache.get("overlay.json", key)
    if cached is not None:
        return str(cached)
    from pyman.rootless import userns

    problem = str(userns.call_in_userns(lambda: probe(root)))
    cache.put("overlay.json", key, problem)
    return problem


def probe(root: str) -> str:
    """Mount an overlay over the store's file system, white a file out, look at the result. Runs in U1."""
    from pyman.storage import trash

    base = os.path.join(root, "tmp", f"probe-{os.urandom(6).hex()}")
    os.makedirs(os.path.dirname(base), 0o700, exist_ok=True)
    with Lock(os.path.dirname(base), shared=True):
        os.mkdir(base, 0o700)
        lock = Lock(base)
        lock.acquire()
    try:
        for name in ("lower", "upper", "work", "merged"):
            os.makedirs(os.path.join(base, name))
        with open(os.path.join(base, "lower", "file"), "w"):
            pass
        os.chdir(base)
        libc.mount("overlay", "merged", "overlay", 0, "userxattr,lowerdir=lower,upperdir=upper,workdir=work")
        os.unlink("merged/file")
        info = os.lstat("upper/file")
        libc.umount2("merged")
        if not stat.S_ISCHR(info.st_mode) or info.st_rdev != 0:
            return "it writes whiteouts of another kind"
        os.setxattr("upper", "user.overlay.opaque", b"y")
        return ""
    except OSError as err:
        if err.errno == 28:
            raise  # a full disk says nothing about the kernel, and must not be remembered as if it did
        return f"{err.strerror or err}"
    finally:
        os.chdir("/")
        lock.release()
        trash.remove_tree(base)

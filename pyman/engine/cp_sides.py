"""The two sides of a copy: what is locked for them, and where in their roots a path leads. CLI process and its children in U1."""

from __future__ import annotations

import os
import stat

from pyman.engine import root_access
from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchObject, PymanError, StateError, UsageError
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.storage import untar

_LINKS = 40  # symbolic links on the way to a file that is to be made, as the kernel has it


class Side:
    """One side of a copy: `container` (None: the host) and the path as the user wrote it; `plan` for a stopped container."""

    __slots__ = ("container", "join_fd", "path", "plan")

    def __init__(self, container: Container | None, path: str) -> None:
        self.container = container
        self.path = path
        self.join_fd = -1
        self.plan: Any = None

    def prepare(self) -> None:
        """Outside the user namespace: lock and plan a stopped container, pin the namespace of a running one."""
        if self.container is None:
            return
        self.container.__enter__()
        if self.container.state["status"] in RUNNING:
            self.container.unlock()
            self.join_fd = root_access.join_fd(self.container)
        else:
            self.plan = root_access.plan(self.container)

    def release(self) -> None:
        """Give lock and namespace back."""
        if self.container is not None:
            self.container.unlock()
        if self.join_fd >= 0:
            os.close(self.join_fd)

    def open_root(self) -> int:
        """In U1: the directory that the path is resolved below."""
        if self.container is None:
            return os.open("/" if self.path.startswith("/") else ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return root_access.open_running(self.container) if self.plan is None else root_access.mount(self.plan)

    def open(self, root: int, path: str, flags: int = os.O_PATH) -> int:
        """Open a path: the container's below its root, whatever its links say. OSError."""
        if self.container is None:
            return os.open(path.lstrip("/") or "." if path.startswith("/") else path, flags | os.O_CLOEXEC, dir_fd=root)
        path = path if path.startswith("/") else f"{root_access.workdir(self.container)}/{path}"
        return libc.openat2(root, path.lstrip("/") or ".", flags)

    def where(self) -> str:
        """For messages."""
        return "the host" if self.container is None else f"container {self.container.name}"


def base_name(source: Side, fd: int) -> bytes:
    """The name under which the source comes: its own, in a container after its symbolic links; never empty."""
    path = source.path.rstrip("/")
    while path.endswith("/."):
        path = path[:-2].rstrip("/")
    base = os.path.basename(path)
    if source.container is not None or base in ("", ".", ".."):
        base = os.path.basename(os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)"))
    return os.fsencode(base or "root")


def not_found(side: Side, err: OSError) -> PymanError:
    """The error for a path that a side does not have."""
    return NoSuchObject(f'"{side.path}" could not be found on {side.where()}', os.strerror(err.errno or 2).lower())


def directory(dest: Side, root: int) -> int:
    """The directory that an archive from stdin goes into. UsageError."""
    try:
        return dest.open(root, dest.path, os.O_PATH | os.O_DIRECTORY)
    except OSError as err:
        raise UsageError("destination must be a directory when copying from stdin", f"{dest.path}: {err.strerror}") from err


def place(dest: Side, root: int, head: dict[str, Any], rules: untar.Rules) -> int:
    """The directory that the source goes into; `rules` get to know under which name."""
    name: bytes | None = None
    path = dest.path
    for _ in range(_LINKS):
        try:
            fd = dest.open(root, path)
            break
        except OSError as err:
            if path.endswith("/") or err.errno != 2:
                raise not_found(dest, err) from err
        # It is to be made: in its directory, or, for a symbolic link that leads nowhere, where that leads.
        parent, _, last = path.rpartition("/")
        parent = parent or ("/" if path.startswith("/") else ".")
        try:
            fd = dest.open(root, parent, os.O_PATH | os.O_DIRECTORY)
        except OSError as err:
            raise not_found(dest, err) from err
        name = os.fsencode(last)
        if last in (".", ".."):
            raise not_found(dest, OSError(2, "No such file or directory"))
        try:
            link = os.readlink(last, dir_fd=fd)
        except OSError:
            break
        os.close(fd)
        path, name = link if link.startswith("/") else f"{parent}/{link}", None
    else:
        raise not_found(dest, OSError(40, "Too many levels of symbolic links"))
    mode = os.fstat(fd).st_mode
    if name is None and dest.container is None and not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise UsageError(f"invalid destination {dest.path!r}", "it is neither a directory nor a regular file", "- is an archive on stdout")
    if name is None and not stat.S_ISDIR(mode):
        if head["directory"]:
            raise StateError("destination must be a directory when copying a directory", f"{dest.path} is none on {dest.where()}")
        os.close(fd)
        return _beside(dest, root, path, rules)
    if name is not None:
        rules.first = name
    elif head["content"]:
        rules.first = b""
    return fd


def _beside(dest: Side, root: int, path: str, rules: untar.Rules) -> int:
    """The directory of an existing file that is replaced, and its name there, after its symbolic links."""
    for _ in range(_LINKS):
        parent, _, last = path.rpartition("/")
        parent = parent or ("/" if path.startswith("/") else ".")
        fd = dest.open(root, parent, os.O_PATH | os.O_DIRECTORY)
        try:
            link = os.readlink(last, dir_fd=fd)
        except OSError:
            rules.first = os.fsencode(last)
            return fd
        os.close(fd)
        path = link if link.startswith("/") else f"{parent}/{link}"
    raise not_found(dest, OSError(40, "Too many levels of symbolic links"))

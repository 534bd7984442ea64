"""A module `os` without its Python half, until somebody needs that. Installed by the programs' __main__ only, before all else.

`import os` takes 1.5 to 1.9 ms, a tenth of an exec: the abstract classes of collections for one mapping, and path functions for every
case. Nearly all that hot commands call are the kernel's calls, which the C module `posix` has. Here `os` is a module with these
names and a few small ones of its own. The first name that is not among them loads the real module, whose names then replace
these in the same module object: who has imported it before gets them too. (No annotations of __future__ here: that is a file to read.)
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_CODE = sys.getfilesystemencoding()
_os = type(sys)("os")
_path = type(sys)("os.path")


def join(first: str, *rest: str) -> str:
    """As posixpath.join."""
    path = first
    for part in rest:
        if type(path) is not str or type(part) is not str:
            return str(load().path.join(first, *rest))
        if part.startswith("/") or not path:
            path = part
        else:
            path += part if path.endswith("/") else "/" + part
    return path


def dirname(path: str) -> str:
    """As posixpath.dirname."""
    if type(path) is not str:
        return str(load().path.dirname(path))
    head = path[: path.rfind("/") + 1]
    return head.rstrip("/") or head


def basename(path: str) -> str:
    """As posixpath.basename."""
    return path[path.rfind("/") + 1 :] if type(path) is str else str(load().path.basename(path))


def split(path: str) -> tuple[str, str]:
    """As posixpath.split."""
    return dirname(path), basename(path)


def abspath(path: str) -> str:
    """As posixpath.abspath."""
    if type(path) is str and path[:2] != "//":
        parts = [part for part in (path if path[:1] == "/" else join(posix.getcwd(), path)).split("/") if part not in ("", ".")]
        if ".." not in parts:
            return "/" + "/".join(parts)
    return str(load().path.abspath(path))


def samestat(one: posix.stat_result, other: posix.stat_result) -> bool:
    """As posixpath.samestat."""
    return one.st_ino == other.st_ino and one.st_dev == other.st_dev


def makedirs(name: str, mode: int = 0o777, exist_ok: bool = False) -> None:
    """As os.makedirs."""
    try:
        try:
            posix.mkdir(name, mode)
        except FileNotFoundError:
            parent = dirname(name)
            if parent in ("", name):
                raise
            makedirs(parent, exist_ok=True)
            posix.mkdir(name, mode)
    except OSError:
        if not exist_ok or not isdir(name):
            raise


def exists(path: str | int) -> bool:
    """As posixpath.exists."""
    try:
        posix.stat(path)
    except (OSError, ValueError):
        return False
    return True


def isdir(path: str | int) -> bool:
    """As posixpath.isdir."""
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except (OSError, ValueError):
        return False


def fsencode(name: str | bytes) -> bytes:
    """As os.fsencode."""
    path = posix.fspath(name)
    return path.encode(_CODE, "surrogateescape") if isinstance(path, str) else path


def fsdecode(name: str | bytes) -> str:
    """As os.fsdecode."""
    path = posix.fspath(name)
    return path if isinstance(path, str) else path.decode(_CODE, "surrogateescape")


class Environment(dict[str, str]):
    """os.environ: a change is one of the process's environment too."""

    def __setitem__(self, name: str, value: str) -> None:
        posix.putenv(name, value)
        super().__setitem__(name, value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        posix.unsetenv(name)

    def pop(self, name: str, *default: "Any") -> "Any":
        """As dict.pop."""
        if name in self:
            posix.unsetenv(name)
        return super().pop(name, *default)

    def setdefault(self, name: str, value: str = "") -> str:
        """As dict.setdefault."""
        if name not in self:
            self[name] = value
        return self[name]

    def update(self, *args: "Any", **names: str) -> None:
        """As dict.update."""
        for name, value in dict(*args, **names).items():
            self[name] = value

    def clear(self) -> None:
        """As dict.clear."""
        for name in list(self):
            del self[name]


def load() -> "ModuleType":
    """The real module; its names take the place of the lean ones."""
    if "__getattr__" not in _os.__dict__:
        import os  # this module, or the real one where this is not installed

        return os
    ours = _os.__dict__["environ"]
    del _os.__dict__["__getattr__"], sys.modules["os"]
    try:
        import os as real
    finally:
        sys.modules["os"] = _os
    # It has the environment of the interpreter's start.
    for name in [name for name in real.environ if name not in ours]:
        del real.environ[name]
    for name, value in ours.items():
        if real.environ.get(name) != value:
            real.environ[name] = value
    _os.__dict__.update(real.__dict__)
    _path.__dict__.update(real.path.__dict__)
    return _os


def _missing(name: str) -> "Any":
    """The module's __getattr__."""
    return getattr(load(), name)


def _missing_path(name: str) -> "Any":
    """That of os.path."""
    return getattr(load().path, name)


def install() -> None:
    """Make this module `os`, unless the real one is there already."""
    if "os" in sys.modules:
        return
    names = _os.__dict__
    names.update({name: value for name, value in posix.__dict__.items() if name[:2] != "__"})
    names.update(
        name="posix", sep="/", error=OSError, path=_path, fsencode=fsencode, fsdecode=fsdecode, makedirs=makedirs, __getattr__=_missing
    )
    names["environ"] = Environment({fsdecode(name): fsdecode(value) for name, value in posix.environ.items()})
    names = _path.__dict__
    names.update(
        join=join, dirname=dirname, basename=basename, split=split, abspath=abspath, samestat=samestat, exists=exists, isdir=isdir, sep="/"
    )
    names["__getattr__"] = _missing_path
    sys.modules.update({"os": _os, "os.path": _path})

"""Put Quadlet files into the user's folder: files, directories, collections (.quadlets), addresses. CLI process."""

from __future__ import annotations

import errno
import os
import stat

from pyman.errors import NameInUse, PymanError, StorageError, UsageError
from pyman.linux import libc
from pyman.systemd import manager, names
from pyman.systemd.quadlet import installed, keys, sources
from pyman.systemd.unitfile import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECTIONS = {f"[{keys.section(kind)}]": kind for kind in (*keys.KINDS, *keys.LATER)}


class File:
    """One file to install: its name in the folder, its content, where it came from, and its mode."""

    __slots__ = ("content", "mode", "name", "origin")

    def __init__(self, name: str, content: bytes, origin: str, mode: int) -> None:
        self.name = name
        self.content = content
        self.origin = origin
        self.mode = mode


def install(given: list[str], replace: bool) -> tuple[list[str], list[PymanError]]:
    """Install the first file, directory, collection or address, and the further files that belong to it.

    The paths written, and an error for each file that could not be. UsageError, StorageError.
    """
    folder = sources.own_folder()
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
    except OSError as err:
        raise StorageError(f"cannot make {folder}", err.strerror or str(err)) from err
    files, application, errors = _collect(given)
    main = [file for file in files if keys.kind_of(file.name)]
    if not errors and not main:
        raise UsageError(f"cannot install {given[0]}", "it is no Quadlet file", f"names of such files end in {_endings()}")
    # What is there already belongs to somebody else, and stays when these are removed.
    new = [file.name for file in files if replace or not os.path.lexists(os.path.join(folder, file.name))]
    if application and new:
        installed.add_to_list(folder, application, new)
    elif any(name != files[0].name for name in new):
        installed.add_to_list(folder, f".{files[0].name}.asset", [name for name in new if name != files[0].name])
    written = []
    for file in files:
        try:
            written.append(_write(folder, file, replace))
        except PymanError as err:
            errors.append(err)
    return written, errors


def _endings() -> str:
    return ", ".join("." + kind for kind in keys.KINDS)


def _collect(given: list[str]) -> tuple[list[File], str, list[PymanError]]:
    """(the files, the list of their application if they are one, errors)."""
    files: list[File] = []
    errors: list[PymanError] = []
    application = ""
    for index, origin in enumerate(given):
        try:
            if origin.startswith(("http://", "https://")):
                files.append(_fetch(origin))
            elif os.path.isdir(origin):
                if index:
                    raise UsageError(f"cannot install {origin}", "a directory can only be the first argument")
                application = f".{os.path.basename(os.path.abspath(origin))}.app"
                files += [_read(name, origin) for name in sorted(os.listdir(origin)) if not os.path.isdir(os.path.join(origin, name))]
            elif origin.endswith(".quadlets"):
                application = application or f".{os.path.basename(origin)[:-9]}.app"
                files += _parts(_read(origin))
            else:
                files.append(_read(origin))
                if index == 0 and not keys.kind_of(files[0].name):
                    raise UsageError(f"cannot install {origin}", "it is no Quadlet file", f"names of such files end in {_endings()}")
        except PymanError as err:
            errors.append(err)
    return (files if files and not (errors and len(given) == 1) else []), application, errors


def _read(name: str, directory: str = "") -> File:
    """A file; with `directory` one in there, whose links do not lead out of it: somebody else may have put them together."""
    path = os.path.join(directory, name)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if directory:
            place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = libc.openat2(place, name, flags, 0, libc.RESOLVE_BENEATH | libc.RESOLVE_NO_MAGICLINKS)
            finally:
                os.close(place)
        else:
            fd = os.open(path, flags)
        with open(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise StorageError(f"cannot install {path}", "it is not a regular file")
            return _checked(os.path.basename(path), file.read(LARGEST + 1), path, info.st_mode & 0o644)
    except OSError as err:
        if err.errno == errno.EXDEV:
            raise StorageError(
                f"cannot install {path}", f"it is a link that leads out of {directory}", "install that file by itself"
            ) from err
        raise StorageError(f"cannot read {path}", err.strerror or str(err)) from err


def _checked(name: str, content: bytes, origin: str, mode: int = 0o644) -> File:
    if len(content) > LARGEST:
        raise StorageError(f"cannot install {origin}", f"it is larger than {LARGEST >> 10} KiB")
    if not name.isprintable() or not name or "/" in name or name.startswith(".") or (keys.kind_of(name) and not names.valid(name)):
        raise UsageError(f"cannot install {origin}", f"a file cannot be called {name!r}", "use letters, digits and :-_.\\@")
    return File(name, content, origin, mode)


def _fetch(address: str) -> File:
    """The file at an address of the web; only such addresses are followed."""
    import urllib.error
    import urllib.parse
    import urllib.request

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    try:
        with opener.open(address, timeout=60) as answer:
            if address.startswith("https:") and not answer.geturl().startswith("https:"):
                raise StorageError(f"cannot fetch {address}", f"it leads to {answer.geturl()[:200]}, which anybody on the way can change")
            name = answer.headers.get_filename() or os.path.basename(urllib.parse.urlsplit(answer.geturl()).path)
            return _checked(name, answer.read(LARGEST + 1), address)
    except (OSError, ValueError) as err:
        raise StorageError(f"cannot fetch {address}", str(getattr(err, "reason", "") or err)) from err


def _parts(file: File) -> list[File]:
    """The files of a collection: divided by lines of ---, each with a comment `# FileName=NAME`, its kind by its section."""
    found: list[File] = []
    for text in _divided(file.content.decode("utf-8", "surrogateescape")):
        name = kind = ""
        for line in text.split("\n"):
            stripped = line.strip()
            comment = stripped[1:].strip() if stripped.startswith("#") else ""
            name = comment[9:].strip() if comment.startswith("FileName=") and not name else name
            kind = kind or _SECTIONS.get(stripped, "")
        if not name or not kind:
            lacking = "a comment # FileName=NAME" if not name else "a section that tells its kind, such as [Container]"
            raise UsageError(f"cannot install {file.origin}", f"part {len(found) + 1} lacks {lacking}")
        found.append(_checked(f"{name}.{kind}", text.encode("utf-8", "surrogateescape"), f"{file.origin}#{name}", file.mode))
    return found


def _divided(text: str) -> list[str]:
    parts = [""]
    for line in text.split("\n"):
        if line.strip() == "---":
            parts.append("")
        else:
            parts[-1] += line + "\n"
    return [part.rstrip("\n") + "\n" for part in parts if part.strip()]


def _write(folder: str, file: File, replace: bool) -> str:
    """Complete or not at all; without `replace` nothing that is there is touched."""
    path = os.path.join(folder, file.name)
    scratch = os.path.join(folder, f".{file.name}.{os.getpid()}.new")
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, file.mode | 0o200)
        with open(fd, "wb") as out:
            out.write(file.content)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            os.rename(scratch, path)
        else:
            try:
                os.link(scratch, path)
            finally:
                os.unlink(scratch)
    except FileExistsError:
        raise NameInUse(f"cannot install {file.origin}", f"{path} exists", "use --replace to write it anew") from None
    except OSError as err:
        raise StorageError(f"cannot write {path}", err.strerror or str(err)) from err
    return path


def apply(reload: bool) -> list[str]:
    """Make the units of what the folder holds now: by the generator, or where there is none by hand. Warnings. StorageError, StateError."""
    warnings = []
    if not installed.has_generator():
        installed.refresh_units()
        warnings.append(
            f"pyman's generator is not installed, so that the units were written into {installed.unit_folder()};"
            " after a change of a file: pyman quadlet install --replace FILE"
        )
    if reload and manager.running():
        manager.reload()
    elif reload:
        warnings.append("this user has no service manager now: the units are there at the next login (loginctl enable-linger keeps one)")
    return warnings


def problems(paths: list[str]) -> list[Any]:
    """What is wrong with installed files: their units fail with it."""
    from pyman.engine import quadlet_check

    found = []
    for path in paths:
        if keys.kind_of(os.path.basename(path)):
            found += quadlet_check.check_file(path).problems
    return found

"""Atomic JSON files: a reader sees the old content or the new, never half of one. Any process."""

from __future__ import annotations

import os

from pyman.errors import StorageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Kinds = dict[str, type | tuple[type, ...]]  # a key of an object -> what its value is

_MAX_STATE = 64 << 20  # bytes; nothing pyman writes comes near


def open_file(path: str, follow: bool = False) -> int:
    """A descriptor of a file that is to be read, or -1 if it does not exist. StorageError if it is no file, or closed to us.

    follow: see `read_text`.
    """
    try:
        # (A FIFO would make us wait.)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except FileNotFoundError:
        return -1
    except OSError as err:
        raise StorageError(f"cannot read {path}", err.strerror or str(err)) from err
    if os.fstat(fd).st_mode & 0o170000 != 0o100000:
        os.close(fd)
        raise StorageError(f"cannot read {path}", "it is no file", "move away what lies there")
    return fd


def read_text(path: str, limit: int = _MAX_STATE, follow: bool = False) -> str | None:
    """The text of a file, or None if it does not exist. StorageError if it is larger than `limit` bytes, or no file at all.

    follow: it may be a symbolic link, since whoever named it owns the place.
    """
    fd = open_file(path, follow)
    if fd < 0:
        return None
    try:
        size = os.fstat(fd).st_size
        if size > limit:
            raise StorageError(f"cannot read {path}", f"it has {size} bytes, more than the {limit} allowed")
        chunks: list[bytes] = []
        while True:
            # procfs files say size 0 and answer one read only: ask for enough at once.
            chunk = os.read(fd, max(size + 1, 1 << 16))
            if not chunk:
                return b"".join(chunks).decode("utf-8", "replace")
            chunks.append(chunk)
    finally:
        os.close(fd)


def read_json(path: str, keys: Kinds | None = None, follow: bool = False) -> dict[str, Any] | None:
    """The object in a JSON file, or None if the file does not exist. StorageError for anything but one JSON object with values of these kinds.

    follow: see `read_text`.
    """
    text = read_text(path, follow=follow)
    if text is None:
        return None
    try:
        value = fastjson.loads(text)
    except ValueError as err:
        raise StorageError(f"cannot use {path}", f"it is damaged: {err}", "remove the object it describes, or restore the file") from err
    if not isinstance(value, dict):
        raise StorageError(f"cannot use {path}", "it does not hold a JSON object")
    for key, kind in keys.items() if keys else ():
        if not isinstance(value.get(key), kind):
            raise StorageError(
                f"cannot use {path}",
                f"it is damaged: its {key!r} is missing or of a wrong kind",
                "remove the object it describes, or restore the file",
            )
    return value


def write_text(path: str, text: str, mode: int = 0o600, sync: bool = False) -> None:
    """Replace a file; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"), mode, sync)


def write_bytes(path: str, data: bytes, mode: int = 0o600, sync: bool = False) -> None:
    """Replace a file: temp + rename in its directory; with `sync` the data is on disk before the name is. StorageError."""
    temp = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if sync:
                os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(temp, path)
    except OSError as err:
        try:
            os.unlink(temp)
        except OSError:
            pass
        raise StorageError(
            f"cannot write {path}", err.strerror or str(err), "free some disk space" if err.errno == 28 else "", errno=err.errno or 0
        ) from err


def sync_directory(path: str) -> None:
    """The names in a directory are on disk when this returns. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: str, value: object, sync: bool = False) -> None:
    """Replace a JSON file; see `write_text`."""
    write_text(path, fastjson.dumps(value), sync=sync)

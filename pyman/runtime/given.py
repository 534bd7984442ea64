"""JSON that the caller hands over: in a file, or through a pipe such as a shell's <(command) or /dev/stdin. The runtime program."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 16 << 20  # bytes


def read(path: str) -> dict[str, Any] | None:
    """The object at a path of the caller's, or None if there is nothing. UsageError, StorageError for anything but one JSON object."""
    try:
        piped = os.stat(path).st_mode & 0o170000 == 0o010000
    except OSError:
        piped = False  # the other way says why
    if not piped:
        return store.read_json(path, follow=True)
    text = b""
    with open(path, "rb", buffering=0) as file:
        while len(text) <= _LIMIT and (part := file.read(1 << 16)):
            text += part
    if len(text) > _LIMIT:
        raise UsageError(f"cannot use what comes from {path}", f"it is more than {_LIMIT >> 20} MiB")
    try:
        value = fastjson.loads(text)
    except ValueError as err:
        raise UsageError(f"cannot use what comes from {path}", f"it is no JSON: {err}") from None
    if not isinstance(value, dict):
        raise UsageError(f"cannot use what comes from {path}", "it is not a JSON object")
    return value

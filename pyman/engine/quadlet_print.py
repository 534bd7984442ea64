"""The content of a Quadlet file. CLI process."""

from __future__ import annotations

import os

from pyman.errors import NoSuchObject, StorageError, UsageError
from pyman.systemd.quadlet import keys, sources
from pyman.systemd.unitfile import LARGEST


def path_of(name: str) -> str:
    """Where the Quadlet file `name` lies. UsageError if that is no name of one, NoSuchObject."""
    if "/" in name or not keys.kind_of(name):
        raise UsageError(f"cannot look for {name!r}", "it is no Quadlet file's name", "names end in ." + ", .".join(keys.KINDS))
    for place in sources.folders(True):
        path = os.path.join(place, name)
        if os.path.lexists(path):
            return path
    raise NoSuchObject(f"no Quadlet file {name!r}", "it is in none of Quadlet's folders", "pyman quadlet ls")


def content(name: str) -> str:
    """The text of the Quadlet file `name`. UsageError, NoSuchObject, StorageError."""
    path = path_of(name)
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read(LARGEST)
    except OSError as err:
        raise StorageError(f"cannot read {path}", err.strerror or str(err)) from err

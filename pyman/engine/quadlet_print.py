"""The content of a Quadlet file. CLI process."""

from __future__ import annotations

import os
import stat

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
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, encoding="utf-8", errors="surrogateescape", newline="") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise StorageError(f"cannot read {path}", "it is not a regular file")
            return file.read(LARGEST)
    except OSError as err:
        raise StorageError(f"cannot read {path}", err.strerror or str(err)) from err

"""Whether the program that serves a running container's root (fuse-overlayfs) has ended: nothing of it can be reached then. CLI process, in U1.

Asked after a failure only, or by who explains: what fails there says that a file is missing, or nothing at all.
"""

from __future__ import annotations

import os

from pyman.engine.container import Container
from pyman.errors import PymanError, StateError
from pyman.linux import fs
from pyman.rootless import userns
from pyman.storage.driver import FUSE

_ENOTCONN = 107
WHY = f"the daemon of its root file system ({FUSE}) has ended: it was killed, perhaps for want of memory"


def found(container: Container) -> bool:
    """Whether it has. In U1, or where another user namespace can be entered."""
    pid = container.state["pid"]
    try:
        if not any(kind == f"fuse.{FUSE}" for _, _, place, kind, _ in fs.mounts(pid) if place == "/"):
            return False
        return bool(_gone(pid) if userns.in_userns() else userns.call_in_userns(lambda: _gone(pid)))
    except (OSError, PymanError):
        return False  # the container has ended, or lives in a user namespace that cannot be entered


def _gone(pid: int) -> bool:
    try:
        os.statvfs(f"/proc/{pid}/root/")
    except OSError as err:
        return err.errno == _ENOTCONN
    return False


def error(container: Container, doing: str, kind: type[PymanError] = StateError) -> PymanError:
    """What is to be told instead of what has failed; doing: "mount", for instance."""
    return kind(f"cannot {doing} container {container.name}", WHY, hint(container), errno=_ENOTCONN)


def hint(container: Container) -> str:
    """What to do."""
    return f"pyman restart {container.name} mends it: what the container has written is kept"

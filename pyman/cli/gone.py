"""After a failure: whether the container has been removed under the command's hands, which is then what it failed at. CLI process."""

from __future__ import annotations

import os
import time

from pyman.engine import container
from pyman.errors import NoSuchContainer, PymanError, UsageError
from pyman.state.lock import Lock

_PATIENCE = 3  # seconds

# Commands of one or two containers which they do not remove themselves.
MODULES = frozenset(
    "attach checkpoint commit container_clone container_mount cp diff exec export healthcheck_run init logs pause port rename restart start top unpause update".split()
)


def explain(module: str, err: OSError | PymanError) -> None:
    """NoSuchContainer instead of an error about a file that is missing, if a container that the command is about has gone meanwhile."""
    if module not in MODULES or isinstance(err, (NoSuchContainer, UsageError)) or not (err.errno == 2 or "No such file" in str(err)):
        return
    for name, found in container.looked_up.items():
        _await_removal(found.dir)
        if not os.path.exists(os.path.join(found.dir, "config.json")):
            raise NoSuchContainer(f"no container with name or ID {name} found", "it was removed meanwhile") from err


def _await_removal(directory: str) -> None:
    """While another command holds the container's lock: it may be about to remove it, of which what is missing was the first part."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and Lock(directory).held():
        time.sleep(0.02)

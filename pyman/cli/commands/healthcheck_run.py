"""`pyman healthcheck run`: run a container's health check now. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import container as containers
from pyman.engine import health_state
from pyman.errors import NoSuchContainer, StateError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if it is healthy; 1 with the new status on stdout if it is not; 125 if there is nothing to check."""
    if not args:
        raise UsageError("no container given", "healthcheck run needs one", "pyman healthcheck run CONTAINER")
    try:
        container = containers.lookup(args[0])
        found = health_state.run_check(container)
    except NoSuchContainer as err:
        raise UsageError(f"cannot check the health of container {args[0]}", err.why) from err
    if found == "healthy":
        return 0
    if found == "timeout":
        if opts.get("ignore_result"):
            return 0
        raise StateError(f"cannot tell the health of container {container.name}", "the check did not end within its --health-timeout")
    sys.stdout.write(found + "\n")
    return 0 if opts.get("ignore_result") else 1

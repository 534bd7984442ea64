"""`pyman logs`: show what containers wrote. CLI process."""

from __future__ import annotations

import os

from pyman.engine import container as containers
from pyman.engine import logs
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the log of each container, following it with --follow."""
    if opts.get("latest"):
        chosen = [containers.latest()]
    else:
        chosen = [containers.lookup(name) for name in args]
    if not chosen:
        raise UsageError("no container given", "logs needs at least one name or id")
    if opts.get("follow") and len(chosen) > 1:
        raise UsageError("cannot follow several containers", "give one name or id with --follow")
    for container in chosen:
        logs.show(container, opts, os.isatty(1))
    return 0

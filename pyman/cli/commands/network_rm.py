"""`pyman network rm`: remove networks. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import networks
from pyman.errors import NoSuchObject, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove each network. 0; 1: one does not exist; 2: one is in use; 125: another failure."""
    if not args:
        raise UsageError("no network given", "rm needs at least one name or id")
    if opts.get("time") is not None and not opts["force"]:
        raise UsageError("cannot use --time", "it says how long --force waits for containers", "give --force too")

    def action(label: str, name: str) -> None:
        try:
            networks.remove(name, force=bool(opts["force"]), timeout=opts.get("time"))
        except NoSuchObject:
            if opts["force"]:
                return  # it is gone, as was wished
            raise
        sys.stdout.write(label + "\n")

    return selection.over([(name, name) for name in args], action, False)

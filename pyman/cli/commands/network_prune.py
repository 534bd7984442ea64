"""`pyman network prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove unused networks and print their names."""
    if not opts["force"]:
        sys.stderr.write("This removes all networks that no container uses. Go on? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 0
    for name in networks.prune(opts["filter"]):
        sys.stdout.write(name + "\n")
    return 0

"""`pyman image prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.commands.system_prune import say_if_not
from pyman.engine import images, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove unused images and print their ids."""
    if not opts["force"]:
        kind = "all images that no container uses" if opts["all"] else "all images without a name"
        sys.stderr.write(f"This removes {kind}. Go on? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 0
    for removed in images.prune(opts["all"], opts["filter"]):
        sys.stdout.write(removed + "\n")
    say_if_not(sweep.leftovers())
    return 0

"""`pyman volume rm`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import volume_remove, volumes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0; 1: a volume does not exist; 2: one is used by a container; 125: another failure."""
    if bool(args) == bool(opts["all"]):
        raise UsageError("cannot tell which volumes to remove", "choose either one or more volumes or --all")
    if opts["time"] is not None and not opts["force"]:
        raise UsageError("cannot use --time", "the --force option must be specified to use the --time option")
    names = volumes.names() if opts["all"] else args

    def action(label: str, name: str) -> None:
        volume_remove.remove_volume(name, force=opts["force"], timeout=opts["time"])
        sys.stdout.write(label + "\n")

    return selection.over([(name, name) for name in names], action, opts["force"])

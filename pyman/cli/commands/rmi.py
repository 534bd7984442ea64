"""`pyman rmi`: remove images. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import images
from pyman.errors import UsageError
from pyman.storage import images as index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0; 1: an image does not exist; 2: one is used by a container; 125: another failure."""
    if opts["all"] and args:
        raise UsageError("cannot use --all together with image names", "--all already means every image")
    names = list(index.own().records) if opts["all"] else args
    if not names and not opts["all"]:
        raise UsageError("no image given", "rmi needs at least one name or id (or --all)")

    def action(_: str, name: str) -> None:
        taken, deleted = images.remove(name, force=opts["force"] or opts["all"])
        sys.stdout.write("".join(f"Untagged: {old}\n" for old in taken) + (f"Deleted: {deleted}\n" if deleted else ""))

    return selection.over([(name, name) for name in names], action, opts["ignore"] or opts["force"])

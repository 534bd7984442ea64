"""`pyman manifest rm`: remove lists from the store. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import images, manifests
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest rm LIST..."""
    if not args:
        raise UsageError("no list given", "rm needs at least one name", "pyman manifest rm LIST")

    def action(_: str, name: str) -> None:
        taken, deleted = images.remove(str(manifests.find(name)["id"]), force=True)
        sys.stdout.write("".join(f"Untagged: {old}\n" for old in taken) + (f"Deleted: {deleted}\n" if deleted else ""))

    return selection.over([(name, name) for name in args], action, opts["ignore"])

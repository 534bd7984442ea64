"""`pyman pause`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Freeze each container; with --all every one that runs."""
    chosen = dict(opts)
    if opts["all"] and not args:
        chosen["filter"] = [*opts["filter"], "status=running"]
    return selection.each(chosen, args, selection.unless_over(opts, pause.pause_container, "running"))

"""`pyman unpause`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Let each container go on; with --all every one that is paused."""
    chosen = dict(opts)
    if opts["all"] and not args:
        chosen["filter"] = [*opts["filter"], "status=paused"]
    return selection.each(chosen, args, selection.unless_over(opts, pause.unpause_container, "paused"))

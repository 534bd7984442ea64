"""`pyman unpause`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import pause
from pyman.errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Let each container go on; with --all every one that is paused."""
    chosen = dict(opts)
    if opts["all"] and not args:
        chosen["filter"] = [*opts["filter"], "status=paused"]

    def action(container: Container) -> bool:
        try:
            pause.unpause_container(container)
        except StateError:
            if opts["all"] and container.state["status"] != "paused":
                return False  # it is so no more
            raise
        return True

    return selection.each(chosen, args, action)

"""`pyman pause`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import pause
from pyman.errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Freeze each container; with --all every one that runs."""
    chosen = dict(opts)
    if opts["all"] and not args:
        chosen["filter"] = [*opts["filter"], "status=running"]

    def action(container: Container) -> bool:
        try:
            pause.pause_container(container)
        except StateError as err:
            if opts["all"] and (err.stage == pause.ENDED or container.state["status"] != "running"):
                return False  # it is so no more
            raise
        return True

    return selection.each(chosen, args, action)

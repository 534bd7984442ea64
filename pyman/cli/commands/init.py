"""`pyman init`: make containers ready to start. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Initialise each container; with --all those that are not."""
    chosen = dict(opts)
    if opts["all"]:
        chosen["filter"] = ["status=created", "status=exited"]

    def action(container: Container) -> None:
        init.init_container(container, print_warning)

    return selection.each(chosen, args, action)

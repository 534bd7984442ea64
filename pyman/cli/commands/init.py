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
    """Initialise each container; with --all one that is, or runs, is no error."""

    def action(container: Container) -> None:
        init.init_container(container, print_warning, again=bool(opts["all"]))

    return selection.each(opts, args, action)

"""`pyman stop`: stop containers. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_AT_ONCE = 32


def main(opts: Any, args: list[str]) -> int:
    """Stop all of the containers at the same time; one that does not run is no error."""
    timeout = opts.get("time")

    def action(container: Container) -> None:
        stop.stop_container(container, timeout, bool(opts.get("service")), smart=bool(opts.get("stop_smart")), warn=print_warning)

    return selection.each(opts, args, action, at_once=_AT_ONCE)

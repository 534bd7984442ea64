"""`pyman stop`: stop containers. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Stop each container; one that does not run is no error."""
    timeout = opts.get("time")

    def action(container: Container) -> bool:
        return stop.stop_container(container, timeout, bool(opts.get("service"))) or not opts.get("all")

    return selection.each(opts, args, action)

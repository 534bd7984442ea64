"""`pyman rm`: remove containers. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Remove each container. 0; 1: one does not exist; 2: one is running or paused; 125: another failure."""
    # As Podman: a forced removal of nothing has reached its goal.
    chosen = {**opts, "ignore": opts.get("ignore") or opts.get("force")}

    def action(label: str, container: Container) -> None:
        remove.remove_container(container, force=bool(opts.get("force")), timeout=opts.get("time"), volumes=bool(opts.get("volumes")))
        sys.stdout.write(label + "\n")

    return selection.over(selection.select(chosen, args), action, bool(chosen["ignore"]))

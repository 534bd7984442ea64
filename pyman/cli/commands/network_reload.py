"""`pyman network reload`: mend the networks of running containers. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import network_connect
from pyman.engine.container import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Mend each container's networks, and print its id."""

    def action(label: str, container: Container) -> None:
        if opts["all"] and container.state["status"] not in RUNNING:
            return
        warning = network_connect.reload(container)
        if warning:
            print_warning(warning)
        sys.stdout.write(container.id + "\n")

    return 125 if selection.over(selection.select(opts, args), action, False, unnamed=not args) else 0

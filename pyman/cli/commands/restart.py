"""`pyman restart`: stop containers and start them again. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import restart
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Restart each container; one that does not run is started."""
    if opts["running"] and (args or opts["latest"] or opts["all"]):
        raise UsageError("cannot use --running together with containers", "--running already means every container that runs")
    chosen = dict(opts)
    if opts["running"]:
        chosen["filter"] = [*opts["filter"], "status=running"]

    def action(container: Container) -> None:
        restart.restart_container(container, opts["time"], print_warning)

    return selection.each(chosen, args, action)

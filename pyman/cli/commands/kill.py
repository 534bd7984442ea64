"""`pyman kill`: send a signal to containers. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import kill, restart_policy
from pyman.engine.container import RUNNING
from pyman.state import lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Send --signal (default KILL) to each container."""
    lock.hurry = True
    signum = kill.parse_signal(opts.get("signal") or "KILL")

    send = selection.unless_over(opts, lambda container: kill.kill_container(container, signum), *RUNNING)

    def action(container: Container) -> bool:
        if opts.get("all"):
            container.sync()
            if container.state["status"] not in ("running", "paused") and not restart_policy.pending(container.state):
                return False
        return send(container)

    return selection.each(opts, args, action)

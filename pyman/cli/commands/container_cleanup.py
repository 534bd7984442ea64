"""`pyman container cleanup`: what the monitor runs after the end of a container whose command has gone. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import remove, restart_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Sync each container's state with reality; with --rm remove those that have ended, with --restart start them again."""

    def action(container: Container) -> bool:
        if opts.get("restart"):
            return restart_policy.start_again(container)
        with container:
            if opts.get("rm") and container.state["status"] not in ("running", "paused"):
                remove.discard_container(container)
        return True

    return selection.each({**opts, "ignore": True}, args, action, echo=False) or int(opts.get("exit_code") or 0)

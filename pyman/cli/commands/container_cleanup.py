"""`pyman container cleanup`: also what the monitor runs after the end of a container whose command has gone. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import remove, restart_policy
from pyman.engine.container import RUNNING
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Sync each container's state with reality; with --rm remove those that have ended, with --restart start them again."""
    if opts.get("exec"):
        return _exec_session(opts, args)

    def action(container: Container) -> bool:
        if opts.get("restart"):
            return restart_policy.start_again(container, print_warning)
        image = container.config["image"]["id"]
        with container:
            if container.state["status"] in RUNNING:
                return True
            container.discard_cgroup()
            if opts.get("rm"):
                remove.discard_container(container)
        if opts.get("rmi") and image:
            _remove_image(image)
        return True

    by_monitor = opts.get("restart") or "exit_code" in opts.given
    code = selection.each({**opts, "ignore": True}, args, action, echo=not by_monitor)
    return code or int(opts.get("exit_code") or 0) & 255


def _exec_session(opts: Any, args: list[str]) -> int:
    from pyman.engine import exec_sessions

    if opts.get("all") or opts.get("rmi") or len(args) != 1:
        raise UsageError("cannot use --exec so", "it cleans up after one session of one container", "without --all and --rmi")
    container = selection.select(opts, args)[0][1]
    if isinstance(container, Exception):
        raise container
    exec_sessions.forget(container, opts["exec"])
    return 0


def _remove_image(image_id: str) -> None:
    from pyman.engine import images
    from pyman.errors import PymanError

    try:
        images.remove(image_id, force=False)
    except PymanError:
        pass  # other containers or names need it

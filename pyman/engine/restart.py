"""Restart a container: stop it if it runs, then start it, under one lock. CLI process."""

from __future__ import annotations

from pyman import stages
from pyman.engine import restart_policy, start, stop
from pyman.engine.container import RUNNING, Container
from pyman.errors import StateError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def restart_container(container: Container, timeout: int | None = None, warn: Callable[[str], None] | None = None) -> None:
    """Restart a container, or start one that does not run. StateError for a paused one; what stop and start raise.

    timeout: seconds until SIGKILL; None: the container's own. A command that is killed in between leaves it stopped.
    """
    with container:
        if container.state["status"] == "paused":
            raise StateError(
                f"cannot restart container {container.name}",
                "unable to restart a container in a paused or unknown state: container state improper",
                f"pyman unpause {container.name}",
            )
        _require_startable(container)
        restart_policy.note_wish(container)  # its policy must not be quicker than we
        if container.state["status"] in RUNNING:
            stop.stop_locked(container, timeout)
            if container.state["status"] in RUNNING:
                return  # another command has started it again meanwhile
        restart_policy.cancel(container)
        stages.reach("restart:stopped")
        restart_policy.forget_wish(container)
        container.event("restart")
        start.start_locked(container, warn=warn)


def _require_startable(container: Container) -> None:
    """StateError for one that runs and could not be started again: it is not to be ended then."""
    if container.state["status"] not in RUNNING:
        return
    try:
        container.config  # noqa: B018
    except StorageError as err:
        raise StateError(
            f"cannot restart container {container.name}",
            f"once stopped it could not be started again, so it goes on running ({err})",
            f"copy out of it what you need (pyman cp), then remove it: pyman rm --force {container.name}",
        ) from err

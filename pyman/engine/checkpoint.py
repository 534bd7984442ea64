"""Checkpoint and restore, which need more rights than a user has: what stands in the way, exactly. CLI process."""

from __future__ import annotations

from pyman.engine.container import Container
from pyman.errors import StateError
from pyman.runtime import checkpoint

_HINT = "commit keeps a container's files; what its programs have in memory cannot be kept"


def checkpoint_container(container: Container) -> None:
    """StateError, always: one that does not run, or everything that stands in criu's way."""
    container.sync()
    container.require_running("checkpoint")
    found = checkpoint.criu()
    try:
        found += checkpoint.of_processes(container.state["pid"])
    except OSError:
        pass  # it ended just now
    raise StateError(f"cannot checkpoint container {container.name}", "; ".join(found), _HINT)


def restore_error(name: str) -> StateError:
    """Why nothing can be restored."""
    found = [*checkpoint.criu(), "a container's namespaces cannot be made from a checkpoint without the host's CAP_SYS_ADMIN"]
    return StateError(f"cannot restore {name}", "; ".join(found), _HINT)


def restore_container(container: Container) -> None:
    """StateError, always."""
    raise restore_error(f"container {container.name}")

"""Checkpoint and restore, which need more rights than a user has: what stands in the way, exactly. CLI process."""

from __future__ import annotations

import os

from pyman.engine.container import Container
from pyman.errors import StateError

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")


def blockers() -> list[str]:
    """What keeps containers of this user from being checkpointed, each as a clause."""
    found = ["pyman keeps no privileges, and criu needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN outside the user namespace"]
    if not any(os.access(f"{place}/criu", os.X_OK) for place in _PLACES):
        found.append("criu is not installed")
    if not os.path.exists("/proc/sys/kernel/ns_last_pid"):
        found.append("the kernel has no CONFIG_CHECKPOINT_RESTORE")
    return found


def refusal(action: str, name: str) -> StateError:
    """The error of a checkpoint or restore."""
    return StateError(
        f"cannot {action} {name}",
        "; ".join(blockers()),
        "commit keeps a container's files; a program's memory cannot be kept",
        exit_code=125,
    )


def checkpoint_container(container: Container) -> None:
    """StateError, always: see `blockers`; for one that does not run, that."""
    container.sync()
    container.require_running("checkpoint")
    raise refusal("checkpoint container", container.name)


def restore_container(container: Container) -> None:
    """StateError, always: there can be no checkpoint."""
    raise refusal("restore container", container.name)

"""Pause a container: freeze its control group. CLI process."""

from __future__ import annotations

from pyman import stages
from pyman.engine.container import Container
from pyman.errors import RuntimeFailure, StateError


def pause_container(container: Container) -> None:
    """Freeze all processes of a running container. StateError; RuntimeFailure where it has no control group."""
    with container:
        if container.state["status"] != "running":
            raise StateError(
                f'"{container.name}" is not running, can\'t pause: container state improper', f"its state is {container.state['status']}"
            )
        freeze_locked(container)
        container.event("pause")


def freeze_locked(container: Container) -> None:
    """As pause_container, for who holds the lock of a running container; without an event."""
    from pyman.runtime import cgroup

    directory = str(container.state.get("cgroup") or "")
    if not directory:
        raise RuntimeFailure(
            f"cannot pause container {container.name}",
            "it has no control group, which is what pausing needs: your user may make none here",
            "have cgroups delegated to you (a session or service of systemd's user manager does that), and start the container again",
            stage="cgroup",
        )
    # Noted first: whoever is killed in between leaves a container that goes on, as the next look finds, never one that is stuck in silence.
    container.state["status"] = "paused"
    container.save()
    stages.reach("pause:noted")
    try:
        cgroup.freeze(directory, True)
    except RuntimeFailure:
        cgroup.write(directory, "cgroup.freeze", "0")
        container.state["status"] = "running"
        container.save()
        raise
    stages.reach("pause:frozen")


def unpause_container(container: Container) -> None:
    """Let a paused container go on. StateError, RuntimeFailure."""
    with container:
        if container.state["status"] != "paused":
            raise StateError(
                f'"{container.name}" is not paused, can\'t unpause: container state improper', f"its state is {container.state['status']}"
            )
        thaw_locked(container)
        container.event("unpause")


def thaw_locked(container: Container) -> None:
    """As unpause_container, for who holds the lock; without an event."""
    from pyman.runtime import cgroup

    cgroup.freeze(str(container.state.get("cgroup") or ""), False)
    container.state["status"] = "running"
    container.save()


def goes_on(container: Container) -> bool:
    """Whether what is noted as paused is not: the command that noted it was killed before it froze it, or another one after it let it go on."""
    from pyman.runtime import cgroup

    if cgroup.read(str(container.state.get("cgroup") or ""), "cgroup.freeze").strip() != "0":
        return False
    container.state["status"] = "running"
    if container.lock_fd >= 0:
        container.save()
    return True

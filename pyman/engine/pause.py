"""Pause a container: freeze its control group. CLI process."""

from __future__ import annotations

import os

from pyman import stages
from pyman.engine.container import Container
from pyman.errors import ENDED, RuntimeFailure, StateError
from pyman.linux import process


def pause_container(container: Container) -> None:
    """Freeze all processes of a running container. StateError; RuntimeFailure where it has no control group."""
    with container:
        if container.state["status"] != "running":
            raise StateError(
                f'"{container.name}" is not running, can\'t pause: container state improper', f"its state is {container.state['status']}"
            )
        if not freeze_locked(container):
            raise _ended(container, "pause")
        container.event("pause")


def freeze_locked(container: Container, own: bool = False) -> bool:
    """As pause_container, for who holds the lock of a running container; without an event. False if the container has ended meanwhile.

    own: for as long as this process works with it: where that is killed, the next look lets the container go on.
    """
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
    if own:
        container.state["paused_by"] = [os.getpid(), process.start_time(os.getpid())]
    container.save()
    stages.reach("pause:noted")
    try:
        cgroup.freeze(directory, True)
    except RuntimeFailure as err:
        try:
            cgroup.write(directory, "cgroup.freeze", "0")
        except OSError:
            pass  # it has gone
        _note_running(container)
        if cgroup.ended(err):
            return False
        raise
    stages.reach("pause:frozen")
    return True


def unpause_container(container: Container) -> None:
    """Let a paused container go on. StateError, RuntimeFailure."""
    with container:
        if container.state["status"] != "paused":
            raise StateError(
                f'"{container.name}" is not paused, can\'t unpause: container state improper', f"its state is {container.state['status']}"
            )
        if not thaw_locked(container):
            raise _ended(container, "unpause")
        container.event("unpause")


def thaw_locked(container: Container) -> bool:
    """As unpause_container, for who holds the lock; without an event. False if the container has ended meanwhile."""
    from pyman.runtime import cgroup

    try:
        cgroup.freeze(str(container.state.get("cgroup") or ""), False)
    except RuntimeFailure as err:
        if not cgroup.ended(err):
            raise
        _note_running(container)
        return False
    _note_running(container)
    return True


def _note_running(container: Container) -> None:
    """It is not paused any more; if it does not run either, `sync` learns so from its monitor."""
    _forget(container)
    container.save()
    container.sync()


def _forget(container: Container) -> None:
    container.state["status"] = "running"
    container.state.pop("paused_by", None)


def _ended(container: Container, action: str) -> StateError:
    why = f'"{container.name}" is not {"running" if action == "pause" else "paused"}, can\'t {action}: container state improper'
    return StateError(why, "it ended meanwhile", stage=ENDED)


def goes_on(container: Container) -> bool:
    """Whether what is noted as paused is not: the command that noted it was killed before it froze it, or another one after it let it go on.

    Lets it go on here if the command that had frozen it for its own work was killed.
    """
    from pyman.runtime import cgroup

    by = container.state.get("paused_by")
    if by and not process.runs(by[0], by[1]):
        if container.lock_fd >= 0:
            thaw_locked(container)
        else:
            with container:  # whose first look is this one; another command may have been quicker
                pass
        return bool(container.state["status"] != "paused")
    if cgroup.read(str(container.state.get("cgroup") or ""), "cgroup.freeze").strip() != "0":
        return False
    _forget(container)
    if container.lock_fd >= 0:
        container.save()
    return True

"""Remove containers: stop if forced, give the name back, rename to the trash, delete after. CLI process."""

from __future__ import annotations

import os

from pyman import stages
from pyman.engine import cgroups, names, restart_policy
from pyman.engine.container import REMOVED, RUNNING, Container
from pyman.errors import UNEXPECTED, LockHeld, NoSuchContainer, PymanError, StateError, StorageError
from pyman.state import events, store
from pyman.storage import trash

ENOSPC = 28


def remove_container(
    container: Container, *, force: bool = False, timeout: int | None = None, volumes: bool = False, depend: bool = False
) -> list[str]:
    """Remove one container; the ids of all that were. StateError if it runs and `force` is not given; PymanError if others need it.

    timeout: seconds to wait for its end before it is killed (default: its own stop timeout).
    volumes: its anonymous volumes go too; depend: and the containers that need it, before.
    """
    try:
        return _remove(container, force, timeout, volumes, depend)
    except (StorageError, OSError, *UNEXPECTED) as err:
        if not force or isinstance(err, LockHeld) or getattr(err, "errno", 0) == ENOSPC:
            raise
        from pyman.engine import lost_removal  # of which something is damaged only

        container.unlock()
        if not lost_removal.clear(container):
            raise
        return [container.id]


def _remove(container: Container, force: bool, timeout: int | None, volumes: bool, depend: bool) -> list[str]:
    gone: list[str] = []
    if os.path.isdir(os.path.join(container.dir, "dependents")):
        from pyman.engine import dependencies

        others = dependencies.dependents(container)
        if others and not depend:
            raise PymanError(
                f"container {container.id} has dependent containers which must be removed before it",
                ", ".join(other.id for other in others) + ": container already exists",
                "remove them first, or use --depend",
            )
        for other in others:
            try:
                gone += remove_container(other, force=force, timeout=timeout, volumes=volumes, depend=True)
            except NoSuchContainer:
                pass  # it needed one of those before it as well, and went with that
    with container:
        if container.state["status"] in RUNNING:
            if not force and container.state["status"] != "initialized":
                raise StateError(
                    f"cannot remove container {container.name}",
                    f"it is {container.state['status']}",
                    f"stop it first (pyman stop {container.name}), or use: pyman rm --force {container.name}",
                )
            from pyman.engine import stop

            restart_policy.note_wish(container)
            try:
                while container.state["status"] in RUNNING:  # others may start it again meanwhile
                    stop.stop_locked(container, timeout)
            except NoSuchContainer:
                return [*gone, container.id]  # its monitor or another command was quicker
        elif restart_policy.waiting(container.state) and not force:
            raise StateError(
                f"cannot remove container {container.name}",
                "its restart policy is about to start it again",
                f"stop it first (pyman stop {container.name}), or use: pyman rm --force {container.name}",
            )
        discard_container(container, volumes=volumes or bool(container.state.get("auto_remove")))
    return [*gone, container.id]


def discard_container(container: Container, *, volumes: bool = True) -> None:
    """Take an ended container away. The caller holds its lock."""
    restart_policy.cancel(container)
    removed = b""
    try:
        state = container.state
        removed = container.event_line("remove", **({"ContainerExitCode": state["exit_code"]} if state["status"] == "exited" else {}))
        anonymous = set((state.get("volume_at") or {}).values()) if volumes else set()
        name = container.name
        container.leave_networks()
    except PymanError:
        anonymous, name = set(), ""  # a damaged state file: its name becomes a ghost, which the next use of the name takes over
    cgroups.discard(container)
    _discard_cidfile(container)
    try:
        trash.remove_tree(container.run_dir)
    except OSError:
        pass  # the runtime directory is not to be read: nothing there is of use without its container
    if anonymous:
        from pyman.engine import volume_discard

        # Before the container: a killed command leaves a container that can be removed again, not volumes of nobody.
        volume_discard.remove_anonymous(sorted(anonymous), container.id)
        stages.reach("remove:volumes")
    # From here on it is no container: whoever lists them takes away the rest, its name too, if we are killed.
    _forget(container)
    stages.reach("remove:unmade")
    if name:
        names.release(name, container.id)
    stages.reach("remove:name")
    trash.discard(container.dir)
    if removed:
        events.append([removed])


def _forget(container: Container) -> None:
    path = os.path.join(container.dir, "config.json")
    try:
        os.rename(path, path + REMOVED)
    except OSError:
        pass  # it is not there


def _discard_cidfile(container: Container) -> None:
    """The file of --cidfile goes too, as with Podman: units make their container anew with the same one. Another's stays."""
    try:
        path = container.config["options"].get("cidfile")
        if path and store.read_text(path, 4096) == container.id:
            os.unlink(path)
    except (PymanError, OSError):
        pass  # a damaged container, or somebody else's directory: the container itself goes

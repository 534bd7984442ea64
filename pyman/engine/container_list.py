"""All containers of the store; what killed commands have left of some is taken away on the way. CLI process."""

from __future__ import annotations

import os

from pyman import errors, paths
from pyman.engine.container import REMOVED, Container, all_ids, names_dir
from pyman.errors import NoSuchContainer, StorageError
from pyman.linux import process
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def list_containers() -> list[Container]:
    """All complete containers, newest first, synced; those whose `--rm` end was interrupted are removed on the way."""
    found = []
    entries = all_ids()
    entries += brought_back(entries)
    given = names_given()  # after the containers: what was made since has its name
    for entry in entries:
        container = Container(entry)
        try:
            changed = container.sync()
        except NoSuchContainer:
            if not _collect_unfinished(container):
                continue
            changed = container.sync()
        except StorageError as err:
            if errors.tell is None:
                raise
            errors.tell(f"container {entry[:12]} is left out: {err}")  # it is not to hide the others
            continue
        if _unmade(container) and not _collect_unfinished(container):
            continue
        if container.state.get("auto_remove") and (_over(container.state) or _abandoned(container.state)):
            if _collect_ended(container):
                continue
        elif changed and container.state["status"] == "exited":
            _save_if_free(container)
        if container.state["name"] not in given:
            from pyman.engine import lost_state  # such a container only

            lost_state.give_name(container)
        found.append(container)
    found.sort(key=lambda c: c.state["created"], reverse=True)
    return found


def names_given() -> set[str]:
    """All names of containers."""
    try:
        return set(os.listdir(names_dir()))
    except OSError:
        return set()


def list_states() -> list[dict[str, Any]]:
    """The states of all containers, newest first (see `list_containers`)."""
    return [container.state for container in list_containers()]


def latest() -> Container:
    """The newest container (`--latest`). NoSuchContainer if there is none."""
    found = list_containers()
    if not found:
        raise NoSuchContainer("no container found", "there are no containers")
    return found[0]


def _over(state: dict[str, Any]) -> bool:
    """Whether a container has ended, and nothing is going to start it again."""
    from pyman.engine import restart_policy

    return state["status"] == "exited" and not restart_policy.waiting(state)


def _abandoned(state: dict[str, Any]) -> bool:
    """A `run --rm` that was killed between creating and starting its container."""
    owner = state.get("owner_pid", 0)
    return bool(state["status"] == "created" and owner and not process.alive(owner, state["owner_start"]))


def _unmade(container: Container) -> bool:
    """Whether its creation or its removal was, or is just being, interrupted. (One that has lost its configuration otherwise is kept.)"""
    if os.path.exists(os.path.join(container.dir, "config.json")):
        return False
    from pyman.engine import lost_state  # without a configuration only

    return not lost_state.complete(container.dir)


def without_directory(entries: list[str]) -> list[str]:
    """The ids of what runs, or was killed while it began, and is not among `entries`; another store's containers are among them."""
    try:
        return list(set(os.listdir(os.path.join(paths.runroot(), "containers"))).difference(entries))
    except OSError:
        return []


def brought_back(entries: list[str]) -> list[str]:
    """The ids of containers that run without a directory among `entries`, which they now have again."""
    here = without_directory(entries)
    if not here:
        return []
    from pyman.engine import vanished  # such containers, or those of another store, only

    return [entry for entry in vanished.bring_back(here) if entry not in entries]


def _collect_unfinished(container: Container) -> bool:
    """A directory without config.json: being made or removed (its lock is held), or left by a killed command. Whether it is a container's yet.

    What runs and was not being removed has been damaged, and stays.
    """
    from pyman.storage import trash

    lock = Lock(container.dir)
    try:
        if not lock.try_acquire():
            return False
    except OSError:
        return False
    try:
        from pyman.engine import lost_removal, lost_state, names, vanished  # after a killed command only

        if lost_state.complete(container.dir):
            return False
        if not os.path.lexists(os.path.join(container.dir, "config.json" + REMOVED)) and vanished.runs(container):
            return True
        lost_removal.end_processes(container)
        names.release_all(container.id)
        trash.discard(container.dir)
        trash.remove_tree(container.run_dir)
    finally:
        lock.release()
    return False


def _collect_ended(container: Container) -> bool:
    """Remove an ended `--rm` container nobody is working on; true if it is gone."""
    from pyman.engine import remove

    lock = Lock(container.dir)
    try:
        if not lock.try_acquire():
            return True  # its own command is removing it just now
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it is no directory
    container._lock, container._state = lock, None
    try:
        container.sync()  # under the lock: an end that nobody has seen is noted before all of it goes
        if not (_over(container.state) or _abandoned(container.state)):
            return False
        remove.discard_container(container)
    except NoSuchContainer:
        pass  # its own command has just removed it
    finally:
        container._lock = None
        lock.release()
    return True


def _save_if_free(container: Container) -> None:
    """Keep a newly seen end, unless somebody is at work on the container: they will see it too."""
    lock = Lock(container.dir)
    try:
        if lock.try_acquire():
            container._lock, container._state = lock, None
            container.sync()  # again, under the lock: another command may have seen the end first
    except OSError:
        pass  # it has gone, or is no directory
    finally:
        container._lock = None
        lock.release()

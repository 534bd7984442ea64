"""Delete volumes that no container has, with their files. CLI process."""

from __future__ import annotations

from pyman import stages
from pyman.engine import volumes
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchObject, PymanError, StateError, StorageError
from pyman.state import events
from pyman.state.lock import Lock
from pyman.storage import trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def remove(name: str) -> None:
    """Delete a volume that no container has, and its files. NoSuchObject, StateError."""
    list_containers()  # takes away what killed commands have left of containers, which would count as users
    lock = Lock(volumes.directory(name))
    try:
        lock.acquire()
    except FileNotFoundError:
        raise NoSuchObject(f"no volume with name {name!r} found", "no such volume") from None
    except OSError as err:
        raise volumes.stray(name) or StorageError(f"cannot remove volume {name}", f"{lock.path}: {err.strerror}") from err
    try:
        holders = volumes.used_by().get(name)
        if holders:
            shown = ", ".join(f"{container} ({container_id[:12]})" for container_id, container in holders)
            raise StateError(
                f"cannot remove volume {name}",
                f"volume is being used by the following container(s): {shown}",
                f"remove them first, or with it: pyman volume rm --force {name}",
            )
        _discard(name)
    finally:
        lock.release()
    events.emit("volume", "remove", name, name)


def _discard(name: str) -> None:
    stages.reach("volume:removing")
    trash.discard(volumes.directory(name))


def _is_anonymous(name: str) -> bool:
    try:
        return bool(volumes.get(name)["anonymous"])
    except PymanError:
        return False  # gone, or damaged: `volume rm` says so


def remove_anonymous(candidates: Iterable[str], container_id: str) -> None:
    """Delete the anonymous ones of a container's volumes, unless another container has them too. Missing ones are fine.

    The container still exists.
    """
    candidates = [name for name in candidates if _is_anonymous(name)]
    try:
        holders = volumes.used_by() if candidates else {}
    except PymanError:
        return  # a damaged container may have them
    for name in candidates:
        if any(other != container_id for other, _ in holders.get(name, [])):
            continue
        lock = Lock(volumes.directory(name))
        try:
            with lock:
                _discard(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        events.emit("volume", "remove", name, name)

"""Removing volumes: one, with the containers that have it, or all that nobody has. CLI process."""

from __future__ import annotations

from pyman.engine import container as containers
from pyman.engine import remove, volume_discard, volume_filters, volumes
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchContainer, NoSuchObject, PymanError, StateError
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def remove_volume(name: str, *, force: bool = False, timeout: int | None = None) -> None:
    """Remove a volume by its name or the beginning of it. NoSuchObject, StateError (in use).

    force: containers that have it are stopped and removed first; timeout: seconds until they are killed.
    """
    name = volumes.lookup(name)
    if force:
        for container_id in volumes.users(name):
            try:
                remove.remove_container(containers.Container(container_id), force=True, timeout=timeout)
            except NoSuchContainer:
                continue
    volume_discard.remove(name)


def candidates(filters: list[str], anonymous_only: bool = False) -> list[dict[str, Any]]:
    """The records of the volumes that `prune` would remove: those no container has that pass the filters. UsageError."""
    passes = volume_filters.compiled([item for item in filters if item.partition("=")[0] != "all"])
    list_containers()  # takes away what killed commands have left, which would count as users
    used = volumes.used_by()
    found = [record for record in volumes.every()[0] if record["name"] not in used and passes(record)]
    return [record for record in found if record["anonymous"] or not anonymous_only]


def prune(records: list[dict[str, Any]]) -> tuple[list[str], list[PymanError]]:
    """Remove the volumes `records`, unless a container has one by now; (names, what failed)."""
    removed, failed = [], []
    for record in records:
        try:
            volume_discard.remove(record["name"])
            removed.append(str(record["name"]))
        except (NoSuchObject, StateError):
            continue
        except PymanError as err:
            failed.append(err)
    if removed:
        events.emit("volume", "prune", "", attributes={"reclaimed": "0"})
    return removed, failed

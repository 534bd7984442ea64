"""Everything about volumes under Podman's field names. CLI process."""

from __future__ import annotations

from pyman.engine import volume_mounts, volume_visits, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def inspect(record: dict[str, Any], rfc3339: Callable[[float], str]) -> dict[str, Any]:
    """The object that `volume inspect` shows; `rfc3339` formats times."""
    value = fields(record)
    value["CreatedAt"] = rfc3339(record["created"])
    # As in Podman's JSON: what is zero, false or empty is left out, but for the fields that every volume has.
    kept = ("Labels", "Options", "MountCount", "LockNumber")
    return {key: item for key, item in value.items() if item or key in kept}


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """Every field that a template may name; CreatedAt is a time in seconds."""
    state = volumes.read_state(record["name"])
    owner = record["owner"] or (0, 0)
    return {
        "Name": record["name"],
        "Driver": record["driver"],
        "Mountpoint": volumes.data_path(record["name"]),
        "CreatedAt": record["created"],
        "Labels": record["labels"],
        "Scope": "local",
        "Options": record["options"],
        "UID": owner[0],
        "GID": owner[1],
        "Anonymous": record["anonymous"],
        "MountCount": _mounted(record),
        "NeedsCopyUp": not state.get("copied"),
        "NeedsChown": not state.get("owned") and not record["owner"],
        "LockNumber": 0,
        "StorageID": "",
        "Status": {},
        "Timeout": 0,
    }


def _mounted(record: dict[str, Any]) -> int:
    """In how many containers that run and shells of unshare it is mounted; one that is a plain directory needs no mount of its own."""
    if not volume_mounts.kind_of(record["options"]):
        return 0
    from pyman.engine.container import RUNNING
    from pyman.engine.container_list import list_states

    holders = sum(state["status"] in RUNNING and record["name"] in (state.get("volume_at") or {}).values() for state in list_states())
    return holders + len(volume_visits.find(record["name"]))

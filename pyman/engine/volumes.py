"""Named and anonymous volumes: graphroot/volumes/NAME/_data and volume.json. CLI process and C."""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.errors import NoSuchObject, UsageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def check_name(name: str) -> None:
    """UsageError unless `name` follows [a-zA-Z0-9][a-zA-Z0-9_.-]*."""
    if not name or name[0] not in _FIRST or name.strip(_FIRST + "_.-") or len(name) > 255:
        raise UsageError(
            f"invalid volume name {name!r}", "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*", "a host directory is given as an absolute path"
        )


def _dir(name: str) -> str:
    return os.path.join(paths.graphroot(), "volumes", name)


def data_path(name: str) -> str:
    """Where the volume's files lie."""
    return os.path.join(_dir(name), "_data")


def exists(name: str) -> bool:
    """Whether the volume exists."""
    return os.path.exists(os.path.join(_dir(name), "volume.json"))


def create(name: str, *, anonymous: bool = False, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Make a volume and return its record; an existing one is returned as it is. UsageError."""
    check_name(name)
    os.makedirs(_dir(name), 0o700, exist_ok=True)
    try:
        os.mkdir(data_path(name), 0o755)
    except FileExistsError:
        pass
    if not exists(name):
        store.write_json(
            os.path.join(_dir(name), "volume.json"), {"name": name, "created": time.time(), "anonymous": anonymous, "labels": labels or {}}
        )
    return get(name)


def get(name: str) -> dict[str, Any]:
    """The volume's record. NoSuchObject."""
    record = store.read_json(os.path.join(_dir(name), "volume.json"))
    if record is None:
        raise NoSuchObject(f"no volume with name {name!r} found", "no such volume")
    return record


def users(name: str) -> list[str]:
    """The ids of the containers that have the volume by name, or from another container (--volumes-from)."""
    from pyman.engine.container import list_containers

    found = []
    for container in list_containers():
        options = container.config["options"]
        specs = [spec.split(":")[0] for spec in options.get("volume") or []]
        specs += [
            item.partition("=")[2]
            for spec in options.get("mount") or []
            for item in spec.split(",")
            if item.startswith(("src=", "source="))
        ]
        specs += [record["volume"] for record in options.get("volumes_from_mounts") or []]
        specs += [record["entry"]["source"].split("/")[-2] for record in options.get("volumes_from_mounts") or [] if record["volume"]]
        if name in specs:
            found.append(container.id)
    return found


def remove(name: str) -> None:
    """Delete a volume and its files. NoSuchObject."""
    from pyman.storage import trash

    get(name)
    trash.discard(_dir(name))

"""What lies below the top of the store's records, looked at only after a command has failed at one of them. CLI process."""

from __future__ import annotations

import os

from pyman.engine import volumes
from pyman.engine.container import Container
from pyman.errors import StorageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = frozenset(
    "publish env volume mount label secret network expose dns dns_search dns_option add_host cap_add cap_drop device tmpfs ulimit sysctl "
    "security_opt volumes_from group_add annotation log_opt label_file network_alias".split()
)


def check(container: Container) -> None:
    """StorageError for the first value of a wrong kind in a container's configuration or state."""
    config = store.read_json(os.path.join(container.dir, "config.json")) or {}
    options, image = config.get("options") or {}, config.get("image") or {}
    wrong = next((f"options.{key}" for key, value in options.items() if key in _LISTS and not _texts(value)), "")
    wrong = wrong or next((key for key in ("command", "layers") if not _texts(config.get(key))), "")
    wrong = wrong or next((f"image.{key}" for key in ("name", "id") if not isinstance(image.get(key), str)), "")
    if wrong:
        raise _damaged(
            f"{container.dir}/config.json", wrong, f"remove the container (pyman rm --force {container.id[:12]}), or restore the file"
        )
    state = store.read_json(os.path.join(container.dir, "state.json")) or {}
    wrong = "" if _texts(state.get("command")) else "command"
    wrong = wrong or next((key for key in ("labels", "volume_at", "binds") if not _texts(list((state.get(key) or {}).values()))), "")
    ports = state.get("ports") or []
    if wrong or not all(
        isinstance(port, dict) and {"range", "host_port", "container_port", "host_ip", "protocol"} <= port.keys() for port in ports
    ):
        raise _damaged(f"{container.dir}/state.json", wrong or "ports", "remove this file: it is made again")


def check_volumes() -> None:
    """The same for the records of volumes."""
    for name in volumes.names():
        path = os.path.join(volumes.directory(name), "volume.json")
        record = store.read_json(path) or {}
        owner = record.get("owner")
        wrong = "" if owner is None or (isinstance(owner, list) and [type(each) for each in owner] == [int, int]) else "owner"
        for key in ("labels", "options"):
            value = record.get(key) or {}
            wrong = wrong or ("" if isinstance(value, dict) and _texts(list(value.values())) else key)
        if wrong:
            raise _damaged(path, wrong, f"remove the volume (pyman volume rm {name}), or restore the file")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _damaged(path: str, what: str, hint: str) -> StorageError:
    return StorageError(f"cannot use {path}", f"it is damaged: its {what!r} is of a wrong kind", hint)

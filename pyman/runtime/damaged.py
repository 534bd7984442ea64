"""Containers whose record cannot be used: what it still names is ended, then they are forgotten. The runtime program, delete --force only."""

from __future__ import annotations

import os

from pyman.errors import PymanError
from pyman.runtime import store
from pyman.state import store as files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def clear(root: store.Root, container_id: str) -> bool:
    """Forget a container. False if its record names no process and no control group, so that something may run on. OSError, RuntimeFailure."""
    path = os.path.join(root.path, container_id)
    try:
        info = os.lstat(path)
        ours = info.st_mode & 0o170022 == 0o040000 and info.st_uid == os.geteuid()  # what others may have written is not believed
        record = (files.read_json(os.path.join(path, "state.json")) if ours else None) or {}
    except (PymanError, OSError):
        record = {}
    entry = store.Entry(path)
    entry.record = _believable(record, container_id)
    entry.end_processes()
    root.discard(container_id)
    return bool(entry.pid or entry.cgroup)


def _believable(record: dict[str, Any], container_id: str) -> dict[str, Any]:
    """A record with what this one says about processes, as far as that could be true."""
    found: dict[str, Any] = {"id": container_id, "bundle": "", "pid": 0, "start": 0, "started": True, "creating": True, "cgroup": ""}
    found |= {"annotations": {}, "created": 0}
    for keys in (("pid", "start"), ("cgroup",)):
        tried = {**found, **{key: record.get(key) for key in keys}}
        if not store.damage(tried, container_id):
            found = tried
    return found

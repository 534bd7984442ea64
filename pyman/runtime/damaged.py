"""Containers whose record cannot be used: what is known of their processes is ended, then they are forgotten. The runtime program, delete --force only."""

from __future__ import annotations

import os

from pyman.errors import PymanError
from pyman.linux import process
from pyman.runtime import cgroup, store
from pyman.state import store as files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BEGUN = 60  # seconds from the copy of a configuration to the container's first process, at most


def clear(root: store.Root, container_id: str) -> bool:
    """Forget a container. False if no process and no control group of it could be found, so that something may run on. OSError, RuntimeFailure."""
    path = os.path.join(root.path, container_id)
    record: dict[str, Any] = {}
    group = ""
    try:
        info = os.lstat(path)
        if info.st_mode & 0o170022 == 0o040000 and info.st_uid == os.geteuid():  # what others may have written is not believed
            group = _find_group(path, container_id)
            record = files.read_json(os.path.join(path, "state.json")) or {}
    except (PymanError, OSError):
        pass
    entry = store.Entry(path)
    entry.record = _believable({"cgroup": group, **record} if group else record, container_id)
    entry.record["cgroup"] = entry.cgroup or group
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


def _find_group(entry: str, container_id: str) -> str:
    """The container's control group by its name, if its first process began when this container was made; else "".

    (Another state directory may have had a container of that name since.)
    """
    copy = os.path.join(entry, "config.json")
    spec = files.read_json(copy) or {}
    linux = spec.get("linux")
    named = linux.get("cgroupsPath") if isinstance(linux, dict) else ""
    made = os.stat(copy).st_mtime
    for place in _places(named if isinstance(named, str) else "", container_id):
        begun = [moment for pid in cgroup.processes(place) if (moment := process.began(pid))] if cgroup.may_be(place) else []
        if begun and made - 1 <= min(begun) <= made + _BEGUN:
            return place
    return ""


def _places(named: str, container_id: str) -> Iterator[str]:
    """Where runtime/cgroup_place.py makes control groups by files."""
    top, base = cgroup.hierarchy(), cgroup.path_of()
    if top and named.startswith("/"):
        yield top + named.rstrip("/")
    name = (named.strip("/").rpartition("/")[2] if named.startswith("/") else named.strip("/")) or f"pyman-{container_id}"
    while top and base.startswith(top):
        yield f"{base}/{name}"
        base = os.path.dirname(base)

"""Containers that run and whose directory was taken out of the store: it is made again with what is still known of them. CLI process, such only.

So they are listed, stopped and removed as others are, and nobody else gets their names and addresses meanwhile. What tells of them is their
directory of what runs, their name and the arguments of their monitor. Their configuration and their files have gone.
"""

from __future__ import annotations

import os

from pyman import errors
from pyman.engine import lost_state, names
from pyman.engine.container import Container, containers_dir
from pyman.engine.container_list import without_directory
from pyman.errors import PymanError, StorageError
from pyman.linux import process
from pyman.network import attachments
from pyman.state import store
from pyman.storage import trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHY = "its directory was removed from the store while it ran"


def bring_back(ids: list[str]) -> list[str]:
    """Those of `ids` that run, each with a directory again; of those that do not, their names and what they left go."""
    mine = set(lost_state.all_names().values())  # another store may run its containers beside ours
    found = []
    for container_id in ids:
        container = Container(container_id)
        if container_id not in mine or os.path.exists(os.path.join(container.dir, "config.json")):
            continue
        monitor, init = lost_state.living(container)
        if init and any(pid == init for pid, _, _ in process.children(monitor)):
            if _made(container, monitor):
                found.append(container_id)
        elif not monitor and not os.path.lexists(container.dir):
            names.release_all(container_id)
            trash.remove_tree(container.run_dir)
    return found


def runs(container: Container) -> bool:
    """Whether the container runs, although it seems to have gone; then it has a directory again."""
    return os.path.isdir(container.run_dir) and bool(bring_back([container.id]))


def lookup(text: str) -> Container | None:
    """The one of that name, or whose id begins so."""
    named = lost_state.all_names().get(text, "")
    found = bring_back([entry for entry in without_directory([]) if entry == named or (text and entry.startswith(text))])
    return Container(found[0]) if len(found) == 1 else None


def unlisted(entries: list[str]) -> list[str]:
    """The names of those that run and could not be given a state again; `entries`: the ids of those that have one."""
    here = {entry for entry in without_directory(entries) if not os.path.exists(os.path.join(containers_dir(), entry, "state.json"))}
    return [name for name, owner in lost_state.all_names().items() if owner in here and lost_state.living(Container(owner))[1]]


def _made(container: Container, monitor: int) -> bool:
    words = process.words(monitor)
    given = dict(zip(words, words[1:]))
    try:
        os.makedirs(containers_dir(), 0o700, exist_ok=True)
        if not os.path.isdir(container.dir):
            os.mkdir(container.dir, 0o700)
        if os.path.basename(given.get("--cgroup", "")):
            store.write_text(os.path.join(container.dir, "cgroup"), given["--cgroup"])
        _save_log(container, monitor, given)
        state = lost_state.rebuilt(container, StorageError(f"cannot use {container.dir}", _WHY))
        state.update(note=_WHY, attached=_attached(container))
        state["networks"] = [status["name"] for status in state["attached"]]
        state["attachments"] = [attachments.new(name) for name in state["networks"]]
        state["network_mode"] = "bridge" if state["attached"] else ""
        store.write_json(os.path.join(container.dir, "state.json"), state)
        store.write_text(os.path.join(container.dir, lost_state.RETURNED), "")
    except (PymanError, OSError) as err:
        if errors.tell:
            errors.tell(f"container {container.id[:12]} runs, and cannot be listed: {_WHY}, and cannot be made again: {err}")
        return False
    if errors.tell:
        errors.tell(f"container {state['name']}: {_WHY}; what it wrote and was made as is lost: remove it (pyman rm -f {state['name']})")
    return True


def _save_log(container: Container, monitor: int, given: dict[str, str]) -> None:
    """What the monitor has logged until now: it goes on with a file that nobody else can open."""
    path = given.get("--log", "")
    if os.path.dirname(path) != container.dir or os.path.lexists(path):
        return
    try:
        with open(f"/proc/{monitor}/fd/{int(given.get('--log-fd', ''))}", "rb") as source, open(path, "xb") as copy:
            while data := source.read(1 << 20):
                copy.write(data)
    except (OSError, ValueError):
        pass  # then it is lost


def _attached(container: Container) -> list[dict[str, Any]]:
    """Its bridge networks, by the addresses that it holds."""
    from pyman.config import containers as containers_conf
    from pyman.engine import bridge_leases
    from pyman.network import config, ipam

    held = {name: [at for at, owner in leases.items() if owner == container.id] for name, leases in ipam.held().items()}
    if not any(held.values()):
        return []
    records = {record["name"]: record for record in config.everything(containers_conf.load())[0]}
    return [
        bridge_leases.noted({"record": records[name], "addresses": [{"address": at} for at in found], "aliases": []})
        for name, found in held.items()
        if found and name in records
    ]

"""What a container has lost by a power cut, a full disk or a hand, made again from all else: its state, its name. CLI process, such containers only.

What is not written down anywhere else is lost: how often it was restarted, what `update` and `rename` changed but for the name.
"""

from __future__ import annotations

import os

from pyman import errors, paths
from pyman.engine import container_records
from pyman.engine.container import CONFIG_KINDS, STATE_KINDS, Container, all_ids, finished, names_dir
from pyman.errors import PymanError, StorageError
from pyman.linux import process
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def made_again(container: Container, damage: StorageError) -> dict[str, Any]:
    """The state, written unless another command has the container locked; the user is told. `damage` if the configuration is damaged, too."""
    lock = Lock(container.dir)
    mine = container.lock_fd >= 0
    try:
        locked = mine or lock.try_acquire()
    except OSError:
        raise damage from None
    path = os.path.join(container.dir, "state.json")
    try:
        try:
            found = store.read_json(path, STATE_KINDS)
        except StorageError:
            found = None
        if found:
            return found  # somebody else was quicker
        state = _made(container, damage)
        if locked:
            store.write_json(path, state)
            if errors.tell:
                errors.tell(f"{damage}; the state of container {state['name']} has been made again: it is {state['status']}")
        return state
    finally:
        lock.release()


def named(name: str) -> Container | None:
    """The container of that name to which no entry of names/ leads any more; it has one again."""
    for container in _nameless():
        try:
            found = container.state["name"] == name
        except PymanError:
            continue
        if found:
            give_name(container)
            return container
    return None


def _nameless() -> list[Container]:
    """The complete containers that no name leads to."""
    led_to = set()
    try:
        for entry in os.listdir(names_dir()):
            try:
                led_to.add(os.readlink(os.path.join(names_dir(), entry)))
            except OSError:
                continue
    except FileNotFoundError:
        pass
    found = [Container(each) for each in all_ids() if each not in led_to]
    return [container for container in found if os.path.exists(os.path.join(container.dir, "config.json"))]


def give_name(container: Container) -> None:
    """Its name leads to it again, unless that is another's by now."""
    try:
        os.makedirs(names_dir(), 0o700, exist_ok=True)
        os.symlink(container.id, os.path.join(names_dir(), container.name))
    except OSError:
        pass


def _made(container: Container, damage: StorageError) -> dict[str, Any]:
    try:
        config = store.read_json(os.path.join(container.dir, "config.json"), CONFIG_KINDS)
        if config is None:
            raise damage
        state = {**container_records.first_state(config, config["options"]), "name": _name(container, str(config["name"]))}
    except (PymanError, AttributeError, KeyError, TypeError):
        raise damage from None
    used = _volumes(container)
    state["volume_at"], state["mounts"] = used, sorted(used)
    monitor, init = _living(container)
    started = os.path.exists(os.path.join(container.dir, "spec.json"))
    if init:
        state.update(status="running", pid=init, pid_start=process.start_time(init), boot_id=process.boot_id(), started=process.began(init))
        state.update(monitor_pid=monitor, monitor_start=process.start_time(monitor))
        state["cgroup"] = store.read_text(os.path.join(container.dir, "cgroup")) or ""
    elif started:
        finished(state, container.exit_record(), True)
        state["started"] = state["started"] or state["finished"]
    state["note"] = f"its state was damaged and made again from what else there was ({damage.why})"
    return state


def _name(container: Container, first: str) -> str:
    """The name that leads to the container: it may have been renamed."""
    try:
        entries = os.listdir(names_dir())
    except FileNotFoundError:
        entries = []
    for name in entries:
        try:
            if os.readlink(os.path.join(names_dir(), name)) == container.id:
                return name
        except OSError:
            continue
    return first


def _living(container: Container) -> tuple[int, int]:
    """(the monitor, init) of a container that runs, by what its monitor was started with; zeros for others."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid != os.geteuid():
                continue
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if words[0] == "pyman-monitor" and words[1:2] == ["--init"] and container.exit_path in words:
            init = int(words[2]) if words[2].isdigit() else 0
            return (int(entry), init) if process.start_time(init) else (0, 0)
    return 0, 0


def _volumes(container: Container) -> dict[str, str]:
    """Path in the container -> the volume there, by the specification of its last start."""
    top = os.path.join(paths.graphroot(), "volumes") + "/"
    try:
        spec = store.read_json(os.path.join(container.dir, "spec.json")) or {}
        found = [(str(each["destination"]), str(each.get("source") or "")) for each in spec.get("mounts") or []]
    except (PymanError, KeyError, TypeError, AttributeError):
        return {}
    return {place: source[len(top) :].split("/")[0] for place, source in found if source.startswith(top)}

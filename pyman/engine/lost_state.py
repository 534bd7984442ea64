"""The state of a container whose state.json is damaged or gone (a power cut, a full disk, a hand), made again from all else. CLI process, such only.

What is not written down anywhere else is lost: how often it was restarted, what `update` and `rename` changed but for the name. Where the
configuration is damaged, too, the container can still be listed, stopped and removed. Names that lead nowhere any more are given again here.
"""

from __future__ import annotations

import os
import stat

from pyman import errors, paths
from pyman.engine import container_records, run_end
from pyman.engine.container import REMOVED, Container, all_ids, containers_dir, names_dir
from pyman.engine.record_kinds import CONFIG_KINDS, STATE_KINDS
from pyman.errors import NoSuchContainer, PymanError, StorageError
from pyman.linux import process
from pyman.state import store
from pyman.state.lock import Lock

EACCES = 13
RETURNED = "returned"  # file in the directory of a container that has been made again (engine/vanished.py)
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def complete(path: str) -> bool:
    """Whether a container's directory is one that is not just being made or removed. It may have lost its configuration, or be no directory."""
    if os.path.exists(os.path.join(path, "config.json")):
        return True
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    if not stat.S_ISDIR(mode) or mode & 0o700 != 0o700:
        return True
    known = any(os.path.exists(os.path.join(path, name)) for name in ("spec.json", RETURNED))
    return known and not os.path.lexists(os.path.join(path, "config.json" + REMOVED))


def without_configuration(container: Container) -> PymanError:
    """Why there is none."""
    if not complete(container.dir):
        return NoSuchContainer(f"no container with ID {container.id[:12]}", "it was removed")
    why, hint = "it is missing", f"remove the container (pyman rm --force {container.id[:12]}), or restore the file"
    if os.path.exists(os.path.join(container.dir, RETURNED)):
        why = f"it is missing: the directory of container {container.name} was removed from the store while it ran"
        hint = f"nothing can bring it back: remove the container (pyman rm --force {container.id[:12]})"
    return StorageError(f"cannot use {container.dir}/config.json", why, hint)


def made_again(container: Container, damage: StorageError | None) -> dict[str, Any]:
    """The state, written unless another command has the container locked; the user is told. damage: None if the file is missing.

    NoSuchContainer for what is being made or was removed.
    """
    open_directory(container.dir)
    path = os.path.join(container.dir, "state.json")
    if damage is None:
        if not complete(container.dir):
            raise NoSuchContainer(f"no container with ID {container.id[:12]}", "it was removed")
        damage = StorageError(f"cannot use {path}", "it is missing")
    lock = Lock(container.dir)
    try:
        locked = container.lock_fd >= 0 or lock.try_acquire()
    except OSError:
        locked = False
    try:
        try:
            found = store.read_json(path, STATE_KINDS)  # somebody else was quicker, or it can be read again
        except StorageError:
            found = None
        if found:
            return found
        if not complete(container.dir):
            raise NoSuchContainer(f"no container with ID {container.id[:12]}", "it was removed")
        state = rebuilt(container, damage)
        written = locked and _written(path, state)
        if errors.tell:
            what = "has been made again" if written else "is not known"
            errors.tell(f"{damage}; the state of container {state['name']} {what}: it is {state['status']}")
        return state
    finally:
        lock.release()


def lock_again(lock: Lock, err: OSError) -> None:
    """After what went wrong with the lock of a container's directory: it is tried again where that helps. StorageError."""
    open_directory(lock.path)
    try:
        if err.errno != EACCES:
            raise err
        lock.acquire()
    except OSError as last:
        hint = f"remove it with what is still known of it: pyman rm --force {os.path.basename(lock.path)[:12]}"
        raise StorageError(f"cannot use {lock.path}", last.strerror or str(last), hint) from last


def open_directory(path: str) -> None:
    """Let us enter a directory of ours."""
    try:
        info = os.lstat(path)
        if stat.S_ISDIR(info.st_mode) and info.st_mode & 0o700 != 0o700 and info.st_uid == os.geteuid():
            os.chmod(path, 0o700)
    except OSError:
        pass  # it has gone, or is another's


def _written(path: str, state: dict[str, Any]) -> bool:
    from pyman.storage import trash

    try:
        if os.path.isdir(path) and not os.path.islink(path):
            trash.discard(path)
        store.write_json(path, state)
    except (PymanError, OSError):
        return False
    return True


def _config(container: Container) -> dict[str, Any]:
    """The configuration; what any has, where it is damaged."""
    try:
        config = store.read_json(os.path.join(container.dir, "config.json"), CONFIG_KINDS)
        if config and container_records.first_state(config, config["options"]):
            return config
    except (PymanError, AttributeError, KeyError, TypeError, ValueError):
        pass
    try:
        created = os.lstat(container.dir).st_mtime
    except OSError:
        created = 0.0
    empty: dict[str, Any] = {"options": {}, "image_config": {}, "command": [], "layers": [], "image": {"name": "", "id": ""}}
    return {**empty, "id": container.id, "name": container.id[:12], "rootfs": "", "created": created}


def rebuilt(container: Container, damage: StorageError) -> dict[str, Any]:
    """The state as far as it can be known."""
    config = _config(container)
    state = {**container_records.first_state(config, config["options"]), "id": container.id}
    state["name"] = _name(container, str(config["name"]))
    monitor, init = living(container)
    used = {**_asked(config), **_volumes(container)}
    if init:
        from pyman.engine import living_mounts  # of what runs only

        seen = living_mounts.volumes(container, monitor, init)
        if seen is None and not used and not os.path.exists(os.path.join(container.dir, "spec.json")):
            state["volumes_unknown"] = True  # see volumes.used_by
        used = {**used, **(seen or {})}
    state["volume_at"], state["mounts"] = used, sorted(used)
    started = os.path.exists(os.path.join(container.dir, "spec.json"))
    if init:
        state.update(status="running", pid=init, pid_start=process.start_time(init), boot_id=process.boot_id(), started=process.began(init))
        state.update(monitor_pid=monitor, monitor_start=process.start_time(monitor))
        try:
            state["cgroup"] = store.read_text(os.path.join(container.dir, "cgroup")) or ""
        except StorageError:
            state["cgroup"] = ""
    elif started:
        run_end.note(state, container.exit_record(), True)
        state["started"] = state["started"] or state["finished"]
    state["note"] = f"its state was damaged and made again from what else there was ({damage.why})"
    return state


def _name(container: Container, first: str) -> str:
    """The name that leads to the container: it may have been renamed."""
    found = next((name for name, target in all_names().items() if target == container.id), first)
    if found == container.id[:12]:
        from pyman.state import eventlog  # without a configuration, too

        found = next((event["Name"] for event in reversed(list(eventlog.read())) if event["ID"] == container.id and event["Name"]), found)
    return found


def all_names() -> dict[str, str]:
    """Every name -> the id that it leads to; empty for what is no symbolic link."""
    try:
        entries = os.listdir(names_dir())
    except OSError:
        return {}
    found = {}
    for name in entries:
        try:
            found[name] = os.readlink(os.path.join(names_dir(), name))
        except OSError:
            found[name] = ""
    return found


def lookup(name: str) -> Container | None:
    """The container of this name that has no configuration, or to which the name does not lead any more: then it gets it back."""
    target = all_names().get(name, "")
    if len(target) == 64 and "/" not in target and complete(os.path.join(containers_dir(), target)):
        return Container(target)
    from pyman.engine import vanished

    if found := vanished.lookup(name):
        return found
    if len(target) == 64 and "/" not in target and living(Container(target))[0]:
        return Container(target)
    for container_id in nameless():
        if give_name(Container(container_id)) == name:
            return Container(container_id)
    return None


def nameless() -> list[str]:
    """The ids of containers that no name leads to: some are just being made."""
    known = set(all_names().values())
    return [entry for entry in all_ids() if entry not in known]


def give_name(container: Container) -> str:
    """Let the container's name lead to it again, another one if it has been given away meanwhile; empty if somebody works on the container."""
    from pyman.engine import names

    lock = Lock(container.dir)
    try:
        if not complete(container.dir) or not lock.try_acquire():
            return ""
        container._state = None
        name = first = container.name
        link = os.path.join(names_dir(), name)
        names.check(name)
        if os.path.islink(link) and os.readlink(link) == container.id:
            return name  # it was just being made, or renamed
        try:
            names.take(name, container.id)
        except errors.NameInUse:
            name = f"{name[:200]}_{container.id[:12]}"
            names.take(name, container.id)
            container.state["name"] = name
            container.save()
        if errors.tell:
            also = f"; {first} is another container's now" if name != first else ""
            errors.tell(f"no name led to container {container.id[:12]} any more: it is {name} again{also}")
        return name
    except (PymanError, OSError):
        return ""
    finally:
        lock.release()


def living(container: Container) -> tuple[int, int]:
    """(the monitor, init) of a container that runs, by what its monitor was started with; zeros for others."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid != os.geteuid():
                continue
        except OSError:
            continue
        words = process.words(int(entry))
        if words[:2] == ["pyman-monitor", "--init"] and container.exit_path in words:
            init = int(words[2]) if words[2].isdigit() else 0
            return (int(entry), init) if process.start_time(init) else (int(entry), 0)
    return 0, 0


def _asked(config: dict[str, Any]) -> dict[str, str]:
    """The same of those that the user has named, by the configuration: it may never have been started."""
    from pyman.engine import mount_plan
    from pyman.engine.plan import VolumeStore

    found = VolumeStore({}, make=False)
    try:
        mount_plan.chosen(config["options"], config["image_config"], found, look=False)
    except (PymanError, OSError, *errors.UNEXPECTED):
        pass  # what came before is known
    return {place: name for place, name in found.used.items() if name not in found.anonymous}


def _volumes(container: Container) -> dict[str, str]:
    """Path in the container -> the volume there, by the specification of its last start."""
    top = os.path.join(paths.graphroot(), "volumes") + "/"
    try:
        spec = store.read_json(os.path.join(container.dir, "spec.json")) or {}
        found = [(str(each["destination"]), str(each.get("source") or "")) for each in spec.get("mounts") or []]
    except (PymanError, KeyError, TypeError, AttributeError):
        return {}
    return {place: source[len(top) :].split("/")[0] for place, source in found if source.startswith(top)}

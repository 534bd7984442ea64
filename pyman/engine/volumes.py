"""Named and anonymous volumes: graphroot/volumes/NAME/ with _data, volume.json and state.json. CLI process and C.

volume.json says what the volume was made as and never changes; it is on disk before the volume has its name. state.json
(what has been done on its first use) may be lost: then it is found out again. Each volume is locked by its directory.
"""

from __future__ import annotations

import os
import time

from pyman import paths, stages
from pyman.errors import NameInUse, NoSuchObject, PymanError, StorageError, UsageError
from pyman.state import events, store
from pyman.state.lock import Lock

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


def _top() -> str:
    return os.path.join(paths.graphroot(), "volumes")


def directory(name: str) -> str:
    """The volume's own directory, which is also its lock."""
    return os.path.join(_top(), name)


def data_path(name: str) -> str:
    """Where the volume's files lie."""
    return os.path.join(_top(), name, "_data")


def exists(name: str) -> bool:
    """Whether the volume exists."""
    path = directory(name)
    return os.path.isdir(path) and not os.path.islink(path)


def stray(name: str) -> StorageError | None:
    """What is to be said of a place that something other than a volume has: a FIFO, a file, a link. None if it has not."""
    try:
        mode = os.lstat(directory(name)).st_mode
    except OSError:
        return None
    kinds = {0o010000: "a FIFO", 0o140000: "a socket", 0o100000: "a file", 0o120000: "a symbolic link", 0o040000: ""}
    kind = kinds.get(mode & 0o170000, "a device")
    return StorageError(f"cannot use volume {name}", f"{kind} lies in its place", f"rm {directory(name)}") if kind else None


def create(
    name: str,
    *,
    anonymous: bool = False,
    labels: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    owner: tuple[int, int] | None = None,
    image: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make a volume and return its record. UsageError, NameInUse, StorageError.

    options: those of `volume create --opt`, checked by the caller; owner: uid and gid of its top directory, in the
    containers' ids, which no container's first use changes; image: see engine/volume_image.py.
    """
    check_name(name)
    record: dict[str, Any] = {
        "name": name,
        "created": time.time(),
        "anonymous": anonymous,
        "labels": dict(sorted((labels or {}).items())),
        "driver": "image" if image else "local",
        "options": dict(sorted((options or {}).items())),
        "owner": list(owner) if owner else None,
        **({"image": image} if image else {}),
    }
    tmp = os.path.join(paths.graphroot(), "tmp")
    path = os.path.join(tmp, f"volume-{os.urandom(8).hex()}")
    lock = Lock(path)
    try:
        for made in (tmp, _top()):
            os.makedirs(made, 0o700, exist_ok=True)
        with Lock(tmp, shared=True):  # no sweep between the directory and its lock
            os.mkdir(path, 0o700)
            lock.acquire()
        os.mkdir(os.path.join(path, "_data"), 0o755)
        if owner and owner != (0, 0):
            _give(os.path.join(path, "_data"), owner)
        # An anonymous volume is its container's; one that was asked for by name must outlive a loss of power.
        store.write_json(os.path.join(path, "volume.json"), record, sync=not anonymous)
        stages.reach("volume:made")
        _name_it(path, name)
        if not anonymous:
            store.sync_directory(_top())
    except OSError as err:
        raise StorageError(f"cannot create volume {name}", err.strerror or str(err), errno=err.errno or 0) from err
    finally:
        lock.release()
        if os.path.isdir(path):
            from pyman.storage import trash  # it did not get its name

            trash.discard(path)
    stages.reach("volume:named")
    events.emit("volume", "create", name, name)
    return record


def _name_it(path: str, name: str) -> None:
    try:
        os.rename(path, directory(name))
    except OSError as err:
        if err.errno in (17, 39, 20):  # EEXIST, ENOTEMPTY, ENOTDIR
            other = stray(name)
            if other:
                raise other from None
            raise NameInUse(
                f"cannot create volume {name}", f"volume with name {name} already exists", "take another name, or --ignore"
            ) from None
        raise


def _give(path: str, owner: tuple[int, int]) -> None:
    from pyman.rootless import userns  # only for volumes with an owner of their own

    def body() -> None:
        try:
            os.chown(path, *owner)
        except OSError as err:
            why = f"{owner[0]}:{owner[1]} is outside your subordinate id range" if err.errno == 22 else err.strerror or str(err)
            raise UsageError("cannot give the volume to its owner", why, "as root: give the user a larger range in /etc/subuid") from err

    if userns.in_userns():
        body()
    else:
        userns.call_in_userns(body)


def ensure(name: str, *, anonymous: bool = False, create_missing: bool = True, opts: list[str] | None = None) -> dict[str, Any]:
    """The volume's record; it is made if it does not exist, with `opts` (KEY=VALUE). UsageError, NoSuchObject, StorageError.

    Whoever removes the volume looks for containers under its lock. The caller's container is on disk already, so after
    this moment of waiting for the lock either the removal is over or the container will be seen.
    """
    check_name(name)
    while True:
        lock = Lock(directory(name), shared=True)
        try:
            with lock:
                return get(name)
        except FileNotFoundError:
            pass
        except NoSuchObject:
            if exists(name):
                raise
        except OSError as err:
            raise stray(name) or err from None
        if not create_missing:
            raise NoSuchObject(f"no volume with name {name!r} found", "no such volume", f"pyman volume create {name}")
        options: dict[str, str] | None = None
        owner: tuple[int, int] | None = None
        if opts:
            from pyman.engine import volume_create  # it imports this module

            options, owner = volume_create.parsed(name, opts)
        try:
            return create(name, anonymous=anonymous, options=options, owner=owner)
        except NameInUse:
            continue  # somebody else has just made it


def get(name: str) -> dict[str, Any]:
    """The volume's record. NoSuchObject; StorageError if it is damaged, which concerns this volume alone."""
    check_name(name)
    try:
        record = store.read_json(os.path.join(directory(name), "volume.json"))
    except StorageError as err:
        raise stray(name) or err from None
    if record is None:
        other = stray(name)
        if other:
            raise other
        if exists(name):
            raise StorageError(
                f"cannot use volume {name}", "its volume.json is missing", f"its files are in {data_path(name)}; pyman volume rm {name}"
            )
        raise NoSuchObject(f"no volume with name {name!r} found", "no such volume", "pyman volume ls lists the volumes")
    if record.get("name") != name or not isinstance(record.get("created"), (int, float)):
        raise StorageError(f"cannot use volume {name}", "its volume.json describes another volume", f"pyman volume rm {name}")
    return {"driver": "local", "options": {}, "labels": {}, "anonymous": False, "owner": None, **record}


def read_state(name: str) -> dict[str, Any]:
    """What its first use has done: {"copied", "owned"}; empty before it, or if it is not known."""
    try:
        return store.read_json(os.path.join(directory(name), "state.json")) or {}
    except PymanError:
        return {}


def write_state(name: str, state: dict[str, Any]) -> None:
    """Note what has been done."""
    store.write_json(os.path.join(directory(name), "state.json"), state)


def names() -> list[str]:
    """The names of all volumes, damaged ones too."""
    return [name for name in _places() if exists(name)]


def strays() -> list[StorageError]:
    """What lies among the volumes and is none."""
    return [found for found in map(stray, _places()) if found]


def _places() -> list[str]:
    try:
        return sorted(name for name in os.listdir(_top()) if not name.startswith("."))
    except FileNotFoundError:
        return []


def lookup(name: str) -> str:
    """The full name for a name or the beginning of one. NoSuchObject, PymanError (ambiguous)."""
    if name and "/" not in name and not name.startswith("."):
        if exists(name):
            return name
        other = stray(name)
        if other:
            raise other
    found = [other for other in names() if name and other.startswith(name)]
    if len(found) > 1:
        raise PymanError(f"cannot choose a volume for {name}", "more than one result for volume name " + name, "give more of the name")
    if not found:
        raise NoSuchObject(f"no volume with name {name!r} found", "no such volume", "pyman volume ls lists the volumes")
    return found[0]


def every() -> tuple[list[dict[str, Any]], list[PymanError]]:
    """(records of all volumes, oldest first; what is wrong with the damaged ones)."""
    records, errors = [], []
    for name in names():
        try:
            records.append(get(name))
        except NoSuchObject:
            continue  # removed just now
        except PymanError as err:
            errors.append(err)
    return sorted(records, key=lambda record: record["created"]), errors


def used_by() -> dict[str, list[tuple[str, str]]]:
    """Volume name -> (id, name) of the containers that have it, whatever their state. StorageError if one cannot be read.

    The files as they are: nothing is brought up to date and nothing collected, since the caller may be at that. StorageError, too, while a
    container runs of which nothing tells what it has.
    """
    from pyman.engine import container, container_list

    found: dict[str, list[tuple[str, str]]] = {}
    known = []
    for entry in container.all_ids():
        state = store.read_json(os.path.join(container.containers_dir(), entry, "state.json"))
        if state is None:
            continue
        known.append(entry)
        if state.get("volumes_unknown"):
            raise _unknown(str(state.get("name", "")))
        for name in set((state.get("volume_at") or {}).values()):
            found.setdefault(name, []).append((entry, str(state.get("name", ""))))
    if container_list.without_directory(known):
        from pyman.engine import vanished  # such containers only

        for name in vanished.unlisted(known):
            raise _unknown(name)
    return found


def _unknown(name: str) -> StorageError:
    why = f"container {name} may have any: its records were removed from the store while it ran, and the kernel does not tell"
    return StorageError("cannot tell which volumes are in use", why, f"remove it first: pyman rm --force {name}")


def users(name: str) -> list[str]:
    """The ids of the containers that have the volume by name, by an image's volume, or from another container."""
    return [container_id for container_id, _ in used_by().get(name, [])]

"""--secret: what a container has of secrets. Read at create, kept sealed beside its configuration, given to it at each start.

CLI process and C. The value goes from memory to a file system in memory (ramfs, which is never swapped out), or to init's
memory; it is in no specification, on no disk and in no argument.
"""

from __future__ import annotations

import os

from pyman.errors import StorageError, UsageError
from pyman.linux import libc
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_PLACE = "/run/secrets"
HIDDEN = "*******"


def parse(spec: str) -> dict[str, Any]:
    """--secret SOURCE[,type=mount|env][,target=][,uid=][,gid=][,mode=]. UsageError."""
    found: dict[str, Any] = {"source": "", "type": "", "target": "", "uid": 0, "gid": 0, "mode": 0o444}
    items = spec.split(",")
    if len(items) == 1 or "=" not in items[0]:
        found["source"] = items.pop(0)
    owned = False
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"invalid secret {spec!r}", f"option {item} must be in form option=value")
        if key == "type":
            if found["type"]:
                raise UsageError(f"invalid secret {spec!r}", "it has more than one type")
            if value not in ("mount", "env"):
                raise UsageError(f"invalid secret {spec!r}", f"type {value} is invalid", "types are mount and env")
        elif key in ("uid", "UID", "gid", "GID", "mode"):
            owned, key = True, key.lower()
        elif key not in ("source", "target"):
            raise UsageError(f"invalid secret {spec!r}", f"option {item} is invalid", "options are source, type, target, uid, gid and mode")
        found[key] = value
    if not found["source"]:
        raise UsageError(f"invalid secret {spec!r}", "it names no secret")
    found["type"] = found["type"] or "mount"
    if found["type"] == "env" and owned:
        raise UsageError(f"invalid secret {spec!r}", "UID, GID, mode options cannot be set with secret type env")
    if found["type"] == "env" and ("=" in found["target"] or "\0" in found["target"]):
        raise UsageError(f"invalid secret {spec!r}", "its target is no name of a variable")
    for key, base, most in (("uid", 10, 2**32 - 2), ("gid", 10, 2**32 - 2), ("mode", 8, 0o7777)):
        text = found[key]
        if isinstance(text, str):
            if not text or text.strip("0123456789"[:base]) or len(text) > 11 or int(text, base) > most:
                raise UsageError(f"invalid secret {spec!r}", f"{key} {text} invalid")
            found[key] = int(text, base)
    return found


def take(specs: list[str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(what config.json keeps of --secret; the sealed values by position), as the secrets are now. UsageError, NoSuchObject."""
    from pyman.engine import mounts, secrets
    from pyman.state import seal  # hashlib: only where a value is touched

    kept: list[dict[str, Any]] = []
    sealed: dict[str, str] = {}
    places: dict[tuple[str, str], str] = {}
    key = b""
    for spec in specs:
        wanted = parse(spec)
        record, value = secrets.reveal(wanted.pop("source"))
        wanted.update(name=record["name"], id=record["id"])
        if wanted["type"] == "mount":
            target = wanted["target"] or record["name"]
            wanted["target"] = mounts.clean_destination(target if target.startswith("/") else f"{_PLACE}/{target}", spec)
        else:
            wanted["target"] = wanted["target"] or record["name"]
        place = (wanted["type"], wanted["target"])
        if place in places and places[place] == record["id"]:
            continue  # given twice
        if place in places:
            raise UsageError(
                f"cannot use secret {record['name']}", f"two secrets have the target {wanted['target']}", "give one another target="
            )
        places[place] = record["id"]
        if wanted["type"] == "env" and b"\0" in value:
            raise UsageError(f"cannot use secret {record['name']}", "a variable cannot hold its NUL bytes", "use type=mount")
        key = key or seal.read_key(create=True)
        sealed[str(len(kept))] = seal.seal(key, value, _about(wanted)).hex()
        kept.append(wanted)
    return kept, sealed


def _about(wanted: dict[str, Any]) -> bytes:
    return f"container:{wanted['id']}:{wanted['type']}:{wanted['target']}".encode()


def path(container: Container) -> str:
    """The file with a container's sealed values."""
    return os.path.join(container.dir, "secrets.json")


def values(container: Container, kind: str) -> list[tuple[int, dict[str, Any], bytes]]:
    """(position, what was asked for, value) of the container's secrets of one type. StorageError."""
    wanted = [(index, item) for index, item in enumerate(container.config.get("secrets") or []) if item["type"] == kind]
    if not wanted:
        return []
    from pyman.engine import secret_drivers
    from pyman.state import seal

    sealed = store.read_json(path(container)) or {}
    key = seal.read_key()
    found = []
    for index, item in wanted:
        try:
            found.append((index, item, seal.open_sealed(key, bytes.fromhex(str(sealed.get(str(index), ""))), _about(item))))
        except ValueError as err:
            raise secret_drivers.broken(item["name"]) from err
    return found


def environment(container: Container) -> list[str]:
    """NAME=VALUE of the secrets that are variables. StorageError."""
    return [f"{item['target']}={value.decode('utf-8', 'surrogateescape')}" for _, item, value in values(container, "env")]


def with_environment(entries: list[str], secret: list[str]) -> list[str]:
    """An environment with the secret variables in place of equal ones."""
    names = {item.partition("=")[0] for item in secret}
    return [entry for entry in entries if entry.partition("=")[0] not in names] + secret


def with_secrets(process: dict[str, Any], secret: list[str]) -> dict[str, Any]:
    """The process of an OCI configuration with the secret variables; no error is to name its PATH if that is one of them."""
    hidden = {"hidden_path": True} if any(item.startswith("PATH=") for item in secret) else {}
    return {**process, "env": with_environment(list(process.get("env") or []), secret), **hidden}


def entries(kept: list[dict[str, Any]], run_dir: str, taken: set[str], readonly: bool) -> list[dict[str, Any]]:
    """The OCI mounts of a container's secrets. taken: the places of the user's own mounts; readonly: the root is."""
    files = [(index, item) for index, item in enumerate(kept) if item["type"] == "mount" and item["target"] not in taken]
    found: list[dict[str, Any]] = []
    if any(item["target"].startswith(_PLACE + "/") for _, item in files) and not {"/run/secrets", "/var/run/secrets"} & taken:
        options = ["nosuid", "nodev", "noexec", "mode=755", "size=1m", *(["ro"] if readonly else [])]
        found.append({"destination": _PLACE, "type": "tmpfs", "source": "tmpfs", "options": options})
    flags = ["bind", "rprivate", "nosuid", "nodev", "noexec", "ro"]
    return found + [
        {"destination": item["target"], "type": "bind", "source": os.path.join(run_dir, "secrets", str(index)), "options": flags}
        for index, item in files
    ]


def place(found: list[tuple[int, dict[str, Any], bytes]], run_dir: str, mappings: tuple[Any, Any]) -> str:
    """In C: the files in memory that `entries` names; where they are mounted, in this mount namespace only. StorageError."""
    from pyman.engine import volume_fill

    top = os.path.join(run_dir, "secrets")
    try:
        os.makedirs(top, 0o700, exist_ok=True)
        flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
        try:
            libc.mount("ramfs", top, "ramfs", flags, "mode=0700")
        except OSError:
            libc.mount("tmpfs", top, "tmpfs", flags, "mode=0700")  # a kernel without: it may be swapped out
        for index, item, value in found:
            fd = os.open(os.path.join(top, str(index)), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                view = memoryview(value)
                while view:
                    view = view[os.write(fd, view) :]
                os.fchown(fd, volume_fill.outside(mappings[0], item["uid"]), volume_fill.outside(mappings[1], item["gid"]))
                os.fchmod(fd, item["mode"])
            finally:
                os.close(fd)
    except OSError as err:
        why = "its uid or gid is outside the container's ids" if err.errno == 22 else err.strerror or str(err)
        raise StorageError("cannot give the container its secrets", why, errno=err.errno or 0) from err
    return top


def masked(kept: list[dict[str, Any]]) -> list[str]:
    """How inspect shows the secret variables."""
    return [f"{item['target']}={HIDDEN}" for item in kept if item["type"] == "env"]


def shown(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Config.Secrets of inspect."""
    return [
        {"Name": item["name"], "ID": item["id"], "UID": item["uid"], "GID": item["gid"], "Mode": item["mode"]}
        for item in kept
        if item["type"] == "mount"
    ]

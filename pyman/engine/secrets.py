"""Secrets as objects: graphroot/secrets/ID.json says what a secret is; its value lies where its driver keeps it. CLI process.

The file of a name's newest secret is on disk before its predecessor goes, and a value before the file that names it.
"""

from __future__ import annotations

import os
import time

from pyman import stages
from pyman.engine import secret_drivers
from pyman.errors import NameInUse, NoSuchObject, PymanError, StorageError, UsageError
from pyman.state import events, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SIZE = 512_000  # bytes, as in Podman


def check_name(name: str) -> None:
    """UsageError for a name that Podman does not take."""
    if not 0 < len(name) <= 253 or any(char in name for char in "=/,\0"):
        raise UsageError(
            f"invalid secret name {name[:300]!r}",
            "it cannot include '=', '/', ',' or NUL, and has 1 to 253 characters",
            "take another name",
        )


def _path(secret_id: str) -> str:
    return os.path.join(secret_drivers.directory(), secret_id + ".json")


def every() -> tuple[list[dict[str, Any]], list[PymanError]]:
    """(records of all secrets, oldest first; what is wrong with the damaged ones)."""
    records: dict[str, dict[str, Any]] = {}
    errors: list[PymanError] = []
    try:
        entries = os.listdir(secret_drivers.directory())
    except FileNotFoundError:
        entries = []
    for entry in sorted(entries):
        if not entry.endswith(".json"):
            continue
        try:
            record = store.read_json(os.path.join(secret_drivers.directory(), entry))
        except PymanError as err:
            errors.append(err)
            continue
        if record is None or not isinstance(record.get("name"), str) or entry != f"{record.get('id')}.json":
            if record is not None:
                errors.append(StorageError(f"cannot use {entry} in {secret_drivers.directory()}", "it does not describe a secret"))
            continue
        other = records.get(record["name"])
        if other is None or other["updated"] < record["updated"]:  # a predecessor that a killed command has left counts no more
            records[record["name"]] = record
    return sorted(records.values(), key=lambda item: (item["created"], item["name"])), errors


def lookup(text: str) -> dict[str, Any]:
    """The secret of that name, id, or beginning of an id. NoSuchObject."""
    for _ in range(3):  # one that is replaced while they are listed may be met neither as it was nor as it is
        records, _ = every()
        for record in records:
            if text in (record["name"], record["id"]):
                return record
    found = [record for record in records if text and record["id"].startswith(text)]
    if len(found) == 1:
        return found[0]
    why = "several ids begin so" if found else "no such secret"
    raise NoSuchObject(f"no secret with name or id {text!r}", why, "pyman secret ls lists the secrets")


def create(
    name: str,
    value: bytes,
    *,
    driver: str = "file",
    options: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    replace: bool = False,
    ignore: bool = False,
) -> str:
    """Make a secret; its id. With `ignore` an existing one's id. UsageError, NameInUse, StorageError, MissingProgram."""
    check_name(name)
    given = name
    if not 0 < len(value) < MAX_SIZE:
        raise UsageError(f"cannot create secret {name}", f"secret data must be larger than 0 and less than {MAX_SIZE} bytes")
    used = secret_drivers.check(driver, options or {})
    os.makedirs(secret_drivers.directory(), 0o700, exist_ok=True)
    with Lock(secret_drivers.directory()):
        # A name that is another one's id would mean that one: as in Podman it is that one's, with --replace too.
        old = next((record for record in every()[0] if name in (record["name"], record["id"])), None)
        name = str(old["name"]) if old else name
        if old and ignore:
            return str(old["id"])
        if old and not replace:
            raise NameInUse(f"cannot create secret {given}", "secret name in use", "take another name, --replace or --ignore")
        now = time.time()
        record = {
            "id": os.urandom(13).hex()[:25],
            "name": name,
            "created": old["created"] if old else now,
            "updated": now,
            "driver": driver,
            "options": used,
            "labels": dict(sorted((labels or {}).items())),
        }
        secret_drivers.store(record, value)
        stages.reach("secret:stored")
        store.write_json(_path(str(record["id"])), record, sync=True)
        stages.reach("secret:created")
        _sweep(record)
    events.emit("secret", "create", str(record["id"]), name)
    return str(record["id"])


def _sweep(record: dict[str, Any]) -> None:
    """Delete the predecessors of a secret, and values in the store that killed commands have left without a file. Under the lock."""
    directory = secret_drivers.directory()
    entries = os.listdir(directory)
    for entry in entries:
        if entry.endswith(".json") and entry != f"{record['id']}.json":
            try:
                other = store.read_json(os.path.join(directory, entry))
            except PymanError:
                continue
            if other and other.get("name") == record["name"]:
                _discard(other)
        elif entry.endswith(".sealed") and f"{entry.removesuffix('.sealed')}.json" not in entries and record["id"] not in entry:
            os.unlink(os.path.join(directory, entry))


def _discard(record: dict[str, Any]) -> None:
    """Delete a secret. One whose value its driver cannot delete stays as it is: it can be tried again. StorageError, MissingProgram."""
    swept = record["driver"] == "file" and record["options"].get("path") == secret_drivers.directory()  # see _sweep
    if not swept:
        secret_drivers.delete(record)
    try:
        os.unlink(_path(record["id"]))
    except FileNotFoundError:
        pass
    stages.reach("secret:unnamed")
    if swept:
        secret_drivers.delete(record)


def reveal(text: str) -> tuple[dict[str, Any], bytes]:
    """(record, value) of the secret of that name or id. One that is replaced meanwhile is there all the time. NoSuchObject, StorageError,
    MissingProgram.
    """
    record = lookup(text)
    while True:
        try:
            return record, secret_drivers.lookup(record)
        except PymanError:
            newer = lookup(text)
            if newer["id"] == record["id"]:
                raise
            record = newer


def remove(text: str) -> str:
    """Delete a secret; its id. Containers keep what they were made with. NoSuchObject, StorageError."""
    record = lookup(text)
    with Lock(secret_drivers.directory()):
        _discard(record)
    events.emit("secret", "remove", record["id"], record["name"])
    return str(record["id"])

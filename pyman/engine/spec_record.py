"""spec.json, the OCI specification of a container's last start; and which record of the store is to blame for an error that nobody expected.

The whole of a record is not checked each time that it is read: commands would be slower. Where one fails at what it finds there, `explained`
looks for the record that is damaged. CLI process.
"""

from __future__ import annotations

import os

from pyman.engine.container import RUNNING, Container, all_ids
from pyman.engine.record_kinds import CONFIG_KINDS, EXIT_KINDS, STATE_KINDS
from pyman.errors import UNEXPECTED, PymanError, StorageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS: store.Kinds = {"process": dict, "mounts": list, "linux": dict}
SESSION_KINDS: store.Kinds = {"id": str, "pid": int, "start": int, "args": list, "boot": str, "user": str, "detach_keys": str}
_RECORDS: dict[str, store.Kinds | None] = {
    "config.json": CONFIG_KINDS,
    "state.json": STATE_KINDS,
    "exit.json": EXIT_KINDS,
    "secrets.json": None,
}


def path(container: Container) -> str:
    """Where it lies."""
    return os.path.join(container.dir, "spec.json")


def read(container: Container) -> dict[str, Any] | None:
    """The specification, None if it was never started. StorageError for one without the parts that all have."""
    try:
        return store.read_json(path(container), _KINDS)
    except StorageError as err:
        err.hint = _hint(container)
        raise


def _hint(container: Container) -> str:
    try:
        verb = "restart" if container.state["status"] in RUNNING else "start"
        return f"pyman {verb} {container.name} makes it again"
    except PymanError:
        return "the next start of the container makes it again"


def check(container: Container) -> None:
    """StorageError naming what is wrong in the whole of a specification."""
    from pyman.linux import caps  # after a failure only
    from pyman.runtime import validate_shapes

    spec = read(container)
    if spec is None:
        return
    try:
        validate_shapes.check_shape(spec, validate_shapes.SPEC, "")
        process = spec["process"]
        for key in ("args", "cwd", "env"):
            if process.get(key) is None:
                raise PymanError(f"process.{key} is wrong", "it is missing")
        for kind in validate_shapes.PROCESS["capabilities"]:
            for name in (process.get("capabilities") or {}).get(kind) or []:
                if name not in caps.NUMBERS:
                    raise PymanError(f"process.capabilities.{kind} is wrong", f"{name!r} is no capability")
        if not all({"type", "soft", "hard"} <= limit.keys() for limit in process.get("rlimits") or []):
            raise PymanError("process.rlimits is wrong", "each needs type, soft and hard")
    except PymanError as err:
        raise StorageError(f"cannot use {path(container)}", f"it is damaged: {err}", _hint(container)) from err


def explained(err: Exception) -> PymanError | None:
    """The error that tells which record a command has failed at; None if all are what they should be."""
    from pyman.engine import record_depths  # after a failure only

    for container in map(Container, sorted(all_ids())):
        try:
            for name, kinds in _RECORDS.items():
                store.read_json(os.path.join(container.dir, name), kinds)
            check(container)
            record_depths.check(container)
        except StorageError as found:
            found.__cause__ = err
            return found
        except UNEXPECTED:
            continue
    try:
        record_depths.check_volumes()
    except StorageError as found:
        found.__cause__ = err
        return found
    except UNEXPECTED:
        pass
    return None

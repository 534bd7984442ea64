"""State of the containers of `pyman-runtime`: one directory each below --root. The runtime program only."""

from __future__ import annotations

import os

from pyman.errors import NameInUse, NoSuchContainer, StateError, UsageError
from pyman.linux import libc, process
from pyman.runtime import start
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.create import Created

_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
_SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15, "CONT": 18, "STOP": 19, "WINCH": 28}


def _signal_number(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) < 65:
        return int(name)
    if name in _SIGNALS:
        return _SIGNALS[name]
    raise UsageError(f"invalid signal {text!r}", "give its number, or a common name such as TERM")


class Root:
    """The directory of all containers."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/pyman-run-{os.getuid()}"
        self.path = path or os.path.join(base, "pyman-runtime")

    def ids(self) -> list[str]:
        """All container ids."""
        try:
            return sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []

    def _path(self, container_id: str) -> str:
        if not container_id or container_id in (".", "..") or container_id.strip(_CHARS):
            raise UsageError(f"invalid container id {container_id!r}", "it may have letters, digits and _+-. only")
        return os.path.join(self.path, container_id)

    def make(self, container_id: str, bundle: str, spec: dict[str, Any]) -> Entry:
        """A new entry with its gate. NameInUse."""
        path = self._path(container_id)
        os.makedirs(self.path, 0o700, exist_ok=True)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            raise NameInUse(
                f"cannot create container {container_id}", "a container with that id exists", f"pyman-runtime delete {container_id}"
            ) from None
        entry = Entry(path)
        os.mkfifo(entry.gate(), 0o600)
        store.write_json(os.path.join(path, "config.json"), spec)
        entry.record = {
            "id": container_id,
            "bundle": bundle,
            "pid": 0,
            "start": 0,
            "started": False,
            "annotations": spec.get("annotations") or {},
        }
        entry.save()
        return entry

    def load(self, container_id: str) -> Entry:
        """An existing entry. NoSuchContainer."""
        entry = Entry(self._path(container_id))
        record = store.read_json(os.path.join(entry.path, "state.json"))
        if record is None:
            raise NoSuchContainer(f"container {container_id} does not exist", f"no such entry in {self.path}")
        entry.record = record
        return entry


class Entry:
    """One container."""

    __slots__ = ("path", "record")

    def __init__(self, path: str) -> None:
        self.path = path
        self.record: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        """Its init."""
        return int(self.record["pid"])

    def gate(self) -> str:
        """The FIFO init waits at."""
        return os.path.join(self.path, "start")

    def save(self) -> None:
        """Write the record."""
        store.write_json(os.path.join(self.path, "state.json"), self.record)

    def spec(self) -> dict[str, Any]:
        """The spec it was created with."""
        return store.read_json(os.path.join(self.path, "config.json")) or {}

    def created(self, created: Created) -> None:
        """Note its init."""
        self.record.update(pid=created.pid, start=created.start_time)
        self.save()

    def mark_started(self) -> None:
        """Note that the program was executed."""
        self.record["started"] = True
        self.save()

    def alive(self) -> bool:
        """Whether init still runs."""
        return process.alive(self.record["pid"], self.record["start"])

    def status(self) -> str:
        """creating, created, running or stopped (runtime-spec, runtime.md "State")."""
        if not self.record["pid"]:
            return "creating"
        if not self.alive():
            return "stopped"
        return "running" if self.record["started"] else "created"

    def state(self) -> dict[str, Any]:
        """The OCI state object."""
        status = self.status()
        return {
            "ociVersion": "1.2.0",
            "id": self.record["id"],
            "status": status,
            "pid": self.pid if status != "stopped" else 0,
            "bundle": self.record["bundle"],
            "annotations": self.record["annotations"],
        }

    def require_running(self, action: str) -> None:
        """StateError unless it runs."""
        if self.status() != "running":
            raise StateError(f"cannot {action} container {self.record['id']}", f"it is {self.status()}")

    def start(self) -> None:
        """Let init execute the program. StateError unless it is created."""
        if self.status() != "created":
            raise StateError(f"cannot start container {self.record['id']}", f"it is {self.status()}")
        start.open_gate(self.gate())
        self.mark_started()

    def kill(self, signal: str) -> None:
        """Send a signal to init. StateError if it has ended."""
        number = _signal_number(signal)
        if self.status() not in ("created", "running"):
            raise StateError(f"cannot kill container {self.record['id']}", "container not running")
        pidfd = libc.pidfd_open(self.pid)
        try:
            if self.alive():
                libc.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)

    def delete(self, force: bool) -> None:
        """Forget the container; with force its init is killed first. StateError."""
        if self.status() in ("created", "running"):
            if not force:
                raise StateError(f"cannot delete container {self.record['id']}", f"it is {self.status()}", "kill it first, or use --force")
            import select

            pidfd = libc.pidfd_open(self.pid)
            libc.pidfd_send_signal(pidfd, 9)
            select.select([pidfd], [], [], 10)
            os.close(pidfd)
        for name in os.listdir(self.path):
            os.unlink(os.path.join(self.path, name))
        os.rmdir(self.path)

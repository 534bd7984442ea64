"""State of the containers of `pyman-runtime`: one directory each below --root. The runtime program only."""

from __future__ import annotations

import errno
import os
import time

from pyman.errors import NameInUse, NoSuchContainer, PymanError, StateError, UsageError
from pyman.linux import libc, process
from pyman.runtime import asides, cgroup
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Created

_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_KILL_WAIT = 10  # seconds for init to end after SIGKILL


def _is_id(text: str) -> bool:
    return bool(text) and text[0] != "." and not set(text) - _CHARS and len(text) <= 1024


class Root:
    """The directory of all containers."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        base = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.getuid() == 0 else f"/tmp/pyman-run-{os.getuid()}")
        self.path = path or os.path.join(base, "pyman-runtime")

    def ids(self) -> list[str]:
        """All container ids; what else may lie in the directory is none of ours."""
        try:
            return sorted(name for name in os.listdir(self.path) if _is_id(name))
        except FileNotFoundError:
            return []

    def _path(self, container_id: str) -> str:
        if not _is_id(container_id):
            raise UsageError(
                f"invalid container ID {container_id!r}", "invalid character: letters, digits and _+-. are known, no dot at the start"
            )
        return os.path.join(self.path, container_id)

    def make(self, container_id: str, bundle: str, spec: dict[str, Any]) -> Entry:
        """A new entry with its gate. NameInUse.

        It gets its name when it is complete: whoever is killed before leaves the id as free as it was.
        """
        path = self._path(container_id)
        try:
            os.makedirs(self.path, 0o700, exist_ok=True)
        except OSError as err:
            raise StateError(
                f"cannot use the state directory {self.path}", err.strerror or str(err), "give another one with --root"
            ) from None
        info = os.stat(self.path)
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise StateError(
                f"cannot use the state directory {self.path}", "others may write it or own it", "give a private one with --root"
            )
        asides.sweep(self.path)
        if os.path.exists(os.path.join(path, "state.json")):
            raise _in_use(container_id)
        entry = Entry(asides.path(self.path))
        os.mkdir(entry.path, 0o700)
        os.mkfifo(entry.gate(), 0o600)
        store.write_json(os.path.join(entry.path, "config.json"), spec)
        entry.record = {
            "id": container_id,
            "bundle": bundle,
            "pid": 0,
            "start": 0,
            "started": False,
            "creating": True,
            "creator": [os.getpid(), process.start_time(os.getpid())],
            "cgroup": "",
            "created": time.time(),
            "annotations": spec.get("annotations") or {},
        }
        entry.save()
        try:
            try:
                os.rename(entry.path, path)
            except OSError as err:
                if err.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                if os.path.exists(os.path.join(path, "state.json")):
                    raise _in_use(container_id) from None
                self.discard(container_id)  # what a killed command has left; nothing of a container's
                os.rename(entry.path, path)
        except BaseException:
            asides.remove(entry.path)
            raise
        entry.path = path
        return entry

    def load(self, container_id: str) -> Entry:
        """An existing entry. NoSuchContainer."""
        entry = Entry(self._path(container_id))
        record = store.read_json(os.path.join(entry.path, "state.json"))
        if record is None:
            raise NoSuchContainer(f"container {container_id} does not exist", f"no such entry in {self.path}")
        entry.record = record
        return entry

    def discard(self, container_id: str) -> None:
        """Remove an entry that cannot be read, if there is one. OSError."""
        asides.forget(self._path(container_id))


def _in_use(container_id: str) -> NameInUse:
    return NameInUse(
        f"cannot create container {container_id}", "a container with that id exists", f"pyman-runtime delete --force {container_id}"
    )


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

    @property
    def cgroup(self) -> str:
        """Directory of its cgroup, or ""."""
        return str(self.record.get("cgroup") or "")

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
        """Note its init, which still builds its root."""
        self.record.update(pid=created.pid, start=created.start_time)
        self.save()

    def finished_creating(self) -> None:
        """Note that init waits for the start."""
        self.record["creating"] = False
        self.save()

    def mark_started(self) -> None:
        """Note that the program was executed."""
        self.record["started"] = True
        self.save()

    def alive(self) -> bool:
        """Whether init still runs."""
        return process.alive(self.record["pid"], self.record["start"])

    def status(self) -> str:
        """creating, created, running, paused or stopped (runtime-spec, runtime.md "State"; paused as runc and crun say it)."""
        if self.record["pid"] and not self.alive():
            return "stopped"
        if self.record.get("creating"):
            # Who created it may have been killed: then nobody will ever start it.
            creator = self.record.get("creator")
            return "creating" if not creator or process.alive(*creator) else "stopped"
        if cgroup.is_frozen(self.cgroup):
            return "paused"
        return "running" if self.record["started"] else "created"

    def state(self) -> dict[str, Any]:
        """The OCI state object (runtime-spec, runtime.md "State", "Query State")."""
        status = self.status()
        return {
            "ociVersion": "1.2.0",
            "id": self.record["id"],
            "status": status,
            "pid": self.pid if status != "stopped" else 0,
            "bundle": self.record["bundle"],
            "annotations": self.record["annotations"],
        }

    def require_running(self, action: str, created: bool = False, status: str = "") -> None:
        """StateError unless it runs (or is paused; or, with `created`, waits for its start). status: what it is known to be."""
        status = status or self.status()
        if status not in ("running", "paused") and not (created and status == "created"):
            raise StateError(f"cannot {action} container {self.record['id']}", f"it is {status}")

    def start(self) -> None:
        """Let init execute the program. StateError unless it is created; CommandNotFound, CannotInvoke, RuntimeFailure as init says."""
        if self.status() != "created":
            raise StateError(f"cannot start container {self.record['id']}", f"it is {self.status()}")
        from pyman.runtime import start

        start.start_created(self.gate())
        self.mark_started()

    def kill(self, signal: str, everyone: bool = False) -> None:
        """Send a signal (name or number) to init, or to all processes (runtime.md "Kill"). StateError if it has ended, UsageError."""
        from pyman.runtime import signals  # kill only

        number = signals.signal_number(signal)
        if everyone and self.cgroup and os.path.isdir(self.cgroup):
            cgroup.kill(self.cgroup, number)
            return
        if self.status() not in ("created", "running", "paused"):
            raise StateError(f"cannot kill container {self.record['id']}", "container not running")
        # Without a cgroup: init is all there is, or the kernel ends the others of its pid namespace with it.
        targets = process.in_namespace_of(self.pid) if everyone else [self.pid]
        for pid in targets or [self.pid]:
            try:
                pidfd = libc.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                if pid != self.pid or self.alive():
                    libc.pidfd_send_signal(pidfd, number)
            finally:
                os.close(pidfd)

    def delete(self, force: bool) -> list[str]:
        """Forget the container (runtime.md "Delete"); with force its processes are killed first. Returns failures of poststop hooks.

        StateError if it runs; RuntimeFailure if its cgroup cannot be removed.
        """
        status = self.status()
        if status in ("running", "paused", "creating") and not force:  # what was never started has nothing to lose, as with others
            raise StateError(f"cannot delete container {self.record['id']}", f"it is {status}", "kill it first, or use --force")
        self._end_processes()
        hooks_of = (self.spec().get("hooks") or {}).get("poststop") or []
        state = {**self.state(), "status": "stopped", "pid": 0}
        if not asides.forget(self.path) or not hooks_of:
            return []  # gone already: another command was faster, and runs its hooks
        from pyman.runtime import hooks

        return hooks.run_leniently("poststop", hooks_of, state)

    def _end_processes(self) -> None:
        if self.record["pid"] and self.alive():
            import select

            try:
                pidfd = libc.pidfd_open(self.pid)
                libc.pidfd_send_signal(pidfd, 9)
                if self.cgroup:
                    cgroup.kill(self.cgroup, 9)  # a frozen process dies by this way only
                select.select([pidfd], [], [], _KILL_WAIT)
                os.close(pidfd)
            except ProcessLookupError:
                pass
        if self.cgroup and os.path.isdir(self.cgroup):
            cgroup.kill(self.cgroup, 9)
            cgroup.delete(self.cgroup)
            cgroup.forget_parents(self.cgroup)

    def abandon(self) -> None:
        """Undo a creation that failed; whatever else goes wrong, its first error is the one to tell."""
        try:
            self.delete(True)
        except (PymanError, OSError):
            pass

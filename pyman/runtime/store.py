"""State of the containers of `pyman-runtime`: one directory each below --root. The runtime program only."""

from __future__ import annotations

import errno
import os
import time

from pyman.errors import NameInUse, NoSuchContainer, PymanError, StateError, StorageError, UsageError
from pyman.linux import libc, process
from pyman.runtime import asides, cgroup
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Created

_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_KILL_WAIT = 10  # seconds for init to end after SIGKILL
_RECORD = {"id": str, "bundle": str, "pid": int, "start": int, "started": bool, "creating": bool, "cgroup": str, "annotations": dict}
_SPEC = {"process": dict, "root": dict, "linux": dict}  # what others than its reader look into


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
        what = f"cannot use the state directory {self.path}"
        try:
            os.makedirs(self.path, 0o700, exist_ok=True)
        except OSError as err:
            raise StateError(what, err.strerror or str(err), "give another one with --root") from None
        info = os.stat(self.path)
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise StateError(what, "others may write it or own it", "give a private one with --root")
        asides.sweep(self.path)
        if os.path.exists(os.path.join(path, "state.json")):
            raise _in_use(container_id)
        entry = Entry(asides.path(self.path))
        times = {"pid": 0, "start": 0, "started": False, "creating": True, "cgroup": "", "created": time.time()}
        creator = [os.getpid(), process.start_time(os.getpid())]
        entry.record = {"id": container_id, "bundle": bundle, **times, "creator": creator, "annotations": spec.get("annotations") or {}}
        os.mkdir(entry.path, 0o700)
        try:
            os.mkfifo(entry.gate(), 0o600)
            store.write_json(os.path.join(entry.path, "config.json"), spec)
            entry.save()
            try:
                os.rename(entry.path, path)
            except OSError as err:
                if err.errno == errno.ENOTDIR:
                    raise StateError(f"cannot create container {container_id}", f"{path} is in the way, and no container's") from None
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
        """An existing entry. NoSuchContainer; StorageError if its record is damaged, or may be somebody else's."""
        entry = Entry(self._path(container_id))
        try:
            record = store.read_json(os.path.join(entry.path, "state.json"))
            info = os.lstat(entry.path) if record is not None else None
        except FileNotFoundError:
            record = info = None  # another command has deleted it meanwhile
        except StorageError as err:
            raise _damaged(container_id, "state.json", err.why.removeprefix("it is damaged: ")) from None
        if record is None or info is None:
            raise NoSuchContainer(f"container {container_id} does not exist", f"no such entry in {self.path}")
        if info.st_mode & 0o170022 != 0o040000 or info.st_uid != os.geteuid():
            raise StorageError(f"cannot use container {container_id}", f"{entry.path} is no directory that is yours alone")
        if why := damage(record, container_id):
            raise _damaged(container_id, "state.json", why)
        entry.record = record
        return entry

    def discard(self, container_id: str) -> None:
        """Remove an entry that cannot be read, if there is one. OSError."""
        asides.forget(self._path(container_id))


def _in_use(container_id: str) -> NameInUse:
    return NameInUse(f"cannot create container {container_id}", "a container with that id exists", _forget(container_id))


def _damaged(container_id: str, file: str, why: str) -> StorageError:
    return StorageError(f"cannot use container {container_id}", f"its {file} is damaged: {why}; {_forget(container_id)} forgets it")


def _forget(container_id: str) -> str:
    return f"pyman-runtime delete --force {container_id}"


def damage(record: dict[str, Any], container_id: str) -> str:
    """What makes a record unusable, or ""."""
    for key, kind in _RECORD.items():
        if type(record.get(key)) is not kind:
            return f"{key} is missing or wrong"
    if record["id"] != container_id:
        return "it is another container's"
    if record["pid"] < 0 or record["start"] < 0 or not (record["pid"] or record["creating"]):
        return "pid or start is no process's"
    if not cgroup.may_be(record["cgroup"]):
        return "cgroup is no control group"
    creator, made = record.get("creator"), record.get("created", -1)
    if creator is not None and (type(creator) is not list or [type(value) for value in creator] != [int, int]):
        return "creator is wrong"
    return "" if type(made) in (int, float) and 0 <= made < 1 << 40 else "created is missing or wrong"


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
        """The spec it was created with. StorageError if that is damaged."""
        spec = store.read_json(os.path.join(self.path, "config.json")) or {}
        if any(type(spec.get(key)) is not kind for key, kind in _SPEC.items()) or type(spec.get("hooks") or {}) is not dict:
            raise _damaged(os.path.basename(self.path), "config.json", "it is missing, or no configuration")
        return spec

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

        signals.kill(self, signal, everyone)

    def delete(self, force: bool) -> list[str]:
        """Forget the container (runtime.md "Delete"); with force its processes are killed first. Returns failures of poststop hooks.

        StateError if it runs; RuntimeFailure if its cgroup cannot be removed.
        """
        status = self.status()
        if status in ("running", "paused", "creating") and not force:  # what was never started has nothing to lose, as with others
            raise StateError(f"cannot delete container {self.record['id']}", f"it is {status}", "kill it first, or use --force")
        self.end_processes()
        hooks_of = self._poststop(force)
        state = {**self.state(), "status": "stopped", "pid": 0}
        if not asides.forget(self.path) or not hooks_of:
            return []  # gone already: another command was faster, and runs its hooks
        from pyman.runtime import hooks

        return hooks.run_leniently("poststop", hooks_of, state)

    def _poststop(self, force: bool) -> list[dict[str, Any]]:
        try:
            return (self.spec().get("hooks") or {}).get("poststop") or []
        except PymanError:
            if not force and os.path.exists(self.path):
                raise
            return []  # nobody can tell what it had, or another command was faster

    def end_processes(self) -> None:
        """Kill init and whatever is in its cgroup, and remove that. RuntimeFailure if it cannot be removed."""
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

"""A container on disk: its directory, immutable config, mutable state, lock, and how state follows reality. CLI process.

Protocol of every public engine function: lock -> sync -> check -> act -> save. `sync` believes a pid only with its
start time, and the monitor's exit record before anything else.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.engine import run_end
from pyman.engine.record_kinds import CONFIG_KINDS, EXIT_KINDS, STATE_KINDS
from pyman.errors import NoSuchContainer, PymanError, StateError, StorageError
from pyman.linux import process
from pyman.state import events, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUNNING = ("running", "paused", "initialized")  # there are processes; only in the first do they do something
REMOVED = ".removed"  # config.json gets this at its end when its container is being removed
looked_up: dict[str, Container] = {}  # what this command was asked for, by name: cli/gone.py
revives = False  # whether `sync` may start again what has lost its monitor: set for commands that look or start (cli/dispatch.py)


def _event_settings() -> dict[str, Any]:
    from pyman.config import containers

    return dict(containers.load()["engine"])


events.settings = _event_settings


def containers_dir() -> str:
    """graphroot/containers."""
    return os.path.join(paths.graphroot(), "containers")


def names_dir() -> str:
    """graphroot/names: one symlink per container name, made by symlink(2), so a name cannot be given twice."""
    return os.path.join(paths.graphroot(), "names")


class Container:
    """One container; `config` and `state` are read when first asked for."""

    __slots__ = ("_config", "_lock", "_state", "dir", "id", "unsaved")

    def __init__(self, container_id: str) -> None:
        self.id = container_id
        self.dir = os.path.join(containers_dir(), container_id)
        self._config: dict[str, Any] | None = None
        self._state: dict[str, Any] | None = None
        self._lock: Lock | None = None
        self.unsaved = False  # the end of its last run is in the exit record only: there was no room for the state

    @property
    def run_dir(self) -> str:
        """Where its sockets and generated files lie while it runs."""
        return os.path.join(paths.runroot(), "containers", self.id)

    @property
    def exit_path(self) -> str:
        """The monitor's exit record."""
        return os.path.join(self.dir, "exit.json")

    @property
    def config(self) -> dict[str, Any]:
        """What create wrote, which never changes, with the options that `update` has changed since laid over it."""
        if self._config is None:
            self._config = store.read_json(os.path.join(self.dir, "config.json"), CONFIG_KINDS)
            if self._config is None:
                from pyman.engine import lost_state  # such a container only

                raise lost_state.without_configuration(self)
            if self.state.get("updated"):
                self._config["options"] = {**self._config["options"], **self.state["updated"]}
        return self._config

    @property
    def state(self) -> dict[str, Any]:
        """The mutable state as last read or saved."""
        if self._state is None:
            damage = None
            try:
                self._state = store.read_json(os.path.join(self.dir, "state.json"), STATE_KINDS)
            except StorageError as err:
                damage = err
            if self._state is None:
                from pyman.engine import lost_state  # such a container only

                self._state = lost_state.made_again(self, damage)
        return self._state

    @property
    def name(self) -> str:
        """Its current name."""
        return str(self.state["name"])

    @property
    def lock_fd(self) -> int:
        """The descriptor of the lock held, for a child that goes on with the action; -1 if not held."""
        return self._lock.fd if self._lock else -1

    def __enter__(self) -> Container:
        self.lock()
        return self

    def lock(self) -> None:
        """Take the lock and read the state afresh. NoSuchContainer if it has gone meanwhile."""
        lock = Lock(self.dir)
        try:
            lock.acquire()
        except FileNotFoundError:
            raise NoSuchContainer(f"no container with name or ID {self.id[:12]} found", "it was removed meanwhile") from None
        except OSError as err:
            from pyman.engine import lost_state  # such a container only

            lost_state.lock_again(lock, err)
        self._lock = lock
        self._state = None
        try:
            self.sync()
        except BaseException:
            self.unlock()
            raise

    def __exit__(self, *_: object) -> None:
        self.unlock()

    def unlock(self) -> None:
        """Give the lock back, if it is held."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def save(self) -> None:
        """Write the state. The caller holds the lock."""
        store.write_json(os.path.join(self.dir, "state.json"), self.state)
        self.unsaved = False

    def sync(self) -> bool:
        """Make the state agree with reality; true if it changed. Writes only under the lock."""
        state = self.state
        if state["status"] not in RUNNING:
            return bool(state.get("lost") or state.get("waiter_pid")) and self._revived()
        same_boot = state.get("boot_id") == process.boot_id()
        record = self.exit_record()
        if record is None and same_boot and process.runs(state["pid"], state["pid_start"]):
            if state["status"] != "paused":
                return False
            from pyman.engine import pause  # such a container only

            return pause.goes_on(self)
        if record is None and same_boot and process.alive(state["monitor_pid"], state["monitor_start"]):
            return False  # init has ended, the monitor is still reading its last output
        if record is None:
            record = self.exit_record()  # written between the first look and the monitor's end
        run_end.note(state, record, same_boot)
        if record is None and same_boot:
            from pyman.engine import restart_policy  # after such an end only

            restart_policy.note_loss(self)
        if self._lock:
            if record is None:
                self.discard_cgroup()
            self.leave_networks()
            try:
                self.save()
            except StorageError:
                self.unsaved = True  # a full disk: the exit record stays, and the next command learns the same from it
            if record is None:
                self.note_lost_end()
        return self._revived() or True

    def _revived(self) -> bool:
        """Whether what has lost its monitor runs again, as its restart policy asks. Not under the lock, which another process takes."""
        if revives and not self._lock:
            from pyman.engine import restart_policy  # after a restart's wait, or such an end, only

            return restart_policy.revive(self)
        return False

    def event(self, status: str, **facts: Any) -> None:
        """Note in the log of events that something happened to the container."""
        events.append([self.event_line(status, **facts)])

    def event_line(self, status: str, **facts: Any) -> bytes:
        """The same as a line, for who notes several at once."""
        state = self.state
        about = {"image": state["image"] if state["image_id"] else "", "attributes": state["labels"]}
        return events.line("container", status, self.id, state["name"], **about, **facts)

    def event_subject(self) -> str:
        """What the monitor's events say of the container: the inside of a JSON object."""
        from pyman.state import fastjson

        state = self.state
        image = state["image"] if state["image_id"] else ""
        return fastjson.dumps({"ID": self.id, **events.subject(state["name"], image, state["labels"])})[1:-1]

    def note_lost_end(self) -> None:
        """The monitor notes an end before it records it. Where it was killed, perhaps between the two, this is done for it."""
        from pyman.state import eventlog

        if not eventlog.ended_since(self.id, self.state.get("started", 0.0)):
            self.event("died", ContainerExitCode=self.state["exit_code"], Cause=self.state.get("note", ""))

    def leave_networks(self) -> None:
        """Give back the addresses and names of a container that has ended on bridge networks. The caller holds the lock."""
        if self.state.get("attached"):
            from pyman.engine import bridge_leases  # after such an end only

            bridge_leases.separate(self)
            bridge_leases.release(self)

    def discard_cgroup(self) -> None:
        """Take away what a killed monitor could not."""
        from pyman.engine import cgroups

        cgroups.discard(self)

    def exit_record(self) -> dict[str, Any] | None:
        """What the monitor wrote at the end; None if it did not, or could not (a damaged record tells as little)."""
        try:
            return store.read_json(self.exit_path, EXIT_KINDS)
        except StorageError:
            return None

    def require_running(self, action: str) -> None:
        """StateError unless the container runs. Call after sync."""
        if self.state["status"] not in RUNNING:
            raise StateError(
                f"cannot {action} container {self.name}",
                f"it is not running (state: {self.state['status']})",
                f"pyman start {self.name}",
            )


def shown_status(state: dict[str, Any]) -> str:
    """The status of a container as others are told it: "stopping", too."""
    if not state.get("stopping"):
        return str(state["status"])
    from pyman.engine import stop  # of such a container only

    return stop.shown(state)


def _is_id(text: str) -> bool:
    return len(text) <= 64 and not text.strip("0123456789abcdef")


def lookup(name_or_id: str) -> Container:
    """The container of that name, full id, or unambiguous id prefix. NoSuchContainer, PymanError (ambiguous)."""
    found = looked_up[name_or_id] = _find(name_or_id)
    return found


def _find(name_or_id: str) -> Container:
    name_or_id = name_or_id.removeprefix("/")  # Docker's names begin so
    if name_or_id and "/" not in name_or_id and name_or_id not in (".", ".."):
        try:
            target = os.readlink(os.path.join(names_dir(), name_or_id))
        except OSError:
            target = ""
        if _is_id(target) and os.path.exists(os.path.join(containers_dir(), target, "config.json")):
            if (found := Container(target)).name == name_or_id:
                return found
            from pyman.engine import rename  # while it is renamed, or after such a command was killed

            if not rename.release_stale(found, name_or_id):
                return found
    if name_or_id and _is_id(name_or_id):
        matches = [entry for entry in all_ids() if entry.startswith(name_or_id)]
        if len(matches) == 1:
            return Container(matches[0])
        if len(matches) > 1:
            raise PymanError(
                f"cannot choose a container for {name_or_id}",
                "several ids begin so: " + ", ".join(m[:16] for m in matches[:5]),
                "give more of the id",
            )
    from pyman.engine import lost_state  # without a container, or a whole one, only

    if lost := lost_state.lookup(name_or_id):
        return lost
    raise NoSuchContainer(f"no container with name or ID {name_or_id!r} found", "no such container", "pyman ps -a lists the containers")


def all_ids() -> list[str]:
    """The ids of all containers' directories, complete or not."""
    try:
        entries = os.listdir(containers_dir())
    except FileNotFoundError:
        return []
    return [e for e in entries if len(e) == 64 and _is_id(e)]

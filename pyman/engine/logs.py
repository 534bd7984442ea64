"""A container's log as `logs` asks for it: --since, --until, --tail, --follow. CLI process."""

from __future__ import annotations

import os
import time

from pyman.digits import is_whole
from pyman.engine import logopts
from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchContainer, PymanError, StateError, StorageError, UsageError
from pyman.monitor import logs as reader
from pyman.monitor.logfiles import LogFiles
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def log_path(container: Container, conf: dict[str, Any]) -> tuple[str, str]:
    """(driver, path) of the container's log. StateError if its driver keeps none."""
    path = os.path.join(container.dir, "ctr.log")
    try:
        options = container.config["options"]
    except StorageError:
        if not os.path.isfile(path):
            raise
        options = {}  # damaged: what is there is told
    driver, path, _, _ = logopts.settings(options, conf, path)
    if driver == "none" or driver in logopts.PASSED:
        raise StateError(
            f"cannot read the log of container {container.name}",
            f"its log driver {driver} keeps no log",
            "create it with --log-driver k8s-file",
        )
    return driver, path


def _journal(container: Container, opts: dict[str, Any], follow: bool, until: float | None) -> Any:
    """The journal, read as if it were a file of the driver k8s-file."""
    from pyman.monitor import journal  # this driver only

    since = reader.parse_time(opts["since"], "--since") if opts.get("since") else 0.0
    return journal.Journal(container.id, since, 0.0 if follow or until is None else max(until, 1e-6), follow, lambda: last_entry(container))


def last_entry(container: Container) -> int:
    """When the monitor of a container that has ended sent its last line to the journal, in microseconds since 1970; else 0."""
    try:
        return int((store.read_json(container.exit_path) or {}).get("journal") or 0)
    except PymanError:
        return 0


def running(container: Container) -> bool:
    """Whether more output may still come; asked again and again by `logs --follow`. Of one that `init` has made ready none does, until a start."""
    from pyman.engine import restart_policy

    container._state = None
    try:
        container.sync()
    except NoSuchContainer:
        return False
    return container.state["status"] in ("running", "paused") or restart_policy.waiting(container.state)


def busy(container: Container) -> bool:
    """Whether a command is at work on the container: `restart` may be about to start it again."""
    from pyman.state.lock import Lock  # for those who wait

    return Lock(container.dir, shared=True).held()


class Source:
    """The lines of one container's log that were asked for, as they stand in the file; `ended` when there will be no more."""

    __slots__ = ("_alive", "_container", "_deadline", "_files", "_quiet", "_since", "_until", "directories", "ended", "follow", "json")

    def __init__(self, container: Container, opts: dict[str, Any], conf: dict[str, Any]) -> None:
        """StateError if no log is kept; UsageError for a time or number that is none."""
        driver, path = log_path(container, conf)
        self._container = container
        self.json = driver == "json-file"
        self.follow = bool(opts.get("follow"))
        self._since = reader.stamp_of(opts["since"], "--since").encode() if opts.get("since") else b""
        until = reader.parse_time(opts["until"], "--until", ahead=self.follow) if opts.get("until") else None
        self._until = reader.stamp_of(opts["until"], "--until", ahead=self.follow).encode() if until is not None else b""
        self._deadline = until if self.follow else None
        lines = str(opts.get("tail") or "all")
        lines = "all" if lines[:1] == "-" and is_whole(lines[1:]) else lines.removeprefix("+")
        if lines != "all" and not is_whole(lines, 18):
            raise UsageError(f"invalid value {lines!r} for --tail", "it is a number of lines, or all")
        self.directories = [container.dir, os.path.dirname(path) or "."]
        self.ended = False
        self._alive = True
        self._quiet = 1  # how often in succession there was nothing
        self._files = _journal(container, opts, self.follow, until) if driver == "journald" else LogFiles(path, self.follow)
        if lines.isdigit():
            self._files.seek_tail(int(lines), lambda line: reader.is_end(line, self.json))

    @property
    def fd(self) -> int:
        """A descriptor that tells of new lines; -1: changes of `directories` do."""
        return self._files.fd

    @property
    def lost(self) -> bool:
        """Whether lines were rotated away before they could be read."""
        return self._files.lost

    def read(self) -> list[bytes] | None:
        """Some of the next lines; None if there are none for now (or, when `ended`, for ever)."""
        lines = self._files.read()
        self._quiet = self._quiet + 1 if lines is None else 0
        # Where lines have just been there are likely more: whether the container has ended is asked when it has been quiet for a moment.
        if self._quiet > 1 and self.follow and self._alive:
            self._alive = running(self._container)
            if not self._alive and busy(self._container):
                self._alive, self._quiet = True, 1  # to be asked again soon
            if not self._alive:
                self._files.complete()
                lines = self._files.read()  # what it wrote between the last look and its end
        if lines is None:
            self.ended = not self.follow or not self._alive or (self._deadline is not None and time.time() >= self._deadline)
            return None
        if self._since:
            lines = [line for line in lines if reader.when(line, self.json) >= self._since]
        if self._until:
            lines = [line for line in lines if reader.when(line, self.json) <= self._until]
        return lines

    def await_removal(self) -> None:
        """Where the container has ended and goes away with its end, until it has."""
        container = self._container
        container._state = None
        try:
            monitor = container.state["monitor_pid"], container.state["monitor_start"]
            if container.state.get("auto_remove") and not running(container) and container.state["status"] not in RUNNING:
                from pyman.engine import wait  # for such containers only

                wait.await_removal(container, *monitor)
        except PymanError:
            pass  # it has gone

    def patience(self) -> float:
        """Seconds after which to look again even if nothing has changed on disk."""
        longest = 0.05 if self._quiet == 1 else 1.0
        return max(0.0, min(longest, self._deadline - time.time())) if self._deadline is not None else longest

    def close(self) -> None:
        """Close its files."""
        self._files.close()

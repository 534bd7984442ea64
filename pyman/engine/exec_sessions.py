"""The sessions of exec: one small file each in the container's directory, believed as long as its process lives. CLI process.

Not in its run directory: that may be wiped while they go on.
The end of one that nobody is attached to is written beside it by its parent (shims/monitor/session.h), and told for a while.
"""

from __future__ import annotations

import os
import time

from pyman.engine import record_kinds, spec_record
from pyman.engine.container import Container, containers_dir
from pyman.errors import NoSuchObject, PymanError
from pyman.linux import process
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


KEPT = 300  # seconds for which the end of a detached session is told, as in Podman
_END = ".exit"


def end_path(container: Container, session: str) -> str:
    """Where the end of a detached session is written."""
    return os.path.join(_directory(container), session + _END)


def _directory(container: Container) -> str:
    return os.path.join(container.dir, "exec")


def begin(container: Container, session: str, spec: dict[str, Any], opts: dict[str, Any], watched: bool) -> tuple[int, dict[str, Any]]:
    """Write down a session that is about to begin, for `note`: (descriptor or -1, what is written). spec: its OCI process.

    A full disk does not stop it. Before the process is made: whoever is killed in between leaves a record by which it is found.
    watched: the caller becomes the program that awaits its end, and records it unless somebody is attached.
    """
    maker = os.getpid()
    started = process.start_time(maker)
    watcher = maker if watched else 0
    record = {
        "id": session,
        "pid": 0,
        "start": 0,
        "maker": maker,
        "maker_start": started,
        "boot": container.state["boot_id"],
        "args": spec["args"],
        "tty": bool(spec.get("terminal")),
        "stdin": bool(opts.get("interactive")),
        "output": not opts.get("detach"),
        "user": str(opts.get("user") or ""),
        "privileged": bool(opts.get("privileged")),
        "detach_keys": str(opts.get("detach_keys") or ""),
        "watcher": watcher,
        "watcher_start": started if watcher else 0,
    }
    path = os.path.join(_directory(container), session)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.mkdir(_directory(container), 0o700)
            fd = os.open(path, flags, 0o600)
    except OSError:
        return -1, record  # nothing depends on it
    _write(fd, record)
    return fd, record


def note(begun: tuple[int, dict[str, Any]], pid: int) -> None:
    """The session has begun, with this process."""
    fd, record = begun
    if fd >= 0:
        record.update(pid=pid, start=process.start_time(pid))
        _write(fd, record)
        os.close(fd)


def _write(fd: int, record: dict[str, Any]) -> None:
    try:
        os.pwrite(fd, fastjson.dumps(record).encode("utf-8", "surrogateescape"), 0)  # with its process it is not shorter than before
    except OSError:
        pass


def _adopt(container: Container, records: list[dict[str, Any]]) -> None:
    """Find the processes of sessions whose makers were killed before they could write them down: started from outside, and nobody's."""
    from pyman.engine import processes

    known_pids = {record["pid"] for record in records} | {container.state["pid"]}
    strays = [found for found in processes.of_container(container) if not found["ppid"] and found["hpid"] not in known_pids]
    for record in [record for record in records if not record["pid"]]:
        able = [found for found in strays if found["start"] >= record["maker_start"]]
        same = [found for found in able if processes.arguments(found) == " ".join(record["args"])]
        for found in (same or able)[:1]:
            strays.remove(found)
            record.update(pid=found["hpid"], start=process.start_time(found["hpid"]))
            path = os.path.join(_directory(container), record["id"])
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError:
                continue
            _write(fd, record)
            os.close(fd)


def forget(container: Container, session: str) -> None:
    """It has ended. A name that is none is left alone."""
    for name in (session, session + _END) if session.isalnum() else ():
        try:
            os.unlink(os.path.join(_directory(container), name))
        except OSError:
            pass


def known(container: Container) -> list[dict[str, Any]]:
    """The sessions whose processes live, and detached ones that ended not long ago, with their `end`; what others have left is removed."""
    try:
        entries = sorted(os.listdir(_directory(container)))
    except OSError:
        return []
    records = []
    for entry in entries:
        try:
            record = store.read_json(os.path.join(_directory(container), entry), spec_record.SESSION_KINDS) if entry.isalnum() else None
        except PymanError:
            record = None  # being written just now, or damaged
        if record and (record.get("pid") or not process.alive(record.get("maker", 0), record.get("maker_start", 0))):
            records.append(record)
    if container.state["status"] == "running" and not all(record["pid"] for record in records):
        _adopt(container, records)
    found = []
    for record in records:
        alive = record.get("boot") == process.boot_id() and process.alive(record.get("pid", 0), record.get("start", 0))
        record["end"] = None if alive or not record.get("watcher") else _end(container, record)
        moment = max(time.time() - KEPT, container.state.get("started", 0.0))  # those of earlier runs are forgotten, as Podman does
        if alive or (record["end"] and record["end"].get("time", 0) > moment):
            found.append(record)
        else:
            forget(container, record["id"])
    return found


def _end(container: Container, record: dict[str, Any]) -> dict[str, Any] | None:
    """What the parent of a session wrote at its end, if nobody was attached; it does so in the moment after the end, if it lives."""
    deadline = time.monotonic() + 30
    while True:
        comes = process.alive(record.get("watcher", 0), record.get("watcher_start", 0)) and time.monotonic() < deadline
        try:
            end = store.read_json(end_path(container, record["id"]), record_kinds.EXIT_KINDS)
        except PymanError:
            return None
        if end or not comes:
            return end
        time.sleep(0.005)


def find(session: str) -> dict[str, Any]:
    """A session by its id, under Podman's names. NoSuchObject."""
    if len(session) == 64 and not session.strip("0123456789abcdef"):
        try:
            entries = os.listdir(containers_dir())
        except FileNotFoundError:
            entries = []
        for entry in entries:
            container = Container(entry)
            if os.path.exists(os.path.join(_directory(container), session)):
                for record in known(container):
                    if record["id"] == session:
                        return _shown(container, record)
    raise NoSuchObject(f"no exec session with ID {session!r} found", "no such session, or it ended long ago")


def _shown(container: Container, record: dict[str, Any]) -> dict[str, Any]:
    end = record["end"]
    return {
        "CanRemove": bool(end),
        "ContainerID": container.id,
        "DetachKeys": record["detach_keys"],
        "ExitCode": end.get("exit_code", 0) if end else 0,
        "ID": record["id"],
        "OpenStderr": record["output"],
        "OpenStdin": record["stdin"],
        "OpenStdout": record["output"],
        "Running": not end,
        "Pid": 0 if end else record["pid"],
        "ProcessConfig": {
            "arguments": record["args"][1:],
            "entrypoint": record["args"][0],
            "privileged": record["privileged"],
            "tty": record["tty"],
            "user": record["user"],
        },
    }

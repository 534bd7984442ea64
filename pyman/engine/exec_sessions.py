"""The sessions of exec: one small file each in the container's directory, believed as long as its process lives. CLI process.

Not in its run directory: that may be wiped while they go on.
The end of a detached one is written beside it by its parent (shims/monitor/session.h), and told for a while.
"""

from __future__ import annotations

import os
import time

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


def note(container: Container, session: str, pid: int, spec: dict[str, Any], opts: dict[str, Any]) -> None:
    """Write down a session that has just begun. spec: its OCI process. A full disk does not stop it.

    The caller of a detached one is the process that becomes its parent.
    """
    watcher = os.getpid() if opts.get("detach") else 0
    record = {
        "id": session,
        "pid": pid,
        "start": process.start_time(pid),
        "boot": container.state["boot_id"],
        "args": spec["args"],
        "tty": bool(spec.get("terminal")),
        "stdin": bool(opts.get("interactive")),
        "output": not opts.get("detach"),
        "user": str(opts.get("user") or ""),
        "privileged": bool(opts.get("privileged")),
        "detach_keys": str(opts.get("detach_keys") or ""),
        "watcher": watcher,
        "watcher_start": process.start_time(watcher) if watcher else 0,
    }
    path = os.path.join(_directory(container), session)
    data = fastjson.dumps(record).encode("utf-8", "surrogateescape")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.mkdir(_directory(container), 0o700)
            fd = os.open(path, flags, 0o600)
        os.write(fd, data)
        os.close(fd)
    except OSError:
        pass  # nothing depends on it


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
    found = []
    for entry in entries:
        if not entry.isalnum():
            continue
        try:
            record = store.read_json(os.path.join(_directory(container), entry))
        except PymanError:
            record = None  # being written just now, or damaged
        if not record:
            continue
        alive = record.get("boot") == process.boot_id() and process.alive(record.get("pid", 0), record.get("start", 0))
        record["end"] = None if alive or record.get("output") else _end(container, record)
        if alive or (record["end"] and time.time() - record["end"].get("time", 0) < KEPT):
            found.append(record)
        else:
            forget(container, entry)
    return found


def _end(container: Container, record: dict[str, Any]) -> dict[str, Any] | None:
    """What the parent of a detached session wrote at its end; it does so in the moment after the end, if it lives."""
    deadline = time.monotonic() + 30
    while True:
        comes = process.alive(record.get("watcher", 0), record.get("watcher_start", 0)) and time.monotonic() < deadline
        try:
            end = store.read_json(end_path(container, record["id"]))
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

"""The sessions of exec: one small file each below the container's run directory, believed as long as its process lives. CLI process."""

from __future__ import annotations

import os

from pyman.engine.container import Container, containers_dir
from pyman.errors import NoSuchObject, PymanError
from pyman.linux import process
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _directory(container: Container) -> str:
    return os.path.join(container.run_dir, "exec")


def note(container: Container, session: str, pid: int, spec: dict[str, Any], opts: dict[str, Any]) -> None:
    """Write down a session that has just begun. spec: its OCI process. A full disk does not stop it."""
    record = {
        "id": session,
        "pid": pid,
        "start": process.start_time(pid),
        "args": spec["args"],
        "tty": bool(spec.get("terminal")),
        "stdin": bool(opts.get("interactive")),
        "output": not opts.get("detach"),
        "user": str(opts.get("user") or ""),
        "privileged": bool(opts.get("privileged")),
        "detach_keys": str(opts.get("detach_keys") or ""),
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
    if session.isalnum():
        try:
            os.unlink(os.path.join(_directory(container), session))
        except OSError:
            pass


def living(container: Container) -> list[dict[str, Any]]:
    """The sessions whose processes live; what others have left is removed."""
    try:
        entries = sorted(os.listdir(_directory(container)))
    except OSError:
        return []
    found = []
    for entry in entries:
        try:
            record = store.read_json(os.path.join(_directory(container), entry))
        except PymanError:
            record = None  # being written just now, or damaged
        if record and process.alive(record.get("pid", 0), record.get("start", 0)):
            found.append(record)
        elif record:
            forget(container, entry)
    return found


def find(session: str) -> dict[str, Any]:
    """A living session by its id, under Podman's names. NoSuchObject."""
    if len(session) == 64 and not session.strip("0123456789abcdef"):
        try:
            entries = os.listdir(containers_dir())
        except FileNotFoundError:
            entries = []
        for entry in entries:
            container = Container(entry)
            if os.path.exists(os.path.join(_directory(container), session)):
                for record in living(container):
                    if record["id"] == session:
                        return _shown(container, record)
    raise NoSuchObject(f"no exec session with ID {session!r} found", "no such session, or it has ended")


def _shown(container: Container, record: dict[str, Any]) -> dict[str, Any]:
    return {
        "CanRemove": False,
        "ContainerID": container.id,
        "DetachKeys": record["detach_keys"],
        "ExitCode": 0,
        "ID": record["id"],
        "OpenStderr": record["output"],
        "OpenStdin": record["stdin"],
        "OpenStdout": record["output"],
        "Running": True,
        "Pid": record["pid"],
        "ProcessConfig": {
            "arguments": record["args"][1:],
            "entrypoint": record["args"][0],
            "privileged": record["privileged"],
            "tty": record["tty"],
            "user": record["user"],
        },
    }

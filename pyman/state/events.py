"""The log of events: one line of JSON per event, appended with one write. Any process; never a reason for a command to fail.

A line has the fields of Podman's event files (ID, Image, Name, Status, Time (RFC 3339, nanoseconds), Type, Attributes), further
facts about the event (ContainerExitCode, Network, Error, Signal, ExecID ...). The monitor writes its lines itself (shims/monitor/end.h).
Over its size the file becomes events.log.1; state/eventlog.py reads both.
"""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_SIZE = 4 << 20  # bytes until rotation
_MOST_FILES = 16  # older files that wait for a reader
_MAX_LABELS = 16 << 10  # bytes of an event's attributes; a hostile image's labels must not fill the log
# Set by the command line: the engine's table of containers.toml. Read when the first event is written.
settings: Callable[[], dict[str, Any]] | None = None


def path() -> str:
    """The file that events are appended to."""
    return os.path.join(paths.graphroot(), "events", "events.log")


def limit() -> int:
    """Bytes until the file is rotated; 0: no event is written at all (events_logger is none)."""
    if settings is None:
        return MAX_SIZE
    conf = settings()
    return 0 if conf.get("events_logger") == "none" else int(conf.get("events_logfile_max_size") or MAX_SIZE)


def emit(
    kind: str, status: str, object_id: str, name: str = "", *, image: str = "", attributes: dict[str, str] | None = None, **facts: Any
) -> None:
    """Note that something happened to an object.

    kind: container, image, volume, network, secret, pod or system; status: Podman's word for what happened (create, died, pull ...);
    attributes: labels; facts: further fields of the line. Call it after the change is on disk; secrets have no place in it.
    """
    append([line(kind, status, object_id, name, image=image, attributes=attributes, **facts)])


def line(
    kind: str, status: str, object_id: str, name: str = "", *, image: str = "", attributes: dict[str, str] | None = None, **facts: Any
) -> bytes:
    """One event, happening now, as a line of the log; see `emit`."""
    record: dict[str, object] = {
        "ID": object_id,
        "Type": kind,
        "Status": status,
        "Time": stamp(time.time_ns()),
        **subject(name, image, attributes),
        **facts,
    }
    return fastjson.dumps(record).encode() + b"\n"


def stamp(moment: int) -> str:
    """Nanoseconds since 1970 as the log writes them; the order of the texts is that of the times."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)) + f".{moment % 10**9:09d}Z"


def subject(name: str, image: str = "", attributes: dict[str, str] | None = None) -> dict[str, object]:
    """The fields that tell of which object an event is; attributes that are too many or too large are left out."""
    record: dict[str, object] = {"Name": name}
    if image:
        record["Image"] = image
    if attributes:
        record["Attributes"] = attributes if len(fastjson.dumps(attributes)) <= _MAX_LABELS else _bounded(attributes)
    return record


def _bounded(attributes: dict[str, str]) -> dict[str, str]:
    kept, room = {}, _MAX_LABELS
    for key, value in attributes.items():
        room -= len(fastjson.dumps({key: value}))
        if room < 0:
            break
        kept[key] = value
    return kept


def append(lines: list[bytes]) -> None:
    """Write lines of `line` to the log, all in one piece."""
    size = limit()
    if not size:
        return
    data = b"".join(lines)
    try:
        fd = _open()
        try:
            if os.fstat(fd).st_size > size:
                os.close(fd)
                fd = -1
                _rotate(size)
                fd = _open()
            # O_APPEND: lines of several writers do not mix. A full disk may cut one: the newline keeps the next one whole.
            if os.write(fd, data) < len(data):
                os.write(fd, b"\n")
        finally:
            if fd >= 0:
                os.close(fd)
    except OSError:
        pass  # a full disk, a read-only store: the action itself counts


def _open() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # where a FIFO lies
    try:
        return os.open(path(), flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path()), 0o700, exist_ok=True)
        return os.open(path(), flags, 0o600)


def _rotate(size: int) -> None:
    """Give the full file its other name, unless another process is doing it, or a reader is looking for files just now.

    One older file is kept; an older one stays for as long as a reader has it (with a shared lock on it), up to a bound: who has
    stopped reading must not fill the disk.
    """
    import fcntl

    from pyman.state.lock import Lock  # once in thousands of events

    lock = Lock(os.path.dirname(path()))
    if not lock.try_acquire():
        return
    try:
        try:
            if os.stat(path()).st_size <= size:
                return  # another process was faster
        except FileNotFoundError:
            return  # and nobody has written since
        oldest = 0
        while os.path.exists(f"{path()}.{oldest + 1}"):
            oldest += 1
        while oldest > 0:
            name = f"{path()}.{oldest}"
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if oldest < _MOST_FILES:
                    break
            finally:
                os.close(fd)
            os.unlink(name)
            oldest -= 1
        for number in range(oldest, 0, -1):
            os.rename(f"{path()}.{number}", f"{path()}.{number + 1}")
        # Who has it open writes on into it: readers read it for a while still.
        os.rename(path(), path() + ".1")
    finally:
        lock.release()

"""The log of events: one line of JSON per event, appended with one write. Any process; never a reason for a command to fail.

A line has the fields of Podman's event files: ID, Image, Name, Status, Time (RFC 3339, nanoseconds), Type, Attributes.
"""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.state import fastjson


def path() -> str:
    """The file that events are appended to."""
    return os.path.join(paths.graphroot(), "events", "events.log")


def emit(kind: str, status: str, object_id: str, name: str = "", *, image: str = "", attributes: dict[str, str] | None = None) -> None:
    """Note that something happened to an object.

    kind: container, image, volume, network, secret, pod or system; status: Podman's word for what happened (create, died, pull ...);
    attributes: labels and further facts. Call it after the change is on disk; secrets have no place in it.
    """
    now = time.time_ns()
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
    record: dict[str, object] = {"ID": object_id, "Name": name, "Status": status, "Time": when, "Type": kind}
    if image:
        record["Image"] = image
    if attributes:
        record["Attributes"] = attributes
    line = fastjson.dumps(record).encode("utf-8", "surrogateescape") + b"\n"
    try:
        fd = _open()
        try:
            os.write(fd, line)  # O_APPEND: lines of several writers do not mix
        finally:
            os.close(fd)
    except OSError:
        pass  # a full disk, a read-only store: the action itself counts


def _open() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path(), flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path()), 0o700, exist_ok=True)
        return os.open(path(), flags, 0o600)

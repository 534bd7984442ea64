"""The log of events as `events` shows it: filters, times, and waiting for more. CLI process."""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.errors import UsageError
from pyman.linux.inotify import Watch
from pyman.monitor.logs import parse_time
from pyman.state import eventlog, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Event = dict[str, Any]

TYPES = ("artifact", "container", "image", "machine", "network", "pod", "secret", "system", "volume")
FILTERS = ("artifact", "container", "event", "image", "label", "pod", "status", "type", "volume")
_OBJECTS = ("artifact", "container", "image", "pod")


def select(opts: Any, idle: Callable[[], None]) -> Iterator[Event]:
    """The events that --since, --until and --filter ask for; with --stream also those to come. UsageError.

    idle: called when all that has happened so far was given.
    """
    logger = containers_conf.load()["engine"].get("events_logger")
    if logger not in ("file", "none", ""):
        raise UsageError(f"cannot use events_logger {logger!r}", "events are written to a file, or not at all", "set it to file or none")
    if logger == "none":
        raise UsageError("cannot read events", "events_logger is none in containers.toml: none are written", "set it to file")
    chosen = compile_filters(opts.get("filter") or [])
    since = _stamp(parse_time(opts["since"], "--since")) if opts.get("since") else ""
    end = parse_time(opts["until"], "--until", ahead=True) if opts.get("until") else None
    until = _stamp(end) if end is not None else ""
    for event in _raw(opts, end, bool(since or until), idle):
        if (since and event["Time"] <= since) or (until and event["Time"] >= until):
            continue
        if event["Type"] in TYPES and chosen(event):
            yield event


def _stamp(moment: float) -> str:
    return events.stamp(max(0, int(moment * 10**9)))


def _raw(opts: Any, end: float | None, from_start: bool, idle: Callable[[], None]) -> Iterator[Event]:
    if not opts.get("stream") or (end is not None and end <= time.time()):
        yield from eventlog.read()
        return
    paths.ensure_private(paths.graphroot())
    directory = os.path.dirname(events.path())
    os.makedirs(directory, 0o700, exist_ok=True)
    place, watch = _place(directory), Watch([directory])

    def wait() -> bool:
        nonlocal watch, place
        idle()
        if not _same(directory, place):  # it was removed, and perhaps made anew: until then there is nothing to watch
            watch.close()
            os.close(place)
            place, watch = _place(directory), Watch([directory])
            if watch.fd >= 0:
                return True  # something may have been written before it was watched
        left = end - time.time() if end is not None else 60.0
        if left <= 0:
            return False
        watch.wait(min(left, 60.0))
        return True

    try:
        yield from eventlog.follow(from_start, wait)
    finally:
        watch.close()
        os.close(place)


def _place(directory: str) -> int:
    """A descriptor of a directory; of the nearest one above it that there is, where it is not."""
    while True:
        try:
            return os.open(directory, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            directory = os.path.dirname(directory)


def _same(directory: str, place: int) -> bool:
    try:
        return os.path.samestat(os.stat(directory), os.fstat(place))
    except FileNotFoundError:
        return False


def compile_filters(filters: list[str]) -> Callable[[Event], bool]:
    """What says whether an event passes: equal keys are alternatives, different ones must all pass. UsageError."""
    groups: dict[str, list[str]] = {}
    for item in filters:
        key, separator, value = item.partition("=")
        if not separator or key.lower() not in FILTERS:
            from pyman.engine import filters as mistakes

            raise mistakes.unknown(item, key, "events", FILTERS)
        groups.setdefault(key.lower(), []).append(value)

    def passes(event: Event) -> bool:
        return all(any(_matches(event, key, value) for value in values) for key, values in groups.items())

    return passes


def _matches(event: Event, key: str, value: str) -> bool:
    if key in ("event", "status"):
        return bool(event["Status"] == ("died" if value == "die" else value))
    if key == "type":
        return bool(event["Type"] == value)
    if key == "label":
        name, separator, wanted = value.partition("=")
        labels = event.get("Attributes") or {}
        return name in labels and (not separator or labels[name] == wanted)
    if event["Type"] != key:
        return False
    if key == "volume":
        return bool(event["Name"].startswith(value))
    return bool(event["Name"] == value or (value and event["ID"].startswith(value)))


def nanoseconds(event: Event) -> int:
    """When the event was, in nanoseconds since 1970; 0 for a time nobody can read."""
    import calendar

    when, _, fraction = event["Time"].rstrip("Z").partition(".")
    try:
        day, _, clock = when.partition("T")
        fields = [int(part) for part in [*day.split("-"), *clock.split(":")]]
        return calendar.timegm((*fields, 0, 0, 0)) * 10**9 + int(fraction[:9].ljust(9, "0"))
    except (ValueError, TypeError):
        return 0


def plain(event: Event) -> dict[str, Any]:
    """The event under Podman's names, without the fields that are empty, or that Podman leaves out for its type."""
    moment, kind = nanoseconds(event), event["Type"]
    found: dict[str, Any] = {
        "ContainerExitCode": event.get("ContainerExitCode"),
        "OOMKilled": event.get("OOMKilled"),
        "ID": event["ID"] if kind != "volume" else "",
        "Image": event.get("Image", ""),
        "Name": event["Name"] if kind not in ("network", "secret") else "",
        "network": event.get("Network") or (event["Name"] if kind == "network" else ""),
        "Status": event["Status"],
        "time": moment // 10**9,
        "timeNano": moment,
        "Type": event["Type"],
        "health_status": event.get("HealthStatus", ""),
        "Error": event.get("Error", ""),
        "ExecID": event.get("ExecID", ""),
        "Signal": event.get("Signal"),
        "ContainerInspectData": event.get("ContainerInspectData", ""),
        "PodID": event.get("PodID", ""),
    }
    found = {key: value for key, value in found.items() if value not in ("", None)}
    found["Attributes"] = attributes(event) or ({} if kind in ("container", "pod") else None)
    return found


def attributes(event: Event) -> dict[str, str]:
    """Its labels; of a network, its driver under Podman's name."""
    found = dict(event.get("Attributes") or {})
    if event["Type"] == "network" and "type" in found:
        found["driver"] = found.pop("type")
    return found

"""`pyman events`: what happens to containers, images, volumes and the rest. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.cli.dispatch import escape
from pyman.engine import events
from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Event = dict[str, Any]

_FIELDS: dict[str, Callable[[Event], Any]] = {
    "Attributes": events.attributes,
    "ContainerExitCode": lambda e: e.get("ContainerExitCode"),
    "ContainerInspectData": lambda e: e.get("ContainerInspectData", ""),
    "Details": lambda e: {"Attributes": events.attributes(e), "PodID": e.get("PodID", "")},
    "Error": lambda e: e.get("Error", ""),
    "ExecID": lambda e: e.get("ExecID", ""),
    "HealthStatus": lambda e: e.get("HealthStatus", ""),
    "ID": lambda e: e["ID"],
    "Image": lambda e: e.get("Image", ""),
    "Name": lambda e: e["Name"],
    "Network": lambda e: e.get("Network") or (e["Name"] if e["Type"] == "network" else ""),
    "OOMKilled": lambda e: e.get("OOMKilled"),
    "PodID": lambda e: e.get("PodID", ""),
    "Signal": lambda e: e.get("Signal"),
    "Status": lambda e: e["Status"],
    "Time": lambda e: events.nanoseconds(e) // 10**9,
    "TimeNano": events.nanoseconds,
    "Type": lambda e: e["Type"],
}


def main(opts: Any, args: list[str]) -> int:
    """Print each event that matches until --until, or for ever."""
    show = _printer(str(opts["format"] or ""), not opts["no_trunc"])
    for event in events.select(opts, sys.stdout.flush):
        sys.stdout.write(show(event))
    return 0


def _printer(template: str, short: bool) -> Callable[[Event], str]:
    if not template:
        # A label with a line break must not look like an event of its own.
        return lambda event: escape(_human(event, short)).replace("\n", "\\n").replace("\t", "\\t") + "\n"
    if template.strip() == "json":
        return lambda event: fastjson.dumps(events.plain(event)) + "\n"
    if template.startswith("table "):
        why, hint = "events are printed as they happen, and make no table", "leave the word table away"
        raise UsageError(f"invalid value {template!r} for --format", why, hint)
    from pyman.cli import gotemplate

    compiled, _ = gotemplate.compile_format(template, tables=False)
    terminal = sys.stdout.isatty()

    def show(event: Event) -> str:
        results, printed, mistake = output.filled(compiled, [gotemplate.Row(event, _FIELDS, events.plain, ("Event", _whole))])
        output.print_rest(printed, mistake)
        return escape(results[0]) if terminal else results[0]

    return show


def _whole(event: Event) -> dict[str, Any]:
    return {name: field(event) for name, field in _FIELDS.items()}


def _human(event: Event, short: bool) -> str:
    """One line of text, in Podman's form for the type of the event."""
    kind, status = event["Type"], event["Status"]
    object_id = event["ID"][:12] if short else event["ID"]
    head = f"{_local(events.nanoseconds(event))} {kind} {status}"
    labels = events.attributes(event)
    if kind in ("container", "pod"):
        facts = [f"image={event.get('Image', '')}", f"name={event['Name']}"]
        if event.get("PodID"):
            facts.append(f"pod_id={event['PodID']}")
        if event.get("OOMKilled"):
            facts.append("oom_killed=true")  # Podman's has it in its other forms only
        if status == "health_status":
            facts.append(f"health_status={event.get('HealthStatus', '')}")
            facts.append(f"health_failing_streak={event.get('HealthFailingStreak', 0)}")
            facts.append(f"health_log={event.get('HealthLog', '')}")
        return f"{head} {object_id} ({', '.join(facts + [f'{key}={value}' for key, value in labels.items()])})"
    if kind == "network":
        if status in ("create", "remove"):
            return f"{head} {event['ID']} (name={event.get('Network') or event['Name']}, type={labels.get('driver', '')})"
        return f"{head} {object_id} (container={object_id}, name={event.get('Network') or event['Name']})"
    if kind in ("image", "artifact"):
        return f"{head} {object_id} {event['Name']}" + (f" {event['Error']}" if event.get("Error") else "")
    if kind == "secret":
        return f"{head} {object_id}"
    return f"{head} {event['Name']}" if event["Name"] else head


def _local(moment: int) -> str:
    """2026-01-31 12:00:00.25 +0100 CET, as Go prints a time."""
    when = time.localtime(moment // 10**9)
    fraction = f".{moment % 10**9:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", when) + fraction + time.strftime(" %z %Z", when)

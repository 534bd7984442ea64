"""`pyman ps`: list containers. CLI process; reads one small file per container."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.engine import container as containers
from pyman.engine import ps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SORT = {
    "command": lambda s: " ".join(s["command"]),
    "created": lambda s: s["created"],
    "id": lambda s: s["id"],
    "image": lambda s: s["image"],
    "names": lambda s: s["name"],
    "runningfor": lambda s: s["started"],
    "status": lambda s: s["status"],
}


def status_text(state: dict[str, Any]) -> str:
    """Up 5 minutes; Exited (0) 3 hours ago; Created."""
    if state["status"] == "running":
        return "Up " + output.duration(time.time() - state["started"]).lower()
    if state["status"] == "exited":
        return f"Exited ({state['exit_code']}) {output.ago(state['finished'])}"
    return str(state["status"]).capitalize()


def fields(state: dict[str, Any], trunc: bool) -> dict[str, Any]:
    """What a template may ask for, under Podman's names."""
    command = " ".join(state["command"])
    return {
        "ID": state["id"][:12] if trunc else state["id"],
        "Image": state["image"],
        "ImageID": state["image_id"],
        "Command": command[:20] + "..." if trunc and len(command) > 23 else command,
        "Created": output.ago(state["created"]),
        "CreatedAt": output.go_time(state["created"]),
        "CreatedHuman": output.ago(state["created"]),
        "RunningFor": output.ago(state["created"]),
        "StartedAt": int(state["started"]),
        "ExitedAt": int(state["finished"]),
        "Exited": state["status"] == "exited",
        "ExitCode": state["exit_code"],
        "Status": status_text(state),
        "State": state["status"],
        "Names": state["name"],
        "Ports": ps.port_text(state["ports"]),
        "Labels": state["labels"],
        "Mounts": ",".join(state["mounts"]),
        "Networks": ",".join(state["networks"]),
        "Pid": state["pid"],
        "AutoRemove": state["auto_remove"],
        "Restarts": state["restarts"],
        "Size": "",
        "Pod": "",
        "PodName": "",
    }


def json_row(state: dict[str, Any]) -> dict[str, Any]:
    """One container as `ps --format json` shows it in Podman."""
    return {
        "AutoRemove": state["auto_remove"],
        "Command": state["command"],
        "CreatedAt": output.ago(state["created"]),
        "Created": int(state["created"]),
        "Exited": state["status"] == "exited",
        "ExitedAt": int(state["finished"]) or -62135596800,
        "ExitCode": state["exit_code"],
        "Id": state["id"],
        "Image": state["image"],
        "ImageID": state["image_id"],
        "IsInfra": False,
        "Labels": state["labels"] or None,
        "Mounts": state["mounts"],
        "Names": [state["name"]],
        "Namespaces": {},
        "Networks": state["networks"],
        "Pid": state["pid"],
        "Pod": "",
        "PodName": "",
        "Ports": state["ports"] or None,
        "Restarts": state["restarts"],
        "Size": None,
        "StartedAt": int(state["started"]) or -62135596800,
        "State": state["status"],
        "Status": status_text(state),
    }


def main(opts: Any, args: list[str]) -> int:
    """Print the containers asked for."""
    filters = list(opts["filter"])
    ps.check(filters)
    everything = containers.list_states()
    states = everything
    if not (opts["all"] or opts["last"] or opts["latest"] or any(item.startswith(("status", "exited")) for item in filters)):
        states = [state for state in states if state["status"] == "running"]
    if filters:
        states = [state for state in states if ps.matches(state, filters, everything)]
    if opts["latest"] or opts["last"]:
        states = states[: 1 if opts["latest"] else opts["last"]]
    if opts["sort"] not in _SORT:
        raise output.bad_value("--sort", opts["sort"], ", ".join(_SORT))
    states = sorted(states, key=_SORT[opts["sort"]])
    trunc = not opts["no_trunc"]
    if opts["quiet"]:
        sys.stdout.write("".join((state["id"][:12] if trunc else state["id"]) + "\n" for state in states))
    elif opts["format"]:
        output.print_formatted(opts["format"], [fields(state, trunc) for state in states], [json_row(state) for state in states])
    else:
        rows = [fields(state, trunc) for state in states]
        columns = ["ID", "Image", "Command", "Created", "Status", "Ports", "Names"]
        headings = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
        output.print_table(headings, [[str(row[column]) for column in columns] for row in rows], not opts["noheading"])
    return 0

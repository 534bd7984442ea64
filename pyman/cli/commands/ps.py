"""`pyman ps`: list containers. CLI process; reads one small file per container."""

from __future__ import annotations

import os
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
    "size": lambda s: _sizes(s)[1],
    "status": lambda s: s["status"],
}


def status_text(state: dict[str, Any]) -> str:
    """Up 5 minutes; Exited (0) 3 hours ago; Created."""
    if state["status"] == "running":
        return "Up " + output.duration(time.time() - state["started"]).lower()
    if state["status"] == "exited":
        return f"Exited ({state['exit_code']}) {output.ago(state['finished'])}"
    return str(state["status"]).capitalize()


_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def _sizes(state: dict[str, Any]) -> tuple[int, int]:
    from pyman.engine import sizes

    return sizes.container_sizes(containers.Container(state["id"]))


def size_text(state: dict[str, Any]) -> str:
    """12.3kB (virtual 4.5MB)."""
    own, virtual = (output.human_size(number).replace(" ", "") for number in _sizes(state))
    return f"{own} (virtual {virtual})"


def namespaces(state: dict[str, Any]) -> dict[str, str]:
    """The inode of each namespace of a running container, as --ns shows them."""
    found = {}
    for kind in _NAMESPACES if state["pid"] else ():
        try:
            found[kind] = os.readlink(f"/proc/{state['pid']}/ns/{kind}").strip(f"{kind}:[]")
        except OSError:
            found[kind] = ""
    return found


def _more(state: dict[str, Any]) -> dict[str, Any]:
    """Fields that only a template asks for, worked out then."""
    from pyman.cli.gotemplate import Lazy

    def config() -> dict[str, Any]:
        return containers.Container(state["id"]).config

    def exposed() -> dict[str, Any]:
        names = [*(config()["image_config"].get("ExposedPorts") or {}), *(config()["options"].get("expose") or [])]
        return {str(name).partition("/")[0]: [str(name).partition("/")[2] or "tcp"] for name in names}

    return {
        "CIDFile": Lazy(lambda: str(config()["options"].get("cidfile") or "")),
        "ExposedPorts": Lazy(exposed),
        "Label": lambda name: state["labels"].get(str(name), ""),
        "Namespaces": Lazy(lambda: namespaces(state)),
        "Size": Lazy(lambda: size_text(state)),
    }


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
        "IsInfra": False,
        "Pod": "",
        "PodName": "",
    }


def json_row(state: dict[str, Any], size: bool = False) -> dict[str, Any]:
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
        "Namespaces": namespaces(state),
        "Networks": state["networks"],
        "Pid": state["pid"],
        "Pod": "",
        "PodName": "",
        "Ports": state["ports"] or None,
        "Restarts": state["restarts"],
        "Size": dict(zip(("rwSize", "rootFsSize"), _sizes(state))) if size else None,
        "StartedAt": int(state["started"]) or -62135596800,
        "State": state["status"],
        "Status": status_text(state),
    }


def main(opts: Any, args: list[str]) -> int:
    """Print the containers asked for, with --watch again and again."""
    if opts["watch"] is None:
        return _show(opts)
    if opts["watch"] < 1:
        raise output.bad_value("--watch", str(opts["watch"]), "the seconds between two looks, from 1 on")
    while True:
        sys.stdout.write("\x1b[H\x1b[2J" if sys.stdout.isatty() else "")
        _show(opts)
        sys.stdout.flush()
        time.sleep(opts["watch"])


def _show(opts: Any) -> int:
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
        json_rows = [json_row(state, opts["size"]) for state in states] if opts["format"] == "json" else []
        output.print_formatted(opts["format"], [{**fields(state, trunc), **_more(state)} for state in states], json_rows)
    elif opts["ns"] or opts["namespace"]:
        headings = [
            "CONTAINER ID",
            "NAMES",
            "PID",
            *(kind.upper() + ("NS" if kind in ("cgroup", "pid", "user") else "") for kind in _NAMESPACES),
        ]
        rows_ns = [
            [
                state["id"][:12] if trunc else state["id"],
                state["name"],
                str(state["pid"]),
                *(namespaces(state).get(k, "") for k in _NAMESPACES),
            ]
            for state in states
        ]
        output.print_table(headings, rows_ns, not opts["noheading"])
    else:
        rows = [fields(state, trunc) for state in states]
        columns = ["ID", "Image", "Command", "Created", "Status", "Ports", "Names"]
        headings = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
        if opts["pod"]:
            columns, headings = [*columns, "Pod", "PodName"], [*headings, "POD ID", "PODNAME"]
        if opts["size"]:
            columns, headings = [*columns, "Size"], [*headings, "SIZE"]
            rows = [{**row, "Size": size_text(state)} for row, state in zip(rows, states)]
        output.print_table(headings, [[str(row[column]) for column in columns] for row in rows], not opts["noheading"])
    return 0

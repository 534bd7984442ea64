"""`pyman ps`: list containers. CLI process; reads one small file per container."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.cli import ps_rows as rows
from pyman.engine import ps
from pyman.engine.container import shown_status
from pyman.engine.container_list import list_states
from pyman.errors import UsageError

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
    "size": lambda s: rows.sizes(s)[1],
    "status": lambda s: s["status"],
}
_COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedHuman": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}


def main(opts: Any, args: list[str]) -> int:
    """Print the containers asked for, with --watch again and again."""
    _check(opts)
    if not opts["watch"]:
        return _show(opts)
    while True:
        sys.stdout.write("\x1b[H\x1b[2J" if sys.stdout.isatty() else "")
        _show(opts)
        sys.stdout.flush()
        time.sleep(min(opts["watch"], 10**9))


def _check(opts: Any) -> None:
    """Options that contradict each other. UsageError."""
    opts["namespace"] = opts["namespace"] or opts["ns"]
    for one, other in (("latest", "last"), ("quiet", "size"), ("quiet", "namespace"), ("size", "namespace"), ("watch", "latest")):
        if opts[one] and opts[other] and not (other == "last" and opts[other] < 0):
            raise UsageError(f"cannot use --{one} together with --{other}", "they contradict each other", "pyman ps --help")
    if opts["watch"] is not None and opts["watch"] < 0:
        raise output.bad_value("--watch", str(opts["watch"]), "the seconds between two looks")
    if opts["sort"] not in _SORT:
        raise output.bad_value("--sort", opts["sort"], ", ".join(_SORT))
    ps.check(opts["filter"])


def _chosen(opts: Any) -> list[dict[str, Any]]:
    filters = list(opts["filter"])
    everything = list_states()
    for state in everything:
        state["status"] = shown_status(state)
    ps.lend_ports(everything)
    states = everything
    last = opts["last"] if (opts["last"] or 0) > 0 else 0
    if not (opts["all"] or last or opts["latest"] or any(item.startswith(("status", "exited")) for item in filters)):
        states = [state for state in states if state["status"] == "running"]
    if filters:
        states = [state for state in states if ps.matches(state, filters, everything)]
    if opts["latest"] or last:
        states = states[: 1 if opts["latest"] else last]
    if opts["size"] or opts["sort"] == "size":
        states = rows.measure(states)
    states = sorted(states, key=_SORT["created"])  # equal ones stand in this order
    return states if opts["sort"] == "created" else sorted(states, key=_SORT[opts["sort"]])


def _show(opts: Any) -> int:
    states = _chosen(opts)
    trunc, template = not opts["no_trunc"], opts["format"]
    if template == "json":
        output.print_json([rows.json_row(state, opts["size"], opts["namespace"]) for state in states])
    elif opts["quiet"] and not template:
        sys.stdout.write("".join((state["id"][:12] if trunc else state["id"]) + "\n" for state in states))
    elif template and template.strip() != "table":
        known = rows.functions(trunc)

        def plain(state: dict[str, Any]) -> dict[str, Any]:
            return {**rows.json_row(state, opts["size"], opts["namespace"]), "Created": output.rfc3339(state["created"])}

        def whole(state: dict[str, Any]) -> dict[str, Any]:
            return {**plain(state), "CreatedAt": "", "Status": ""}

        output.print_template(template, states, known, plain, rows.HEADINGS, not opts["noheading"], ("psReporter", whole))
    else:
        columns = dict(_COLUMNS)
        if opts["namespace"]:
            columns = {"ID": "CONTAINER ID", "Names": "NAMES", "Pid": "PID", **{name: name for name, _, _ in rows.NAMESPACES}}
        if opts["pod"]:
            columns.update(Pod="POD ID", PodName="PODNAME")
        if opts["size"]:
            columns["Size"] = "SIZE"
        cells = [rows.cells(state, list(columns), trunc) for state in states]
        output.print_table(list(columns.values()), cells, not opts["noheading"])
    return 0

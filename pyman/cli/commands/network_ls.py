"""`pyman network ls`: list networks. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.commands.network_inspect import NAMES, fields
from pyman.cli.dispatch import print_error
from pyman.engine import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Row = dict[str, Any]


_SHAPE: tuple[str, Callable[[Row], Row]] = ("ListPrintReports", lambda record: record)


def _labels(record: Row) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((record.get("labels") or {}).items()))


def _functions(trunc: bool) -> dict[str, Callable[[Row], Any]]:
    """Field name -> what works it out from a network."""

    def field(name: str) -> Callable[[Row], Any]:
        return lambda record: fields(record).get(name)

    functions = {name: field(name) for name in NAMES if name != "Containers"}
    functions["ID"] = lambda record: record["id"][:12] if trunc else record["id"]
    functions["Labels"] = _labels
    return functions


def main(opts: Any, args: list[str]) -> int:
    """Print the networks, by name; those with a damaged file are reported on stderr."""
    rows, broken = networks.listing(opts["filter"])
    template, trunc = opts["format"], not opts["no_trunc"]
    if template == "json":
        output.print_json(rows)
    elif template and template.strip() != "table":
        headings = {"ID": "NETWORK ID"}
        output.print_template(template, rows, _functions(trunc), lambda record: record, headings, not opts["noheading"], _SHAPE)
    elif opts["quiet"]:
        sys.stdout.write("".join(record["name"] + "\n" for record in rows))
    else:
        cells = [[record["id"][:12] if trunc else record["id"], record["name"], record["driver"]] for record in rows]
        output.print_table(["NETWORK ID", "NAME", "DRIVER"], cells, not opts["noheading"])
    for err in broken:
        print_error(err)
    return 125 if broken else 0

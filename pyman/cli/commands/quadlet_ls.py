"""`pyman quadlet ls`. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.engine import quadlet_ls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HEADINGS = {"Name": "NAME", "UnitName": "UNIT NAME", "Path": "PATH ON DISK", "Status": "STATUS", "App": "APPLICATION"}


def _field(name: str) -> Callable[[Any], Any]:
    return lambda row: row[name]


def main(opts: Any, args: list[str]) -> int:
    """Print the Quadlet files, those that systemd sees."""
    rows = quadlet_ls.rows(opts["filter"])
    if opts["format"] == "json":
        output.print_json(rows)
    elif opts["format"] and opts["format"].strip() != "table":
        functions = {name: _field(name) for name in _HEADINGS}
        output.print_template(opts["format"], rows, functions, lambda row: row, _HEADINGS, not opts["noheading"])
    else:
        output.print_table(list(_HEADINGS.values()), [[row[name] for name in _HEADINGS] for row in rows], not opts["noheading"])
    return 0

"""`pyman network test`: what of a container's network works, and what does not. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.engine import container as containers
from pyman.engine import network_test
from pyman.engine.container_list import latest
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print a table of what was tried. 0 if all of it works, else 1."""
    if opts["format"] not in ("", "table", "json"):
        raise output.bad_value("--format", opts["format"], "table, json")
    if bool(args) == bool(opts["latest"]):
        raise UsageError("no container given" if not args else "cannot use --latest together with a name", "test needs one container")
    found = network_test.test(containers.lookup(args[0]) if args else latest())
    if opts["format"] == "json":
        output.print_json(found)
    else:
        output.print_table(
            ["CHECK", "TARGET", "RESULT", "DETAIL"], [[row["check"], row["target"], row["result"], row["detail"]] for row in found]
        )
    return 1 if any(row["result"] == "fail" for row in found) else 0

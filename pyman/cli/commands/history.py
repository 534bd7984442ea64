"""`pyman history`: the steps that made an image. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.engine import history
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Step = dict[str, Any]

_LONGEST = 45  # characters of a command that is cut short
_HEADINGS = {"CreatedBy": "CREATED BY"}


def _moment(step: Step) -> str:
    """2026-01-31T12:00:00Z"""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(step["created"])) if step["created_text"] else "0001-01-01T00:00:00Z"


def _functions(human: bool, trunc: bool) -> dict[str, Callable[[Step], Any]]:
    """Field name -> what works it out from a step."""

    def created(step: Step) -> str:
        return output.ago(step["created"]) if human else _moment(step)

    def by(step: Step) -> str:
        text = str(step["created_by"])
        return text[: _LONGEST - 3] + "..." if trunc and len(text) > _LONGEST else text

    return {
        "Comment": lambda step: step["comment"],
        "Created": created,
        "CreatedAt": _moment,
        "CreatedBy": by,
        "CreatedSince": created,
        "ID": lambda step: step["id"][:12] if trunc else step["id"],
        "Size": lambda step: output.human_size(step["size"]).replace(" ", "") if human else str(step["size"]),
        "Tags": lambda step: step["tags"],
    }


def _json(step: Step) -> dict[str, Any]:
    return {
        "id": step["id"],
        "created": step["created_text"] or "0001-01-01T00:00:00Z",
        **({"CreatedBy": step["created_by"]} if step["created_by"] else {}),
        **({"tags": step["tags"]} if step["tags"] else {}),
        "size": step["size"],
        **({"comment": step["comment"]} if step["comment"] else {}),
        "Created": _moment(step),
    }


def main(opts: Any, args: list[str]) -> int:
    """Print a row per step, newest first."""
    if not args:
        raise UsageError("no image given", "history needs the name of an image", "pyman history IMAGE")
    steps = history.steps(args[0])
    functions = _functions(opts["human"], not opts["no_trunc"])
    if opts["format"] == "json":
        output.print_json([_json(step) for step in steps])
    elif opts["quiet"]:
        sys.stdout.write("".join(functions["ID"](step) + "\n" for step in steps))
    elif opts["format"] and opts["format"].strip() != "table":
        output.print_template(opts["format"], steps, functions, _json, _HEADINGS, shape=("historyReporter", _json))
    else:
        columns = ["ID", "Created", "CreatedBy", "Size", "Comment"]
        headings = [_HEADINGS.get(column) or column.upper() for column in columns]
        output.print_table(headings, [[str(functions[column](step)) for column in columns] for step in steps])
    return 0

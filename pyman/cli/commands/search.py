"""`pyman search`: search registries for images. CLI process."""

from __future__ import annotations

from pyman.cli import access, output
from pyman.cli.dispatch import print_warning
from pyman.engine import search
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SHORT = 44  # characters of a description in a table


def _mark(value: bool) -> str:
    return "[OK]" if value else ""


def _functions(trunc: bool) -> dict[str, Callable[[dict[str, Any]], Any]]:
    return {
        "Automated": lambda row: _mark(row.get("automated", False)),
        "Description": lambda row: _shortened(row.get("description", ""), trunc),
        "Index": lambda row: row.get("index", ""),
        "Name": lambda row: row["name"],
        "Official": lambda row: _mark(row.get("official", False)),
        "Stars": lambda row: row.get("stars", 0),
        "Tag": lambda row: row.get("tag", ""),
    }


def _shortened(text: str, trunc: bool) -> str:
    text = " ".join(text.split())
    return text[:_SHORT] + "..." if trunc and len(text) > _SHORT else text


def _json(row: dict[str, Any]) -> dict[str, Any]:
    if "tag" in row:
        return {"Name": row["name"], "Tag": row["tag"]}
    functions = _functions(False)
    return {key: functions[key](row) for key in ("Index", "Name", "Description", "Stars", "Official", "Automated")} | {"Tag": ""}


def main(opts: Any, args: list[str]) -> int:
    """Print what the registries have."""
    if not args:
        raise UsageError("search needs a term", "none was given", "pyman search docker.io/busybox")
    reach = {key: value for key, value in access.of(opts).items() if not key.startswith("retry")}
    if opts["list_tags"]:
        if opts["filter"]:
            raise UsageError("cannot use --list-tags together with --filter", "tags have nothing to filter by")
        rows = search.list_tags(args[0], limit=opts["limit"], **reach)
    else:
        rows = search.search(args[0], limit=opts["limit"], filters=opts["filter"], warn=lambda err: print_warning(str(err)), **reach)
    functions = _functions(not opts["no_trunc"])
    if opts["format"] == "json":
        output.print_json(_tags_json(rows) if opts["list_tags"] else [_json(row) for row in rows])
    elif opts["format"] and opts["format"].strip() != "table":
        output.print_template(opts["format"], rows, functions, _json, {})
    else:
        columns = ["Name", "Tag"] if opts["list_tags"] else ["Name", "Description"]
        columns += ["Stars", "Official", "Automated"] if opts["compatible"] else []
        if rows:
            output.print_table(
                [column.upper() for column in columns], [[str(functions[column](row)) for column in columns] for row in rows]
            )
    return 0


def _tags_json(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One object per repository with all its tags, as Podman prints them."""
    return [
        {"Name": name, "Tags": [row["tag"] for row in rows if row["name"] == name]} for name in dict.fromkeys(row["name"] for row in rows)
    ]

"""`pyman secret ls`: list secrets. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.dispatch import print_error
from pyman.engine import secrets
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "ID": lambda record: record["id"],
    "Name": lambda record: record["name"],
    "Driver": lambda record: record["driver"],
    "CreatedAt": lambda record: output.ago(record["created"]),
    "UpdatedAt": lambda record: output.ago(record["updated"]),
}
_HEADINGS = {"CreatedAt": "CREATED", "UpdatedAt": "UPDATED"}


def _plain(record: Any) -> dict[str, Any]:
    return {name: function(record) for name, function in _FUNCTIONS.items()}


def _passes(filters: list[str]) -> Callable[[Any], bool]:
    """Equal keys are alternatives. UsageError."""
    wanted: dict[str, list[str]] = {}
    for item in filters:
        key, separator, value = item.partition("=")
        if not separator:
            raise UsageError(f"invalid filter {item!r}", "filter input must be in the form of filter=value")
        if key not in ("name", "id"):
            raise UsageError(f"invalid filter {item!r}", f"{key!r} is no filter of secrets", "filters are name and id")
        wanted.setdefault(key, []).append(value)
    patterns = []
    if "name" in wanted:
        import re  # names are regular expressions, as in Podman

        try:
            patterns = [re.compile(value) for value in wanted["name"]]
        except re.error as err:
            raise UsageError("invalid filter of names", f"it is no regular expression: {err}") from err

    def passes(record: Any) -> bool:
        by_name = not patterns or any(pattern.search(record["name"]) for pattern in patterns)
        return by_name and ("id" not in wanted or record["id"].startswith(tuple(wanted["id"])))

    return passes


def main(opts: Any, args: list[str]) -> int:
    """Print the secrets asked for, oldest first. 125 if one is damaged; the others are shown."""
    if opts["quiet"] and opts["format"]:
        raise UsageError("cannot use --quiet and --format together", "--quiet prints ids only")
    passes = _passes(opts["filter"])
    records, errors = secrets.every()
    found = [record for record in records if passes(record)]
    if opts["format"] == "json":
        output.print_json([_plain(record) for record in found])
    elif opts["quiet"]:
        sys.stdout.write("".join(record["id"] + "\n" for record in found))
    elif opts["format"] and opts["format"].strip() != "table":
        output.print_template(opts["format"], found, _FUNCTIONS, _plain, _HEADINGS, not opts["noheading"], ("SecretListReport", _plain))
    else:
        rows = [[str(value) for value in _plain(record).values()] for record in found]
        output.print_table(["ID", "NAME", "DRIVER", "CREATED", "UPDATED"], rows, not opts["noheading"])
    for err in errors:
        print_error(err)
    return 125 if errors else 0

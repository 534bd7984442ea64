"""`pyman secret inspect`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.dispatch import escape, print_error
from pyman.engine import secrets
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FIELDS = ("ID", "CreatedAt", "UpdatedAt", "Spec", "SecretData")


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, a text, or a template's result per secret. 125 if one does not exist."""
    if not args:
        raise UsageError("no secret given", "inspect needs at least one name or id")
    found, code = [], 0
    for name in args:
        try:
            record, value = secrets.reveal(name) if opts["showsecret"] else (secrets.lookup(name), b"")
            found.append({**record, "value": value.decode("utf-8", "replace")})
        except PymanError as err:
            print_error(err)
            code = 125
    if opts["pretty"]:
        sys.stdout.write("".join(_pretty(record) for record in found))
    elif opts["format"] and opts["format"] != "json":
        output.print_template(opts["format"], found, {name: _field(name) for name in _FIELDS}, _plain, {}, shape=_SHAPE)
    else:
        output.print_json([_plain(record) for record in found])
    return code


def _field(name: str) -> Callable[[Any], Any]:
    from pyman.cli.gotemplate_time import moment  # templates only

    return lambda record: _fields(record, moment)[name]


def _fields(record: Any, when: Any) -> dict[str, Any]:
    return {
        "ID": record["id"],
        "CreatedAt": when(record["created"]),
        "UpdatedAt": when(record["updated"]),
        "Spec": {
            "Name": record["name"],
            "Driver": {"Name": record["driver"], "Options": record["options"]},
            "Labels": record["labels"],
        },
        "SecretData": record["value"],
    }


def _plain(record: Any) -> dict[str, Any]:
    value = _fields(record, output.rfc3339)
    if not record["value"]:
        del value["SecretData"]
    return value


_SHAPE: tuple[str, Callable[[Any], dict[str, Any]]] = ("SecretInfoReport", lambda record: _fields(record, output.rfc3339))


def _pretty(record: Any) -> str:
    labels = [f" - {key}={value}" if value else f" - {key}" for key, value in sorted(record["labels"].items())]
    lines = [
        f"ID:              {record['id']}",
        f"Name:              {record['name']}",
        *(["Labels:"] if labels else []),
        *labels,
        f"Driver:            {record['driver']}",
        f"Created at:        {output.go_time(record['created'])}",
        f"Updated at:        {output.go_time(record['updated'])}",
    ]
    return "".join(escape(line).replace("\n", "\\n") + "\n" for line in lines)  # a label's line break forges none

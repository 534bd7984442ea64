"""`pyman volume ls`: list volumes. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.cli.dispatch import print_error, print_warning
from pyman.engine import volume_filters, volume_inspect, volumes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FIELDS = (
    *("Name", "Driver", "Mountpoint", "Labels", "Scope", "Options", "UID", "GID", "Anonymous", "MountCount"),
    *("NeedsCopyUp", "NeedsChown", "LockNumber", "StorageID", "Status", "Timeout"),
)


def print_template(template: str, records: list[Any], heading: bool = True, shape: str = "VolumeListReport") -> None:
    """--format with a template, once per record. UsageError with the position of a mistake."""
    from pyman.cli.gotemplate_time import moment  # templates only

    def field(name: str) -> Callable[[Any], Any]:
        return lambda record: volume_inspect.fields(record)[name]

    functions = {**{name: field(name) for name in _FIELDS}, "CreatedAt": lambda record: moment(record["created"])}

    def whole(record: Any) -> dict[str, Any]:
        return {**volume_inspect.fields(record), "CreatedAt": output.rfc3339(record["created"])}

    def plain(record: Any) -> Any:
        return volume_inspect.inspect(record, output.rfc3339)

    output.print_template(template, records, functions, plain, {"Name": "VOLUME NAME"}, heading, (shape, whole))


def main(opts: Any, args: list[str]) -> int:
    """Print the volumes asked for, oldest first. 125 if one is damaged; the others are shown. What lies there and is no volume is told."""
    if opts["quiet"] and opts["format"]:
        raise UsageError("cannot use --quiet and --format together", "--quiet prints names only")
    passes = volume_filters.compiled(opts["filter"])
    records, errors = volumes.every()
    found = [record for record in records if passes(record)]
    template = opts["format"]
    if template == "json":
        output.print_json([volume_inspect.inspect(record, output.rfc3339) for record in found])
    elif opts["quiet"]:
        sys.stdout.write("".join(record["name"] + "\n" for record in found))
    elif template and template.strip() != "table":
        print_template(template, found, not opts["noheading"])
    else:
        output.print_table(["DRIVER", "VOLUME NAME"], [[record["driver"], record["name"]] for record in found], not opts["noheading"])
    for other in volumes.strays():
        print_warning(f"{other}; remove it: {other.hint}")
    for err in errors:
        print_error(err)
    return 125 if errors else 0

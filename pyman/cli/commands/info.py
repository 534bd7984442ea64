"""`pyman info`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.engine import info

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print nested data as indented text, json or by template."""
    data = info.gather()
    if opts["format"] == "json":
        output.print_json(data)
    elif opts["format"]:
        from pyman.cli import go_reports, gotemplate

        output.print_filled(gotemplate.compile_format(opts["format"])[0], go_reports.report(data, "infoReport"))
    else:
        _print(data, 0)
    return 0


def _print(value: dict[str, Any], depth: int) -> None:
    blanks = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict):
            sys.stdout.write(f"{blanks}{key}:\n")
            _print(item, depth + 1)
        elif isinstance(item, list):
            sys.stdout.write(f"{blanks}{key}: {', '.join(str(part) for part in item)}\n")
        else:
            text = str(item).lower() if isinstance(item, bool) else str(item)
            first, *more = text.split("\n")
            sys.stdout.write(
                f"{blanks}{key}: {first}\n"
                if not more
                else "".join([f"{blanks}{key}: |-\n", *(f"{blanks}  {line}\n" for line in [first, *more])])
            )

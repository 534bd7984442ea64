"""`pyman quadlet check`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import parse
from pyman.cli.dispatch import escape
from pyman.engine import quadlet_check
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def wrong(argv: list[str]) -> str:
    """What is wrong with a command line; what systemd puts in later is not known, and no mistake."""
    try:
        parse.parse(argv)
    except UsageError as err:
        return "" if "%" in err.what or "$" in err.what else str(err)
    return ""


def main(opts: Any, args: list[str]) -> int:
    """Print problems as FILE:LINE: TEXT, and the units; 1 if a file cannot be used or systemd complains about its unit."""
    checked = quadlet_check.check(args, wrong)
    code = 0
    for each in checked:
        for problem in each.problems:
            sys.stdout.write(escape(str(problem)) + "\n")
        broken = each.unit.broken
        code = 1 if broken else code
        if not broken and not opts["quiet"]:
            sys.stdout.write(f"---{each.made.name}---\n{escape(each.made.text())}\n")
    good = [each for each in checked if not each.unit.broken]
    said = quadlet_check.verify(good) if opts["verify"] else []
    for line in said:
        sys.stdout.write(escape(f"systemd: {line}") + "\n")
    return 1 if said else code

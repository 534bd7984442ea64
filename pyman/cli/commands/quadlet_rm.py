"""`pyman quadlet rm`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.cli.dispatch import escape, print_warning
from pyman.engine import quadlet_rm
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the name of each file removed. 125 if one does not exist or runs."""
    if bool(args) == bool(opts["all"]):
        raise UsageError("cannot tell which files to remove", "name at least one, or use --all")
    removed: list[str] = []

    def action(_: str, name: str) -> None:
        if name not in removed:
            removed.extend(quadlet_rm.remove(name, opts["force"]))

    names = quadlet_rm.everything() if opts["all"] else args
    code = selection.over([(name, name) for name in names], action, opts["ignore"] or opts["all"])
    sys.stdout.write("".join(escape(name) + "\n" for name in removed))
    if removed:
        for warning in quadlet_rm.apply(opts["reload_systemd"]):
            print_warning(warning)
    return 125 if code else 0

"""`pyman secret rm`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import secrets
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the id of each secret removed. 125 if one does not exist or cannot be removed."""
    if bool(args) == bool(opts["all"]):
        raise UsageError("cannot tell which secrets to remove", "name at least one, or use --all")
    names = [record["id"] for record in secrets.every()[0]] if opts["all"] else args

    def action(_: str, name: str) -> None:
        sys.stdout.write(secrets.remove(name) + "\n")

    return 125 if selection.over([(name, name) for name in names], action, opts["ignore"]) else 0

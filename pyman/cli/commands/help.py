"""`pyman help`: what a command does, as its --help says. CLI process, slow path."""

from __future__ import annotations

from pyman.cli import help as texts
from pyman.cli.table import GROUPS, find
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the help of the command that `args` name; of pyman itself without any. UsageError for one that is not there."""
    path = tuple(args[: 2 if args and args[0] in GROUPS else 1])
    if path and path not in {(group,) for group in GROUPS}:
        path, command = find(path)
        if command is None:
            near = texts.nearest(path)
            raise UsageError(
                f"unknown command {' '.join(path)!r}",
                "pyman does not have it",
                f"did you mean {near}?" if near else "pyman help lists the commands",
            )
    return texts.show_path(path)

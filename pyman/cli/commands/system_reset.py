"""`pyman system reset`: remove everything. CLI process."""

from __future__ import annotations

import sys

from pyman import paths
from pyman.cli.confirm import confirmed
from pyman.cli.dispatch import escape, print_error
from pyman.engine import reset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = ("containers", "images", "networks", "build cache", "volumes", "secrets")


def main(opts: Any, args: list[str]) -> int:
    """Ask, and remove."""
    lines = [*(f"all {kind}" for kind in _KINDS), f'the graphRoot directory: "{paths.graphroot()}"']
    lines.append(f'the runRoot directory: "{paths.runroot()}"')
    warning = "WARNING! This will remove:\n" + "\n".join(f"        - {escape(line)}" for line in lines)
    if not opts["force"] and not confirmed(warning):
        return 0
    done = reset.reset()
    for err in done.errors:
        print_error(err)
    for path in done.kept:
        sys.stderr.write(f"{escape(path)} is not pyman's, and is left\n")
    return 125 if done.errors else 0

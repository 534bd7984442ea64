"""`pyman network prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import confirm
from pyman.engine import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Ask, remove unused networks and print their names."""
    if not opts["force"] and not confirm.confirmed("WARNING! This will remove all networks not used by at least one container."):
        return 0
    for name in networks.prune(opts["filter"]):
        sys.stdout.write(name + "\n")
    return 0

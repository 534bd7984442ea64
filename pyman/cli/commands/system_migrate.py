"""`pyman system migrate` and `renumber`: for scripts that call them after an update. CLI process."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Say that there is nothing to do."""
    sys.stderr.write("Nothing to do: there is no database, no process between commands, and locks have no numbers.\n")
    return 0

"""`pyman volume create`. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import volume_create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the new volume's name."""
    sys.stdout.write(volume_create.create(args[0] if args else "", opts) + "\n")
    return 0

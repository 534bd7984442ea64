"""`pyman network create`. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import create as containers
from pyman.engine import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Create a network and print its name."""
    containers.prepare_roots()
    sys.stdout.write(networks.create(opts, args[0] if args else "")["name"] + "\n")
    return 0

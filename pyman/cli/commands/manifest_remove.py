"""`pyman manifest remove`: take an image from a list. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import manifests
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest remove LIST DIGEST: print the list's id."""
    if len(args) < 2:
        raise UsageError("remove needs a list and a digest", f"{len(args)} arguments given", "pyman manifest remove LIST sha256:...")
    sys.stdout.write(manifests.remove(args[0], args[1]) + "\n")
    return 0

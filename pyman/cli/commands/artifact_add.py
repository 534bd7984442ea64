"""`pyman artifact add`: make an artifact of files. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import artifacts
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """artifact add NAME PATH...: print the artifact's digest."""
    if len(args) < 2:
        raise UsageError("add needs a name and a file", f"{len(args)} arguments given", "pyman artifact add NAME PATH")
    sys.stdout.write(artifacts.add(args[0], args[1:], opts) + "\n")
    return 0

"""`pyman artifact rm`: remove artifacts. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import artifacts
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """artifact rm NAME...: print the digests of what is gone."""
    if bool(args) == bool(opts["all"]):
        raise UsageError("cannot use --all together with names" if args else "no artifact given", "name artifacts, or use --all")
    for digest in artifacts.remove(args, everything=opts["all"], ignore=opts["ignore"]):
        sys.stdout.write(digest + "\n")
    return 0

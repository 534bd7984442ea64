"""`pyman artifact pull`: bring an artifact into the store. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.cli.reporter import lazy_reporter
from pyman.engine import artifact_transfer
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """artifact pull NAME: print its digest."""
    if not args:
        raise UsageError("no artifact given", "pull needs a name", "pyman artifact pull NAME")
    reporter = lazy_reporter(opts["quiet"])
    try:
        digest = artifact_transfer.pull(args[0], reporter=reporter, **access.of(opts))
    finally:
        reporter.close()
    sys.stdout.write(digest + "\n")
    return 0

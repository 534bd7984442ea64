"""`pyman import`: make an image of a root file system's archive. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.cli.reporter import lazy_reporter
from pyman.engine import import_image
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """import PATH [NAME]: print the new image's id."""
    if not args:
        raise UsageError("no archive given", "import needs a file, - for stdin, or an address", "pyman import FILE [NAME]")
    access.policy_of(opts)
    reporter = lazy_reporter(opts["quiet"])
    try:
        made = import_image.import_image(
            args[0],
            args[1] if len(args) > 1 else "",
            changes=opts["change"],
            message=opts["message"] or "",
            architecture=opts["arch"] or "",
            system=opts["os"] or "",
            variant=opts["variant"] or "",
            reporter=reporter,
        )
    finally:
        reporter.close()
    sys.stdout.write(f"sha256:{made}\n")
    return 0

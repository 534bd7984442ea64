"""`pyman save`: write images to an archive, a directory or stdout. CLI process."""

from __future__ import annotations

import os

from pyman.cli import access
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import save
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """save IMAGE [IMAGE...]"""
    if not args:
        raise UsageError("no image given", "save needs at least one name", "pyman save -o FILE IMAGE")
    if not opts["output"] and os.isatty(1):
        raise UsageError("refusing to save to a terminal", "an archive is no text", "-o FILE, or redirect stdout")
    access.policy_of(opts)
    reporter = lazy_reporter(opts["quiet"])
    try:
        save.save(
            args,
            path=opts["output"] or "",
            fd=1,
            kind=opts["format"],
            several=opts["multi_image_archive"],
            compress=opts["compress"],
            uncompressed=opts["uncompressed"],
            reporter=reporter,
            conf=containers.load(),
        )
    finally:
        reporter.close()
    return 0

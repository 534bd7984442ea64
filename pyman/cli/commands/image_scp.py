"""`pyman image scp`: copy images between machines. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import scp
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """scp [[USER@]HOST::]IMAGE [[USER@]HOST::[NAME]]"""
    if not args:
        raise UsageError("no image given", "scp needs an image and a place", "pyman image scp app me@example.com::")
    reporter = lazy_reporter(opts["quiet"])
    try:
        target = args[1] if len(args) > 1 else ""
        text = scp.copy(args[0], target, kind=opts["format"], quiet=opts["quiet"], reporter=reporter, conf=containers.load())
    finally:
        reporter.close()
    sys.stdout.write("".join(escape(line) + "\n" for line in text.splitlines()))
    return 0

"""`pyman load`: bring the images of an archive into the store. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import access
from pyman.cli.dispatch import escape, print_warning
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import load
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print what was loaded, and warn of names that another image had."""
    path = opts["input"] or "-"
    if path == "-" and os.isatty(0):
        raise UsageError("cannot read from the terminal", "an archive is no text", "-i FILE, or redirect stdin")
    access.policy_of(opts)
    reporter = lazy_reporter(opts["quiet"])
    try:
        loaded = load.load(path, names=not opts["no_names"], reporter=reporter, conf=containers.load())
    finally:
        reporter.close()
    for image in loaded:
        for name, other in image.moved:
            print_warning(f"{name} was the name of image {other[:12]} until now")
        for name in image.names or [f"sha256:{image.record['id']}"]:
            sys.stdout.write(f"Loaded image: {escape(name)}\n")
    return 0

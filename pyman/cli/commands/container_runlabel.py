"""`pyman container runlabel`: run the command that a label of an image holds. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import output
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import container_image, runlabel
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Become that command, or print it with --display."""
    if len(args) < 2:
        raise UsageError("no label and image given", "runlabel needs both", "pyman container runlabel run IMAGE")
    label, image, *more = args
    reporter = lazy_reporter(opts["quiet"])
    record = container_image.find(image, opts, containers.load(), lambda: reporter)
    reporter.close()
    if opts["display"]:
        output.print_text("command: " + runlabel.shown(record, image, label, more, opts["name"] or ""))
        return 0
    line = runlabel.arguments(record, image, label, more, opts["name"] or "")
    if opts["replace"]:
        runlabel.make_room(line)
    if opts["quiet"]:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    sys.stdout.flush()
    runlabel.execute(line)
    return 0

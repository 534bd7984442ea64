"""`pyman volume export`. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli.dispatch import print_warning
from pyman.engine import volume_archive, volumes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Write the archive to --output or stdout."""
    if not args:
        raise UsageError("no volume given", "export needs one name")
    name = volumes.lookup(args[0])
    if not opts["output"] and sys.stdout.isatty():
        raise UsageError("cannot write an archive to a terminal", "stdout is one", "redirect it, or use --output FILE")
    fd = 1
    if opts["output"]:
        try:
            fd = os.open(opts["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise UsageError(f"cannot write {opts['output']}", err.strerror or str(err)) from err
    for note in volume_archive.export(name, fd):
        print_warning(note)
    return 0

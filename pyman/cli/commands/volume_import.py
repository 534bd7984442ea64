"""`pyman volume import`. CLI process."""

from __future__ import annotations

import os

from pyman.cli.dispatch import print_warning
from pyman.cli.reporter import lazy_reporter
from pyman.engine import volume_archive, volumes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Read the archive from a file, or from stdin (- or nothing)."""
    if not args:
        raise UsageError("no volume given", "import needs a volume's name and an archive")
    name = volumes.lookup(args[0])
    fd, size = 0, 0
    if args[1:] and args[1] != "-":
        try:
            fd = os.open(args[1], os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(fd).st_size
        except OSError as err:
            raise UsageError(f"cannot read {args[1]}", err.strerror or str(err)) from err
    elif os.isatty(0):
        raise UsageError("cannot read an archive from a terminal", "stdin is one", "name a file, or redirect stdin")
    for note in volume_archive.import_archive(name, fd, lazy_reporter(quiet=False), size):
        print_warning(note)
    return 0

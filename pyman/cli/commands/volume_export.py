"""`pyman volume export`. CLI process."""

from __future__ import annotations

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
    if not opts["output"]:
        _export(name, 1)
        return 0
    from pyman.image.output import Output

    out = Output(opts["output"])  # a failed export takes no older archive's place
    try:
        _export(name, out.fd)
        out.finish()
    finally:
        out.close()
    return 0


def _export(name: str, fd: int) -> None:
    for note in volume_archive.export(name, fd):
        print_warning(note)

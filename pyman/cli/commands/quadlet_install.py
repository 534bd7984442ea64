"""`pyman quadlet install`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape, print_error, print_warning
from pyman.engine import quadlet_install
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print where each file is now; 125 if one could not be installed. A file with mistakes is, and they are told."""
    if not args:
        raise UsageError("no file given", "quadlet install needs one", "pyman quadlet install web.container")
    written, errors = quadlet_install.install(args, opts["replace"])
    sys.stdout.write("".join(escape(path) + "\n" for path in written))
    for problem in quadlet_install.problems(written):
        print_warning(str(problem))
    if written:
        for warning in quadlet_install.apply(opts["reload_systemd"]):
            print_warning(warning)
    for err in errors:
        print_error(err)
    return 125 if errors else 0

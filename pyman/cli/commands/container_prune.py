"""`pyman container prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import print_error
from pyman.engine import prune
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove all containers that do not run, and print their ids."""
    if not opts["force"]:
        sys.stdout.write("WARNING! This will remove all non running containers.\nAre you sure you want to continue? [y/N] ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise UsageError("cannot ask whether to go on", "stdin has ended", "use --force")
        if answer.strip().lower() not in ("y", "yes"):
            return 0
    code = 0
    for result in prune.prune(opts["filter"]):
        if isinstance(result, PymanError):
            print_error(result)
            code = 125
        else:
            sys.stdout.write(result + "\n")
    return code

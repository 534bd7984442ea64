"""`pyman container prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.confirm import confirmed
from pyman.cli.dispatch import print_error
from pyman.engine import prune
from pyman.errors import PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove all containers that do not run, and print their ids."""
    if not opts["force"] and not confirmed("WARNING! This will remove all non running containers."):
        return 0
    code = 0
    for result in prune.prune(opts["filter"]):
        if isinstance(result, PymanError):
            print_error(result)
            code = 125
        else:
            sys.stdout.write(result + "\n")
    return code

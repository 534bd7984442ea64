"""`pyman create`: create a container without starting it. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.commands import run
from pyman.cli.dispatch import print_warning
from pyman.engine import create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the new container's id."""
    container = create.create_container(opts, args, lambda: run.progress(opts), warn=print_warning)
    run.write_cidfile(opts, container)
    sys.stdout.write(container.id + "\n")
    return 0

"""`pyman volume unmount`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import volume_mount
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the name of each volume that is not mounted any more. 125 if one does not exist."""
    if not args:
        raise UsageError("no volume given", "unmount needs at least one name")

    def action(_: str, name: str) -> None:
        sys.stdout.write(volume_mount.unmount(name) + "\n")

    return 125 if selection.over([(name, name) for name in args], action, False) else 0

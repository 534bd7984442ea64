"""`pyman volume mount`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.engine import volume_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the directory of each volume's files. 125 if one cannot be mounted."""

    def action(_: str, name: str) -> None:
        sys.stdout.write(volume_mount.mount(name) + "\n")

    return 125 if selection.over([(name, name) for name in args], action, False) else 0

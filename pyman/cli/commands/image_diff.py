"""`pyman image diff`. CLI process."""

from __future__ import annotations

from pyman.cli.commands import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """As `pyman diff`, for an image."""
    return diff.show(opts, args, "image")

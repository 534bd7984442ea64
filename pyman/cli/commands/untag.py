"""`pyman untag`: take names from an image. CLI process."""

from __future__ import annotations

from pyman.engine import images
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """untag IMAGE [NAME...]."""
    if not args:
        raise UsageError("no image given", "untag needs an image")
    images.untag(args[0], args[1:])
    return 0

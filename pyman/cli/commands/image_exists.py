"""`pyman image exists`. CLI process."""

from __future__ import annotations

from pyman.errors import NoSuchImage, UsageError
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if the image is in the store, else 1."""
    if not args:
        raise UsageError("no image given", "exists needs one name or id")
    try:
        images.load().resolve(args[0])
    except NoSuchImage:
        return 1
    return 0

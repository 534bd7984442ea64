"""`pyman tag`: give an image further names. CLI process."""

from __future__ import annotations

from pyman.engine import images
from pyman.errors import UsageError
from pyman.image import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """tag IMAGE NAME..."""
    if len(args) < 2:
        raise UsageError("tag needs an image and a name", f"{len(args)} arguments given", "pyman tag IMAGE NAME")
    images.tag(args[0], [reference.normalise_tag(name) for name in args[1:]])
    return 0

"""`pyman manifest create`: make a list of images. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.engine import manifest_add, manifests
from pyman.errors import UsageError
from pyman.image import indexes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest create LIST [IMAGE...]: print the list's id."""
    if not args:
        raise UsageError("no name given", "a list needs one", "pyman manifest create LIST [IMAGE...]")
    made = manifests.create(args[0], amend=opts["amend"], annotations=indexes.pairs(opts["annotation"], "--annotation"))
    if len(args) > 1:
        try:
            made = manifest_add.add(args[0], args[1:], {"all": opts["all"]}, **access.of(opts))
        except BaseException:
            if not opts["amend"]:
                from pyman.engine import images

                images.remove(made, force=True)
            raise
    sys.stdout.write(made + "\n")
    return 0

"""`pyman manifest annotate`: change what a list says of an image, or of itself. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import manifests
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest annotate LIST [DIGEST|IMAGE]: print the list's id."""
    if not args or (len(args) < 2 and not opts["index"] and not opts["subject"]):
        raise UsageError("annotate needs a list and an image", f"{len(args)} arguments given", "pyman manifest annotate LIST DIGEST")
    sys.stdout.write(manifests.annotate(args[0], args[1] if len(args) > 1 else "", opts) + "\n")
    return 0

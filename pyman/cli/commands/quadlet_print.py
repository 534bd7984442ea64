"""`pyman quadlet print`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape
from pyman.engine import quadlet_print
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the file as it is; on a terminal without what could command it."""
    if not args:
        raise UsageError("no file given", "quadlet print needs one", "pyman quadlet ls")
    text = quadlet_print.content(args[0])
    if sys.stdout.isatty():
        sys.stdout.write(escape(text))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    return 0

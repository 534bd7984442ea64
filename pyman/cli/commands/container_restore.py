"""`pyman container restore`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import checkpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Refuse, and say what stands in the way."""
    if opts["import"]:
        raise checkpoint.restore_error(opts["import"])
    return selection.each(opts, args, checkpoint.restore_container)

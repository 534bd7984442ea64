"""`pyman volume exists`. CLI process."""

from __future__ import annotations

from pyman.engine import volumes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if a volume has exactly this name, else 1."""
    if not args:
        raise UsageError("no volume given", "exists needs one name")
    return 0 if args[0] in volumes.names() else 1

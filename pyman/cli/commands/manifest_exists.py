"""`pyman manifest exists`: whether a list is in the store. CLI process."""

from __future__ import annotations

from pyman.engine import manifests
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if the list exists, else 1."""
    if not args:
        raise UsageError("no list given", "exists needs a name", "pyman manifest exists LIST")
    return 0 if manifests.exists(args[0]) else 1

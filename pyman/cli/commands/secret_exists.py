"""`pyman secret exists`. CLI process."""

from __future__ import annotations

from pyman.engine import secrets
from pyman.errors import NoSuchObject, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if the secret exists, else 1."""
    if not args:
        raise UsageError("no secret given", "exists needs one name or id")
    try:
        secrets.lookup(args[0])
    except NoSuchObject:
        return 1
    return 0

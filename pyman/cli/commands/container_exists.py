"""`pyman container exists`. CLI process."""

from __future__ import annotations

from pyman.engine import container as containers
from pyman.errors import NoSuchContainer, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 if the container exists, else 1."""
    if not args:
        raise UsageError("no container given", "exists needs one name or id")
    try:
        containers.lookup(args[0])
    except NoSuchContainer:
        return 1
    return 0

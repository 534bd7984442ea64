"""`pyman artifact extract`: write an artifact's files. CLI process."""

from __future__ import annotations

from pyman.engine import artifacts
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """artifact extract NAME PATH"""
    if len(args) < 2:
        raise UsageError("extract needs an artifact and a path", f"{len(args)} arguments given", "pyman artifact extract NAME PATH")
    artifacts.extract(args[0], args[1], digest=opts["digest"] or "", title=opts["title"] or "")
    return 0

"""`pyman volume reload`. CLI process."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Volumes of plugins would be looked for; there are no plugins, so nothing was added or removed."""
    return 0

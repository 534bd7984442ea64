"""`pyman container inspect`: everything about containers. CLI process."""

from __future__ import annotations

from pyman.cli.commands import inspect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """As inspect, but a name is a container's only."""
    return inspect.inspect_all(opts, args, "container")

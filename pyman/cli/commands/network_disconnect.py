"""`pyman network disconnect`. CLI process."""

from __future__ import annotations

from pyman.engine import network_connect
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Take one container off one network."""
    if len(args) != 2:
        raise UsageError("network or container missing", "disconnect needs a network and a container")
    network_connect.disconnect(args[0], args[1], force=bool(opts["force"]))
    return 0

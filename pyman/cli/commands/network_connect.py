"""`pyman network connect`. CLI process."""

from __future__ import annotations

from pyman.engine import network_connect
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Connect one container to one network."""
    if len(args) != 2:
        raise UsageError("network or container missing", "connect needs a network and a container")
    network_connect.connect(args[0], args[1], aliases=opts["alias"], ips=[*opts["ip"], *opts["ip6"]], mac=opts["mac_address"])
    return 0

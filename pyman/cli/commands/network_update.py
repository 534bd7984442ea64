"""`pyman network update`: change the name servers of a network. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import networks
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Change one network, and print its name; its running containers notice."""
    if not args:
        raise UsageError("no network given", "update needs one name or id")
    add, drop = ([server for item in opts[key] for server in item.split(",") if server] for key in ("dns_add", "dns_drop"))
    sys.stdout.write(networks.update(args[0], add, drop)["name"] + "\n")
    return 0

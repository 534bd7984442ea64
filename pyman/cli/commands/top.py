"""`pyman top`: the processes of a container. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.engine import container as containers
from pyman.engine import top
from pyman.engine.container_list import latest
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """top [CONTAINER] [DESCRIPTOR...]."""
    if opts["list_descriptors"]:
        sys.stdout.write("".join(f"{name}\n" for name, *_ in top.DESCRIPTORS))
        return 0
    if not args and not opts["latest"]:
        raise UsageError("no container given", "top needs the name or id of a running container", "pyman top web pid user args")
    container = latest() if opts["latest"] else containers.lookup(args[0])
    rows = top.rows(container, [word for word in (args if opts["latest"] else args[1:]) if word != "--"])
    output.print_table(rows[0], rows[1:], narrowest=12)
    return 0

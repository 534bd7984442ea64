"""`pyman rename`: give a container another name. CLI process."""

from __future__ import annotations

from pyman.engine import container as containers
from pyman.engine import rename
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """rename CONTAINER NAME."""
    if len(args) != 2:
        raise UsageError("rename needs two arguments", f"{len(args)} given", "pyman rename CONTAINER NEW-NAME")
    rename.rename_container(containers.lookup(args[0]), args[1])
    return 0

"""--preserve-fds and --preserve-fd: the caller's descriptors that a process in the container gets. CLI process."""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def preserved_fds(opts: dict[str, Any]) -> tuple[int, ...]:
    """--preserve-fds N (3 to N+2) and --preserve-fd LIST, as open descriptors of this process. UsageError."""
    fds = {*range(3, 3 + int(opts.get("preserve_fds") or 0))}
    for item in opts.get("preserve_fd") or []:
        for text in str(item).split(","):
            if not is_whole(text, 9) or int(text) < 3:
                raise UsageError(f"invalid value {text!r} for option --preserve-fd", "it is a list of descriptors from 3 on")
            fds.add(int(text))
    for fd in fds:
        try:
            given = os.get_inheritable(fd)  # what pyman itself has opened is not: none of that may reach a container
        except OSError:
            given = False
        if not given:
            raise UsageError(f"cannot preserve file descriptor {fd}", "it is not open", f"open it: pyman run ... {fd}<FILE")
    return tuple(sorted(fds))

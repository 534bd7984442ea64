"""--device HOST[:CONTAINER[:PERMISSIONS]]. CLI process, with the option only."""

from __future__ import annotations

import os
import stat

from pyman.engine import mounts
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def entries(specs: list[str]) -> list[dict[str, Any]]:
    """Entries of linux.devices. Nodes are bound from the host, so their own permissions count. UsageError."""
    result = []
    for spec in specs:
        parts = spec.split(":")
        if "=" in spec and not spec.startswith("/"):
            raise UsageError(f"cannot add device {spec!r}", "CDI devices are not part of this release", "give the device's path")
        source, mode = parts[0], parts[-1] if len(parts) > 1 and not (len(parts) == 2 and parts[1].startswith("/")) else "rwm"
        if len(parts) > 3 or not mode or set(mode) - set("rwm"):
            raise UsageError(f"invalid device {spec!r}", "the form is HOST[:CONTAINER][:MODE], and MODE is of the letters r, w, m")
        target = parts[1] if len(parts) > 1 and parts[1].startswith("/") else source
        if not os.path.exists(source):
            raise UsageError(f"cannot add device {source}", "no such device on the host", errno=2)
        nodes = [os.path.join(source, name) for name in sorted(os.listdir(source))] if os.path.isdir(source) else [source]
        if nodes == [source] and stat.S_IFMT(os.stat(source).st_mode) not in (stat.S_IFCHR, stat.S_IFBLK):
            raise UsageError(f"cannot add device {source}", "it is not a device node", "give files and directories with --volume")
        for node in nodes:
            result.append({"source": node, "path": mounts.clean_destination(target + node[len(source) :], spec)})
    return result

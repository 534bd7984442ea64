"""`pyman update`: change the limits, restart policy, health checks and environment of a container. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli.dispatch import print_warning
from pyman.engine import container as containers
from pyman.engine import update
from pyman.engine.container_list import latest
from pyman.errors import NoSuchContainer, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the container's id once it is changed."""
    if bool(opts.get("latest")) == bool(args):
        raise UsageError("no container given" if not args else "cannot use --latest together with a name", "update needs one container")
    try:
        container = latest() if opts.get("latest") else containers.lookup(args[0])
    except NoSuchContainer as err:
        raise UsageError(err.what, err.why) from err
    update.update_container(container, opts, dict(os.environ))
    sys.stdout.write(container.id + "\n")
    if opts.get("restart"):
        from pyman.engine import reboot  # with a policy only

        reboot.tell(opts["restart"], print_warning)
    return 0

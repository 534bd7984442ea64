"""`pyman container clone`: create a container like another one. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import print_warning
from pyman.cli.reporter import lazy_reporter
from pyman.engine import clone, limits
from pyman.engine import container as containers
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """clone CONTAINER [NAME [IMAGE]]; prints the new container's id."""
    if not args:
        raise UsageError("no container given", "clone needs a container", "pyman container clone web")
    if opts["force"] and not opts["destroy"]:
        raise UsageError("cannot use --force without --destroy", "it is about removing the original")
    if opts["name"] and len(args) > 1:
        raise UsageError("cannot use --name together with a second argument", "both are the clone's name")
    original = containers.lookup(args[0])
    changes = {key: opts[key] for key in clone.LIMITS if key in opts.given}
    limits.resources({**original.config["options"], **changes})  # a mistake is found before anything is made
    name, image = opts["name"] or "".join(args[1:2]), "".join(args[2:3])
    made = clone.clone_container(original, name, image, changes, lambda: lazy_reporter(False))
    if opts["destroy"]:
        from pyman.engine import remove

        remove.remove_container(original, force=opts["force"])
    if opts["run"]:
        from pyman.engine import start

        start.start_container(made, warn=print_warning)
    sys.stdout.write(made.id + "\n")
    return 0

"""`pyman system prune`: remove everything unused. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.commands.system_df import size
from pyman.cli.confirm import confirmed
from pyman.cli.dispatch import print_error
from pyman.engine import sweep, system_prune
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _warning(opts: Any) -> str:
    lines = ["all stopped containers", "all networks not used by at least one container"]
    lines += ["all volumes not used by at least one container"] if opts["volumes"] else []
    lines += ["all images without at least one container associated with them"] if opts["all"] else ["all dangling images"]
    return "WARNING! This command removes:\n" + "".join(f"\t- {line}\n" for line in lines)


def say_if_not(complete: bool) -> None:
    """Tell the user if a prune had to leave something."""
    if not complete:
        sys.stderr.write("Another command is making an image or a container: layers that nothing needs have stayed.\n")


def main(opts: Any, args: list[str]) -> int:
    """Ask, remove, and print what was removed and how much room that gave."""
    if opts["external"]:
        if opts["all"] or opts["filter"]:
            raise UsageError("--external cannot be combined with other options", "--all and --filter are about images and containers")
        say_if_not(sweep.leftovers())
        return 0
    system_prune.check(opts["filter"])
    if not opts["force"] and not confirmed(_warning(opts)):
        return 0
    found = system_prune.everything(opts["filter"], all_images=opts["all"], volumes=opts["volumes"])
    for kind, names in found.removed.items():
        if names:
            sys.stdout.write(f"Deleted {kind}\n" + "".join(name + "\n" for name in names))
    for err in found.errors:
        print_error(err)
    say_if_not(found.complete)
    sys.stdout.write(f"Total reclaimed space: {size(found.freed)}\n")
    return 125 if found.errors else 0

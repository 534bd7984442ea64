"""`pyman volume prune`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import confirm
from pyman.cli.dispatch import print_error
from pyman.engine import volume_remove
from pyman.storage import trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Ask, remove the volumes that no container has, and print their names."""
    records = volume_remove.candidates(opts["filter"])
    if not records and not opts["force"]:
        sys.stdout.write("No dangling volumes found\n")
        return 0
    if not opts["force"]:
        text = "WARNING! This will remove all volumes not used by at least one container. The following volumes will be removed:\n"
        if not confirm.confirmed((text + "".join(record["name"] + "\n" for record in records)).rstrip("\n")):
            return 0
    removed, failed = volume_remove.prune(records)
    sys.stdout.write("".join(name + "\n" for name in removed))
    for err in failed:
        print_error(err)
    trash.sweep()
    return 125 if failed else 0

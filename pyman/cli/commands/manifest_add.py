"""`pyman manifest add`: add images or artifacts to a list. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.engine import manifest_add
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest add LIST IMAGE...: print the list's id."""
    if len(args) < 2:
        raise UsageError("add needs a list and an image", f"{len(args)} arguments given", "pyman manifest add LIST IMAGE")
    if opts["artifact"]:
        sys.stdout.write(manifest_add.add_artifact(args[0], args[1:], opts) + "\n")
        return 0
    given = sorted(key for key in opts.given if key.startswith("artifact_"))
    if given:
        raise UsageError(f"cannot use --{given[0].replace('_', '-')}", "it describes files", "--artifact")
    sys.stdout.write(manifest_add.add(args[0], args[1:], opts, **access.of(opts)) + "\n")
    return 0

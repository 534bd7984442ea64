"""`pyman logout`: forget the credentials for a registry. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape
from pyman.engine import login
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Say what was removed."""
    files = {"authfile": opts["authfile"], "docker_file": opts["compat_auth_file"]}
    if opts["all"]:
        if args:
            raise UsageError("cannot use --all together with a registry", "--all already means every registry")
        place = login.logout_all(**files)
        sys.stdout.write(f"Removed login credentials for all registries from {escape(place)}\n")
        return 0
    name = login.which(args)
    login.logout(name, **files)
    sys.stdout.write(f"Removed login credentials for {escape(name)}\n")
    return 0

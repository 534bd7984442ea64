"""`pyman commit`: make an image of a container. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape, print_warning
from pyman.engine import commit
from pyman.engine import container as containers
from pyman.errors import UsageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """commit CONTAINER [IMAGE]; prints the image's id."""
    if not args:
        raise UsageError("no container given", "commit needs a container", "pyman commit web localhost/web")

    def say(text: str) -> None:
        if not opts["quiet"]:
            sys.stderr.write(escape(text) + "\n")

    image_id = commit.commit(containers.lookup(args[0]), args[1] if len(args) > 1 else "", opts, print_warning, say)
    if opts["iidfile"]:
        store.write_text(opts["iidfile"], image_id, mode=0o644)
    sys.stdout.write(image_id + "\n")
    return 0

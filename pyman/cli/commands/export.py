"""`pyman export`: the files of a container as an archive. CLI process."""

from __future__ import annotations

import os

from pyman.cli.dispatch import print_warning
from pyman.engine import container as containers
from pyman.engine import export
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """export CONTAINER to stdout, or to --output."""
    if not args:
        raise UsageError("no container given", "export needs one container", "pyman export web > web.tar")
    container = containers.lookup(args[0])
    path = opts["output"]
    if ":" in path:
        raise UsageError(f"invalid filename {path!r}", "it must not contain ':'")
    if not path:
        if os.isatty(1):
            raise UsageError("cannot export to the terminal", "an archive would come", "use --output, or redirect stdout")
        export.export_container(container, 1, print_warning)
        return 0
    from pyman.image.output import Output

    out = Output(path)  # a failed export takes no older archive's place
    try:
        export.export_container(container, out.fd, print_warning)
        out.finish()
    finally:
        out.close()
    return 0

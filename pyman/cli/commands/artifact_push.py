"""`pyman artifact push`: bring an artifact to its registry. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.cli.commands import push
from pyman.cli.reporter import lazy_reporter
from pyman.engine import artifact_transfer
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """artifact push NAME: print its digest."""
    if not args:
        raise UsageError("no artifact given", "push needs a name", "pyman artifact push NAME")
    reporter = lazy_reporter(opts["quiet"])
    try:
        digest = artifact_transfer.push(args[0], signer=push.signer(opts), reporter=reporter, **access.of(opts))
    finally:
        reporter.close()
    push.write_digest(opts["digestfile"], digest)
    sys.stdout.write(digest.removeprefix("sha256:") + "\n")
    return 0

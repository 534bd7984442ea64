"""`pyman manifest push`: bring a list and its images to a registry, a layout or an archive. CLI process."""

from __future__ import annotations

from pyman.cli import access
from pyman.cli.commands import push as pushing
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import manifest_push
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest push LIST [DESTINATION]"""
    if not args:
        raise UsageError("no list given", "push needs a list and a destination", "pyman manifest push LIST DESTINATION")
    kinds = [kind for text in opts["add_compression"] for kind in text.split(",")]
    reporter = lazy_reporter(opts["quiet"])
    try:
        digest = manifest_push.push_list(
            args[0],
            args[1] if len(args) > 1 else "",
            pushing.choice(opts),
            everything=opts["all"],
            signer=pushing.signer(opts),
            add_compression=kinds,
            remove=opts["rm"] or opts["purge"],
            reporter=reporter,
            conf=containers.load(),
            **access.of(opts),
        )
    finally:
        reporter.close()
    pushing.write_digest(opts["digestfile"], digest)
    return 0

"""`pyman pull`: bring images into the store. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.cli.dispatch import print_error, print_warning
from pyman.cli.reporter import lazy_reporter
from pyman.config import containers
from pyman.engine import platforms
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the id of each image pulled."""
    from pyman.image import pull  # a slow path, which needs most of what hot ones avoid

    if not args:
        raise UsageError("no image given", "pull needs at least one name")
    if opts["platform"] and (opts["arch"] or opts["os"]):
        raise UsageError("cannot use --platform together with --arch or --os", "each of them says which image is meant")
    reporter = lazy_reporter(opts["quiet"])
    reach = access.of(opts)
    code, platform = 0, platforms.wanted(opts)
    if opts["all_tags"]:
        args = [tag for name in args for tag in pull.tags(name, **reach)]
    for name in args:
        try:
            record = pull.pull(
                name,
                policy=opts["policy"],
                platform=platform,
                reporter=reporter,
                conf=containers.load(),
                **reach,
            )
            reporter.close()
            different = platforms.mismatch(record, platform)
            if different:
                print_warning(different)
            sys.stdout.write(record["id"] + "\n")
        except PymanError as err:
            reporter.close()
            print_error(err)
            code = 125
    return code

"""`pyman image unmount`: unmount the files of images inside `pyman unshare`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import print_error
from pyman.engine import image_mount, mount
from pyman.errors import PymanError, UsageError
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Unmount each image and print its id; with --all those that are mounted here."""
    if not args and not opts["all"]:
        raise UsageError("image name or ID must be specified")
    if args and opts["all"]:
        raise UsageError("when using the --all switch, you may not pass any image names or IDs")
    if not opts["all"]:
        mount.require_inside("image unmount", "IMAGE")
    index, code = images.load(), 0
    for record in image_mount.mounted() if opts["all"] else [index.resolve(name) for name in args]:
        try:
            if image_mount.unmount_image(record, force=opts["force"]):
                sys.stdout.write(record["id"] + "\n")
        except PymanError as err:
            print_error(err)
            code = 125
    return code

"""`pyman image mount`: mount the files of images inside `pyman unshare`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output
from pyman.config import containers
from pyman.engine import image_mount, mount
from pyman.errors import UsageError
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Mount each image and print where; without one list what is mounted here."""
    if args and opts["all"]:
        raise UsageError("when using the --all switch, you may not pass any image names or IDs")
    if opts["format"] not in ("", "json"):
        raise output.bad_value("--format", opts["format"], "json")
    mount.require_inside("image mount", "IMAGE")
    found = image_mount.mounted()
    if args or opts["all"]:
        index = images.load()
        found = image_mount.all_images() if opts["all"] else [index.resolve(name) for name in args]
        for record in found:
            image_mount.mount_image(record, containers.load())
    rows = image_mount.described(found)
    if opts["format"] == "json":
        output.print_json(rows)
    elif len(args) == 1:
        sys.stdout.write(rows[0]["mountpoint"] + "\n")
    else:
        cells = [[(row["Repositories"] or [row["id"]])[0], row["mountpoint"]] for row in rows]
        output.print_table(["", ""], cells, heading=False)
    return 0

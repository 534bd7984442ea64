"""`pyman mount`: mount the files of containers inside `pyman unshare`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import output, selection
from pyman.cli.dispatch import print_error
from pyman.engine import mount
from pyman.errors import NoSuchContainer, PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Mount each container and print where; without one list what is mounted here."""
    if opts["format"] not in ("", "json"):
        raise output.bad_value("--format", opts["format"], "json")
    mount.require_inside("mount")
    code, found = 0, []
    if args or opts["all"] or opts["latest"]:
        for _, container in selection.select(opts, args):
            try:
                if isinstance(container, PymanError):
                    raise container
                mount.mount_container(container)
                found.append(container)
            except PymanError as err:
                if opts["all"] and isinstance(err, NoSuchContainer):
                    continue  # removed since they were listed
                print_error(err)
                code = 125
    else:
        found = mount.mounted()
    _show(found, opts, len(args) == 1 or opts["latest"])
    return code


def _show(found: list[Container], opts: Any, alone: bool) -> None:
    if opts["format"] == "json":
        output.print_json(mount.described(found))
    elif alone:
        sys.stdout.write("".join(mount.place(container) + "\n" for container in found))
    else:
        cells = [[container.id if opts["no_trunc"] else container.id[:12], mount.place(container)] for container in found]
        output.print_table(["", ""], cells, heading=False)

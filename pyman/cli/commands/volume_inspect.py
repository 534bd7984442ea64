"""`pyman volume inspect`. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.cli.commands import volume_ls
from pyman.cli.dispatch import print_error
from pyman.engine import volume_inspect, volumes
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per volume. 125 if one does not exist or is damaged."""
    if bool(args) == bool(opts["all"]):
        raise UsageError("cannot tell which volumes to inspect", "provide one or more volume names or use --all")
    found, code = [], 0
    for name in volumes.names() if opts["all"] else args:
        try:
            found.append(volumes.get(volumes.lookup(name)))
        except PymanError as err:
            print_error(err)
            code = 125
    if opts["format"] and opts["format"] != "json":
        volume_ls.print_template(opts["format"], found, shape="VolumeInspectReport")
    else:
        output.print_json([volume_inspect.inspect(record, output.rfc3339) for record in found])
    return code

"""`pyman image inspect`. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.cli.commands import inspect
from pyman.cli.dispatch import print_error
from pyman.engine import images
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per image."""
    if not args:
        raise UsageError("no image given", "inspect needs at least one name or id")
    found, code = [], 0
    templated = opts["format"] not in ("", None, "json")
    for name in args:
        try:
            found.append(inspect.image_fields(images.inspect_image(name, output.rfc3339), templated))
        except PymanError as err:
            print_error(err)
            code = 125
    inspect.show(found, opts["format"])
    return code

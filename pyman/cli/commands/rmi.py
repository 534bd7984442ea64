"""`pyman rmi`: remove images. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import print_error
from pyman.engine import images
from pyman.errors import NoSuchImage, PymanError, StateError, UsageError
from pyman.storage import images as index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0; 1: an image does not exist; 2: one is used by a container; 125: another failure."""
    names = list(index.load().records) if opts["all"] else args
    if not names and not opts["all"]:
        raise UsageError("no image given", "rmi needs at least one name or id (or --all)")
    code = 0
    for name in names:
        try:
            taken, deleted = images.remove(name, force=opts["force"] or opts["all"])
            sys.stdout.write("".join(f"Untagged: {old}\n" for old in taken) + (f"Deleted: {deleted}\n" if deleted else ""))
        except NoSuchImage as err:
            if opts["ignore"]:
                continue
            print_error(err)
            code = code or 1
        except StateError as err:
            print_error(err)
            code = 2
        except PymanError as err:
            print_error(err)
            code = 125
    return code

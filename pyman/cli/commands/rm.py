"""`pyman rm`: remove containers. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.cli.dispatch import print_error
from pyman.engine import remove
from pyman.errors import NoSuchContainer, PymanError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove each container. 0; 1: one does not exist; 2: one is running or paused; 125: another failure."""
    import sys

    code = 0
    chosen = dict(opts)
    if opts.get("force"):
        chosen["ignore"] = True  # as Podman: a forced removal of nothing has reached its goal
    for label, container in selection.select(chosen, args):
        try:
            if isinstance(container, PymanError):
                raise container
            remove.remove_container(container, force=bool(opts.get("force")), timeout=opts.get("time"), volumes=bool(opts.get("volumes")))
            sys.stdout.write(label + "\n")
        except NoSuchContainer as err:
            if chosen.get("ignore"):
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

"""`pyman rm`: remove containers. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import selection
from pyman.cli.dispatch import print_error
from pyman.engine import remove
from pyman.engine.container import Container
from pyman.errors import UNEXPECTED, NoSuchContainer, PymanError
from pyman.state import lock

_AT_ONCE = 32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Remove each container. 0; 1: one does not exist; 2: one is running or paused; 125: another failure."""
    # As Podman: a forced removal of nothing has reached its goal. (A file that is not there names nothing that could be.)
    lock.hurry = bool(opts.get("force"))
    chosen = {**opts, "ignore": opts.get("ignore") or (opts.get("force") and not opts.get("cidfile"))}

    try:
        targets = selection.select(chosen, args)
        selection.all_there(targets)
    except NoSuchContainer as err:  # then nothing is done to the others either
        print_error(err)
        return 1
    found = [container for _, container in targets if not isinstance(container, PymanError)]
    if opts.get("force") and len(found) > 1:
        _stop_running(found, opts.get("time"))
    done: set[str] = set()
    if any(os.path.isdir(os.path.join(one.dir, "dependents")) for one in found) and len(found) > 1:
        # The newest first: whatever needs another container is younger than that.
        targets.sort(key=lambda target: target[1].state["created"] if isinstance(target[1], Container) else 0.0, reverse=True)

    def action(label: str, container: Container) -> None:
        if container.id in done:
            return
        options = {key: bool(opts.get(key)) for key in ("force", "volumes", "depend")}
        for gone in remove.remove_container(container, timeout=opts.get("time"), **options)[:-1]:
            done.add(gone)
            sys.stdout.write(gone + "\n")
        sys.stdout.write(label + "\n")

    return selection.over(targets, action, bool(chosen["ignore"]), unnamed=not (args or opts.get("cidfile")))


def _stop_running(found: list[Container], timeout: int | None) -> None:
    """All that run get their stop signal at the same time; whoever does not stop is told of at its removal."""
    running: list[tuple[str, Any]] = [(one.id, one) for one in found if one.state["status"] == "running"]
    if len(running) < 2:
        return
    from pyman.engine import stop

    take = selection.started(running, lambda one: stop.stop_container(one, timeout), _AT_ONCE)
    for _, one in running:
        try:
            take(one)
        except (PymanError, *UNEXPECTED):
            continue

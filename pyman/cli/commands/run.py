"""`pyman run`: create and start a container. CLI process."""

from __future__ import annotations

import os
import sys

from pyman import exitcodes
from pyman.cli.dispatch import print_warning, warn_of_input
from pyman.engine import create, run
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def write_cidfile(opts: Any, container: Container) -> None:
    """--cidfile: the id; one that a killed command has left is written anew. UsageError; then the container is removed again."""
    if not opts.get("cidfile"):
        return
    try:
        fd = os.open(opts["cidfile"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with open(fd, "w") as file:
            file.write(container.id)
    except OSError as err:
        from pyman.engine import remove

        remove.remove_container(container, force=True)
        raise UsageError(f"cannot write container id file {opts['cidfile']}", err.strerror or str(err)) from err


def progress(opts: Any) -> Any:
    """What reports a pull, once there is one: bars on a terminal, lines otherwise, nothing with --quiet."""
    from pyman.cli.reporter import lazy_reporter

    return lazy_reporter(quiet=bool(opts.get("quiet")))


def main(opts: Any, args: list[str]) -> int:
    """Exit code: the container's, or 125/126/127 for a failure before it ran. --detach counts more than --attach."""
    warn_of_input(opts)
    if opts.get("detach_keys"):
        from pyman.monitor import terminal  # hardly ever

        terminal.parse_detach_keys(opts["detach_keys"], exitcodes.CANNOT_INVOKE)
    container = create.create_container(opts, args, lambda: progress(opts), owned=True, warn=print_warning)
    write_cidfile(opts, container)

    def detached(started: Container) -> None:
        if not str(opts.get("log_driver") or "").startswith("passthrough"):  # there stdout is the container's
            sys.stdout.write(started.id + "\n")
            sys.stdout.flush()

    code = run.start_attached(container, opts, detached, print_warning)
    if opts.get("rmi") and opts.get("rm"):
        _remove_image(container)
    return code


def _remove_image(container: Container) -> None:
    from pyman.engine import images

    try:
        images.remove(container.config["image"]["id"])
    except PymanError:
        pass  # used by another container: --rmi removes it only if nobody else needs it

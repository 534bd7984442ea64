"""`pyman cp`: copy files between containers and the host. CLI process."""

from __future__ import annotations

import os

from pyman.cli.dispatch import print_warning
from pyman.engine import container as containers
from pyman.engine import cp
from pyman.engine.cp_sides import Side
from pyman.errors import NoSuchContainer, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """cp [CONTAINER:]SOURCE [CONTAINER:]DESTINATION; `-` is an archive on stdin or stdout."""
    if len(args) != 2:
        raise UsageError("cp needs two arguments", f"{len(args)} given", "pyman cp web:/etc/hosts .")
    source, dest = (_side(text) for text in args)
    options = {"archive": bool(opts["archive"]), "overwrite": bool(opts["overwrite"])}
    if source.container is None and dest.container is None:
        raise UsageError("cannot copy from the host to the host", "neither argument is CONTAINER:PATH", "pyman cp web:/etc/hosts .")
    if source.container is None and source.path == "-":
        if os.isatty(0):
            raise UsageError("cannot copy from stdin", "it is a terminal, and an archive is wanted", "tar c files | pyman cp - web:/tmp")
        cp.from_stdin(dest, 0, warn=print_warning, **options)
    elif dest.container is None and dest.path == "-":
        if os.isatty(1):
            raise UsageError("cannot copy to stdout", "it is a terminal, and an archive would come", "pyman cp web:/etc - | tar t")
        cp.to_stdout(source, 1, print_warning)
    else:
        cp.copy(source, dest, warn=print_warning, **options)
    return 0


def _side(text: str) -> Side:
    """CONTAINER:PATH, or a path of the host. NoSuchContainer, UsageError."""
    name, colon, path = text.partition(":")
    if not text or text.startswith((".", "/")) or not colon:
        if not text:
            raise UsageError("cannot copy", "a path is empty")
        return Side(None, text)
    if not path:
        raise UsageError(f"cannot copy {text!r}", "the path in the container is missing", f"for example: {name}:/")
    try:
        return Side(containers.lookup(name), path)
    except NoSuchContainer as err:
        raise NoSuchContainer(f'container "{name}" does not exist', err.why, err.hint) from err

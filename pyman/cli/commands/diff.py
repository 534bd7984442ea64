"""`pyman diff`: what has changed in a container or image. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import output
from pyman.cli.dispatch import escape
from pyman.engine import diff
from pyman.engine.container_list import latest
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEYS = {"C": "changed", "A": "added", "D": "deleted"}


def main(opts: Any, args: list[str]) -> int:
    """Print a line per change, or Podman's JSON."""
    return show(opts, args, "all")


def show(opts: Any, args: list[str], kind: str) -> int:
    """The same for the first argument's kind: all, container or image."""
    if opts["format"] not in ("", "json"):
        raise output.bad_value("--format", opts["format"], "json")
    if opts.get("latest") and args:
        raise UsageError("cannot use --latest together with containers", "--latest means the newest container")
    names = [latest().id] if opts.get("latest") else args
    if not names or len(names) > 2:
        raise UsageError("wrong number of arguments", "diff takes one container or image, or two", "pyman diff web")
    new = diff.find(names[0], kind)
    found = diff.changes(new, diff.find(names[1], "all") if len(names) > 1 else None)
    if opts["format"] == "json":
        groups: dict[str, list[str]] = {}
        for letter, key in _KEYS.items():
            paths = [os.fsencode(path).decode("utf-8", "replace") for change, path in found if change == letter]
            if paths:
                groups[key] = paths
        output.print_json(groups)
    else:
        lines = [f"{change} ".encode() + os.fsencode(path) for change, path in found]
        if sys.stdout.isatty():
            lines = [escape(line.decode("utf-8", "backslashreplace")).replace("\n", "\\n").encode() for line in lines]
        sys.stdout.flush()
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))  # a name is bytes
    return 0

"""`pyman quadlet from`. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import parse
from pyman.cli.dispatch import escape
from pyman.engine import quadlet_from
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _command_line(args: list[str]) -> list[str]:
    """The words of a command line, which may be given as one; empty if what is given is a container's name."""
    found = args
    if len(args) == 1 and " " in args[0].strip():
        import shlex  # imports re

        try:
            found = shlex.split(args[0])
        except ValueError as err:
            raise UsageError("cannot read the command line", str(err)) from err
    if len(found) > 1 and found[0].rpartition("/")[2] in ("pyman", "podman", "docker"):
        found = found[1:]
    return found if len(found) > 1 else []


def _before(options: parse.Options) -> list[tuple[str, str]]:
    """(option, value) of what was given before the command."""
    found = []
    for key in sorted(options.given):
        value = options[key]
        found += [(key.replace("_", "-"), str(item)) for item in (value if isinstance(value, list) else [value])]
    return found


def main(opts: Any, args: list[str]) -> int:
    """Print the file, or write it to --output and print where it is."""
    if not args:
        raise UsageError("no container given", "quadlet from needs one, or a command line", "pyman quadlet from 'run -d --name web nginx'")
    argv = _command_line(args)
    if argv:
        parsed = parse.parse(argv)
        if parsed.command is None or parsed.command.module not in ("run", "create") or not parsed.args:
            raise UsageError(
                "cannot make a Quadlet file", "the command line is no run or create with an image", "pyman quadlet from 'run -d nginx'"
            )
        name, text = quadlet_from.of_options(
            parsed.options, parsed.options.given, parsed.args, opts["name"], opts["wanted_by"], _before(parsed.globals)
        )
    else:
        name, text = quadlet_from.of_container(args[0], opts["name"], opts["wanted_by"])
    if opts["output"]:
        sys.stdout.write(escape(quadlet_from.save(opts["output"], name, text, opts["replace"])) + "\n")
    else:
        sys.stdout.write(text)
    return 0

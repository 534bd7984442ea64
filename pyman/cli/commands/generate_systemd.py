"""`pyman generate systemd`. CLI process."""

from __future__ import annotations

import os
import sys

from pyman.cli import parse
from pyman.cli.dispatch import print_warning
from pyman.engine import container as containers
from pyman.engine import generate_systemd as units
from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.cli.table import Row
    from pyman.engine.container import Container

# What the unit decides itself, and what would be another's file at the next start.
_OWN = {"detach", "rm", "replace", "cidfile", "conmon-pidfile", "pidfile", "cgroups", "name", "restart", "sdnotify"}


def main(opts: Any, args: list[str]) -> int:
    """Print the unit or write its file. 125 if the container does not exist."""
    if not args:
        raise UsageError("no container given", "generate systemd needs one", "pyman generate systemd --new --name web")
    units.check(opts)
    opts["env"] = _variables(opts["env"])
    container = containers.lookup(args[0])
    if opts["template"] and not opts["new"]:
        opts["new"] = True  # as Podman does
    command = _create_command(container) if opts["new"] else None
    if not opts["new"] and str(container.state.get("restart_policy") or "no") != "no":
        print_warning(
            f"container {container.name} has a restart policy of its own: it and the service manager's may both start it;"
            f" pyman update --restart no {container.name}"
        )
    name, text = units.unit_name(container, opts), units.of_container(container, opts, command)
    result = units.save(name, text) if opts["files"] else text
    if opts["format"] == "json":
        result = fastjson.dumps({name: result})
    sys.stdout.write(result if result.endswith("\n") else result + "\n")
    return 0


def _variables(given: list[str]) -> list[str]:
    """NAME=VALUE; a NAME alone has its value here, NAME* stands for all that begin so."""
    found: list[str] = []
    for item in given:
        if "=" in item:
            found.append(item)
        else:
            named = [name for name in sorted(os.environ) if name == item or (item.endswith("*") and name.startswith(item[:-1]))]
            found += [f"{name}={os.environ[name]}" for name in named]
    return found


def _create_command(container: Container) -> units.Made:
    """The options that the container was made with, but those that the unit decides, and IMAGE COMMAND..."""
    argv = list(container.config.get("create_command") or [])[1:]
    try:
        parsed = parse.parse(argv)
        rest = parse.parse_options(argv, parse.root_rows(), True, "pyman")[1]
    except UsageError:
        return units.Made()
    if parsed.command is None or parsed.command.module not in ("run", "create"):
        return units.Made()  # made in another way, by clone for instance
    words = argv[: len(argv) - len(parsed.args)]
    begin = len(argv) - len(rest)
    options = _without_own(words[begin + (2 if rest[0] == "container" else 1) :], [*parse.root_rows(), *parsed.command.rows])
    return units.Made(argv[:begin], options, parsed.args, str(parsed.options.get("sdnotify") or ""))


def _without_own(words: list[str], rows: list[Row]) -> list[str]:
    longs = {row[0]: row for row in rows}
    shorts = {row[1]: row for row in rows if row[1]}
    kept: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            break
        name, equals, _ = word[2:].partition("=")
        if word.startswith("--"):
            row = parse.named(name, longs)
            size = 1 if equals or (row is not None and row[2] == "bool") else 2
            kept += [] if name in _OWN else words[at : at + size]
        else:
            word, size = _short(word, shorts)
            kept += [word, *words[at + 1 : at + size]] if word != "-" else []
        at += size
    return kept


def _short(word: str, shorts: dict[str, Row]) -> tuple[str, int]:
    """(a group of letters without those that the unit decides, how many words it takes with its value)."""
    for index, letter in enumerate(word[1:], 1):
        if word[index + 1 : index + 2] == "=" and shorts[letter][2] == "bool":  # -i=true ends the group
            return word[:index].replace("d", "") + (word[index:] if letter != "d" else ""), 1
        if shorts[letter][2] != "bool":
            return word[:index].replace("d", "") + word[index:], 1 if word[index + 1 :] else 2
    return word.replace("d", ""), 1

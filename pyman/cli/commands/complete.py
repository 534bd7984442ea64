"""`pyman __complete WORD...`: candidates for the last word: commands, options, containers, images. CLI process, hot."""

from __future__ import annotations

import sys

from pyman.cli.table import GROUPS, everything, find
from pyman.errors import PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IMAGES_FIRST = ("run", "create")


def main(opts: Any, args: list[str]) -> int:
    """One candidate per line."""
    last = args[-1] if args else ""
    words = [word for word in args[:-1] if not word.startswith("-")]
    sys.stdout.write("".join(candidate + "\n" for candidate in _candidates(words, last) if candidate.startswith(last)))
    return 0


def _candidates(words: list[str], last: str) -> list[str]:
    if not words:
        return sorted({path[0] for path, command in everything().items() if not command.hidden})
    if words[0] in GROUPS and len(words) == 1:
        return sorted(path[1] for path, command in everything().items() if path[0] == words[0] and len(path) == 2 and not command.hidden)
    path = tuple(words[:2]) if words[0] in GROUPS else tuple(words[:1])
    path, command = find(path)
    if command is None:
        return []
    if last.startswith("-"):
        return [f"--{row[0]}" for row in command.rows if not row[5]] + ["--help"]
    given = words[len(path) :]
    try:
        if command.arguments.startswith("IMAGE") or command.module == "images":
            return [] if given and command.stop else _images()
        if command.arguments.startswith("CONTAINER"):
            return [] if given and command.stop else _containers(path[-1])
        return _containers("") + _images() if command.arguments.startswith("NAME") else []
    except PymanError:
        return []


def _images() -> list[str]:
    from pyman.storage import images

    names = [name for record in images.load().records.values() for name in record["names"]]
    return sorted({*names, *(name.rsplit("/", 1)[-1] for name in names)})


def _containers(verb: str) -> list[str]:
    from pyman.engine import container

    states = container.list_states()
    if verb in ("exec", "stop", "kill", "attach"):
        states = [state for state in states if state["status"] == "running"]
    elif verb == "start":
        states = [state for state in states if state["status"] != "running"]
    return sorted(state["name"] for state in states)

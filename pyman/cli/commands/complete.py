"""`pyman __complete WORD...`: candidates for the last word: commands, options, their values, containers, images. CLI process, hot."""

from __future__ import annotations

import sys

from pyman.cli.table import GROUPS, all_names, everything, find, rows
from pyman.cli.tables.root import GLOBAL
from pyman.errors import PymanError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.cli.table import Row

_SPACES = "private host container: ns:"
# Values of options, where they are few; those that are names of something are in _OBJECTS.
_VALUES = {
    "attach": "stdin stdout stderr",
    "cgroupns": _SPACES,
    "cgroups": "enabled disabled no-conmon split",
    "compression-format": "gzip zstd",
    "format": "json",
    "health-on-failure": "none kill restart stop",
    "image-volume": "anonymous tmpfs ignore",
    "ipc": _SPACES,
    "limits": "strict best-effort",
    "log-driver": "k8s-file json-file journald none passthrough passthrough-tty",
    "log-level": "debug warn",
    "personality": "LINUX LINUX32",
    "pid": _SPACES,
    "pull": "always missing never newer",
    "restart": "no on-failure always unless-stopped",
    "runtime": "pyman-runtime crun runc",
    "storage-driver": "overlay fuse-overlayfs",
    "userns": "host keep-id nomap container:",
    "uts": _SPACES,
}


def main(opts: Any, args: list[str]) -> int:
    """One candidate per line."""
    last = args[-1] if args else ""
    before = args[:-1]
    if last == "=":  # bash makes a word of its own of it
        before, last = [*before, "="], ""
    if before[-1:] == ["="]:
        before = before[:-1]
    sys.stdout.write("".join(candidate + "\n" for candidate in _candidates(before, last) if candidate.startswith(last)))
    return 0


def _split(words: list[str], table: list[Row]) -> tuple[list[str], Row | None]:
    """(positionals, the option whose value comes next or None)."""
    known: dict[str, Row] = {f"--{row[0]}": row for row in table} | {f"-{row[1]}": row for row in table if row[1]}
    found: list[str] = []
    pending: Row | None = None
    for word in words:
        if pending is not None:
            pending = None
        elif word.startswith("-"):
            row = known.get(word) or (known.get("-" + word[-1]) if not word.startswith("--") else None)
            pending = row if row is not None and row[2] != "bool" else None
        else:
            found.append(word)
    return found, pending


def _candidates(before: list[str], last: str) -> list[str]:
    words, pending = _split(before, rows(GLOBAL))
    if not words:
        if pending is not None:
            return _values(pending)
        return _commands([])
    if words[0] in GROUPS and len(words) == 1:
        return _commands(words)
    own = words[:2] if words[0] in GROUPS else words[:1]
    path, command = find(tuple(own))
    if command is None:
        return []
    given, pending = _split(before[before.index(own[-1]) + 1 :], command.rows)
    if command.module == "help":
        return _commands(given) if not given or (given[0] in GROUPS and len(given) == 1) else []
    if command.stop and given[1:]:
        return []
    try:
        if pending is not None:
            return _values(pending)
        if last.startswith("--") and "=" in last:
            name = last[2:].partition("=")[0]
            return [f"--{name}={value}" for row in command.rows if row[0] == name for value in _values(row)]
        if last.startswith("-"):
            return [f"--{row[0]}" for row in command.rows if not row[5]] + ["--help"]
        if path[0] in _KINDS:
            if path[1] == "create" or (given and command.most > 0):
                return []
            return _containers() if given and path[1] in ("connect", "disconnect") else _KINDS[path[0]]()
        if command.arguments.startswith("IMAGE") or command.module == "images":
            return [] if given and command.stop else _images()
        if command.arguments.startswith("CONTAINER"):
            return [] if given and command.stop else _containers(path[-1])
        return _containers() + _images() if command.arguments.startswith("NAME") else []
    except PymanError:
        return []


def _commands(group: list[str]) -> list[str]:
    """The commands of a group, or the words that a command line can begin with."""
    hidden = {path for path, command in everything().items() if command.hidden}
    if group:
        return sorted(path[1] for path in all_names() - hidden if len(path) == 2 and path[0] == group[0])
    return sorted({path[0] for path in everything() if path not in hidden})


def _values(row: Row) -> list[str]:
    """What the value of an option may be; empty where that is the user's to know, or a file."""
    if row[0] in _OBJECTS:
        return _OBJECTS[row[0]]()
    return _VALUES.get(row[0], "").split()


def _capabilities() -> list[str]:
    from pyman.linux.caps import NAMES

    return ["ALL", *NAMES]


def _modes() -> list[str]:
    return ["container:", "host", "none", "pasta", "slirp4netns", *_networks()]


def _networks() -> list[str]:
    from pyman.network import config

    return sorted(config.names())


def _secrets() -> list[str]:
    from pyman.engine import secrets

    return sorted(str(record["name"]) for record in secrets.every()[0])


def _signals() -> list[str]:
    import signal

    return sorted(member.name for member in signal.Signals)


def _volumes() -> list[str]:
    from pyman.engine import volumes

    return sorted(volumes.names())


def _images() -> list[str]:
    from pyman.storage import images

    names = [name for record in images.load().records.values() for name in record["names"]]
    return sorted({*names, *(name.rsplit("/", 1)[-1] for name in names)})


def _containers(verb: str = "") -> list[str]:
    from pyman.engine.container_list import list_states

    states = list_states()
    if verb in ("exec", "stop", "kill", "attach"):
        states = [state for state in states if state["status"] == "running"]
    elif verb == "start":
        states = [state for state in states if state["status"] != "running"]
    return sorted(state["name"] for state in states)


_OBJECTS = {
    "cap-add": _capabilities,
    "cap-drop": _capabilities,
    "net": _modes,
    "network": _modes,
    "secret": _secrets,
    "signal": _signals,
    "stop-signal": _signals,
    "volume": _volumes,
    "volumes-from": _containers,
}
_KINDS = {"network": _networks, "secret": _secrets, "volume": _volumes}  # groups whose commands take names of their kind

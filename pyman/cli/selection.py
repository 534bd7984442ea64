"""Which containers a command works on: names, --all, --latest, --cidfile, --filter; one result per object. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import container as containers
from pyman.errors import NoSuchContainer, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container


def select(opts: Any, args: list[str]) -> list[tuple[str, Container | PymanError]]:
    """(what the user wrote, container or why there is none) for each object asked for. UsageError if none was."""
    names = list(args)
    for path in opts.get("cidfile") or []:
        try:
            with open(path, encoding="utf-8") as file:
                names.append(file.readline().strip())
        except OSError as err:
            if not opts.get("ignore"):
                raise UsageError(f"cannot read container id file {path}", err.strerror or str(err)) from err
    if opts.get("all") or opts.get("filter"):
        if names and opts.get("all"):
            raise UsageError("cannot use --all together with container names", "--all already means every container")
        found: list[tuple[str, Container | PymanError]] = []
        for container in containers.list_containers():
            if not opts.get("filter") or _matches(container, opts["filter"]):
                found.append((container.id, container))
        return found
    if opts.get("latest"):
        container = containers.latest()
        return [(container.id, container)]
    if not names and not opts.get("cidfile"):
        raise UsageError("no container given", "give at least one name or id (or --all, --latest where the command has them)")
    result: list[tuple[str, Container | PymanError]] = []
    for name in names:
        try:
            result.append((name, containers.lookup(name)))
        except NoSuchContainer as err:
            if not opts.get("ignore"):
                result.append((name, err))
        except PymanError as err:
            result.append((name, err))
    return result


def _matches(container: Container, filters: list[str]) -> bool:
    from pyman.engine import ps

    return bool(ps.matches(container.state, filters))


def each(opts: Any, args: list[str], action: Callable[[Container], Any], echo: bool = True) -> int:
    """Run `action` on each; print what the user called it; report each failure. The exit code of the last failure."""
    from pyman.cli.dispatch import print_error

    code = 0
    for label, container in select(opts, args):
        try:
            if isinstance(container, PymanError):
                raise container
            if action(container) is not False and echo:
                sys.stdout.write(label + "\n")
        except NoSuchContainer as err:
            if opts.get("ignore"):
                continue
            print_error(err)
            code = code or 1
        except PymanError as err:
            print_error(err)
            code = 125
    return code

"""Which containers a command works on: names, --all, --latest, --cidfile, --filter; one result per object. CLI process."""

from __future__ import annotations

import sys

from pyman.engine import container as containers
from pyman.errors import ENDED, NoSuchContainer, NoSuchObject, PymanError, StateError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container


def select(opts: Any, args: list[str]) -> list[tuple[str, Container | PymanError]]:
    """(what the user wrote, container or why there is none) for each object asked for. UsageError if none was."""
    if args and opts.get("filter"):
        raise UsageError("cannot use --filter together with container names", "--filter says by itself which containers are meant")
    if args and opts.get("cidfile"):
        raise UsageError("cannot use --cidfile together with container names", "give the name of each, or a --cidfile of each")
    names = list(args)
    for path in opts.get("cidfile") or []:
        try:
            names.append(read_cidfile(path))
        except FileNotFoundError as err:
            if not opts.get("ignore"):
                raise UsageError(f"cannot read container id file {path}", err.strerror or str(err)) from err
    if opts.get("all") or opts.get("filter"):
        if opts.get("all") and opts.get("latest"):
            raise UsageError("cannot use --all together with --latest", "--all already means every container")
        if names and opts.get("all"):
            raise UsageError("cannot use --all together with container names", "--all already means every container")
        from pyman.engine import container_list  # with these options only

        everything = container_list.list_containers()
        chosen = _filtered(everything, opts["filter"]) if opts.get("filter") else everything
        return [(container.id, container) for container in chosen]
    if opts.get("latest"):
        if names:
            raise UsageError("cannot use --latest together with container names", "--latest means the newest container")
        from pyman.engine import container_list  # with this option only

        container = container_list.latest()
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


def read_cidfile(path: str) -> str:
    """The first line of a file that --cidfile has made. FileNotFoundError; UsageError for one that says nothing, or no name."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            name = file.readline(4096).strip()
    except FileNotFoundError:
        raise
    except OSError as err:
        raise UsageError(f"cannot read container id file {path}", err.strerror or str(err)) from err
    if not name or "\0" in name:  # as after a crash
        raise UsageError(f"cannot use container id file {path}", "its first line is empty" if not name else "there is no name in it")
    return name


def _filtered(everything: list[Container], filters: list[str]) -> list[Container]:
    from pyman.engine import ps

    ps.check(filters)
    states = [container.state for container in everything]
    return [container for container in everything if ps.matches(container.state, filters, states)]


def each(opts: Any, args: list[str], action: Callable[[Container], Any], echo: bool = True, at_once: int = 1) -> int:
    """Run `action` on each; print what the user called it; report each failure. 0, or 125 if one failed.

    If one does not exist, nothing is done to any, as in Podman: PymanError. at_once: how many at the same time; they are reported in order.
    """
    chosen = select(opts, args)
    all_there(chosen)
    take = action if at_once < 2 or len(chosen) < 2 else started(chosen, action, at_once)

    def act(label: str, container: Container) -> None:
        if take(container) is not False and echo:
            sys.stdout.write(label + "\n")

    return 125 if over(chosen, act, bool(opts.get("ignore")), unnamed=not (args or opts.get("cidfile"))) else 0


def unless_over(opts: Any, action: Callable[[Container], Any], *statuses: str) -> Callable[[Container], bool]:
    """`action` for `each`: with --all a container that was in one of `statuses` when it was listed, and is not any more, is no failure."""

    def act(container: Container) -> bool:
        try:
            action(container)
        except StateError as err:
            if opts.get("all") and (err.stage == ENDED or container.state["status"] not in statuses):
                return False
            raise
        return True

    return act


def all_there(chosen: list[tuple[str, Any]]) -> None:
    """Raise why the first of those that cannot be chosen cannot be. PymanError."""
    for _, target in chosen:
        if isinstance(target, PymanError):
            raise target


def started(chosen: list[tuple[str, Any]], action: Callable[[Container], Any], at_once: int) -> Callable[[Container], Any]:
    """Begin `action` on all containers in threads; what is returned waits for one of them and gives its result or error."""
    from concurrent import futures  # for several only

    pool = futures.ThreadPoolExecutor(at_once)
    begun = {id(target): pool.submit(action, target) for _, target in chosen if not isinstance(target, PymanError)}
    return lambda container: begun[id(container)].result()


def _removed(target: Any, err: PymanError) -> bool:
    """Whether it is an error of a container that is none any more."""
    import os  # after a failure only

    return isinstance(err, NoSuchContainer) and not isinstance(target, PymanError) and not os.path.exists(f"{target.dir}/config.json")


def over(chosen: list[tuple[str, Any]], action: Callable[[str, Any], None], ignore: bool, *, unnamed: bool = False) -> int:
    """Run `action(label, object)` on each object that is no error, and report each failure.

    0; 1: an object does not exist (no failure with `ignore`); 2: one is in use; 125: another failure. The exit codes of
    the commands that remove things; of several failures the gravest counts. unnamed: the user has not named the containers (--all, --filter,
    --latest): one that was removed since they were listed was not meant.
    """
    from pyman.cli.dispatch import print_error

    code = 0
    for label, target in chosen:
        try:
            if isinstance(target, PymanError):
                raise target
            action(label, target)
        except NoSuchObject as err:
            if ignore or (unnamed and _removed(target, err)):
                continue
            print_error(err)
            code = max(code, 1)
        except StateError as err:
            print_error(err)
            code = max(code, 2)
        except PymanError as err:
            print_error(err)
            code = 125
    return code

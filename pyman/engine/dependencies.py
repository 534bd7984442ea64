"""Which containers need which: those that live in another one's namespaces cannot outlive it, --requires asks for others. CLI process.

A container that is needed has a file per dependent in its directory, so that removing one reads nothing of all the others.
"""

from __future__ import annotations

import os

from pyman.engine.container import RUNNING, Container, containers_dir, lookup
from pyman.errors import NoSuchContainer, PymanError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NAMESPACES = ("ipc", "pid", "uts", "userns", "cgroupns")


def wanted(opts: dict[str, Any]) -> list[str]:
    """The names that --requires gives, and --network, --pid and so on as container:NAME."""
    network = opts.get("network") or []
    values = [*(network if isinstance(network, list) else [network]), *(str(opts.get(key) or "") for key in _NAMESPACES)]
    return [*(opts.get("requires") or []), *(value.partition(":")[2] for value in values if value.startswith("container:"))]


def pin(opts: Any) -> None:
    """Have the options name those containers by their ids: they may be renamed, and others get their names. NoSuchContainer."""
    for key in ("network", *_NAMESPACES):
        value = opts.get(key)
        if isinstance(value, list):
            opts[key] = [_pinned(one) for one in value]
        elif isinstance(value, str):
            opts[key] = _pinned(value)


def _pinned(value: str) -> str:
    kind, colon, name = value.partition(":")
    return f"container:{lookup(name).id}" if kind == "container" and colon else value


def resolve(names: list[str]) -> list[str]:
    """Their ids. NoSuchContainer."""
    return sorted({lookup(name).id for name in names})


def note(container: Container, needed: list[str]) -> None:
    """Write down that `container` needs others. One that has gone meanwhile is left to the start, which says so."""
    for other in needed:
        path = os.path.join(containers_dir(), other, "dependents")
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            os.close(os.open(os.path.join(path, container.id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except FileNotFoundError:
            pass


def dependents(container: Container) -> list[Container]:
    """The containers that need this one."""
    try:
        entries = os.listdir(os.path.join(container.dir, "dependents"))
    except OSError:
        return []
    return [Container(entry) for entry in sorted(entries) if os.path.exists(os.path.join(containers_dir(), entry, "config.json"))]


def start_needed(container: Container, warn: Callable[[str], None] | None = None) -> None:
    """Start the containers that this one needs and that do not run, and before each those that it needs. PymanError names the one that cannot."""
    from pyman.engine import start

    for other in map(Container, container.config.get("depends") or []):
        if _runs(other):
            from pyman.engine import stop

            if not stop.under_way(other):
                continue
        try:
            start_needed(other, warn)
            start.start_container(other, warn=warn)
        except PymanError as err:
            name = _name(other)
            raise StateError(
                f"cannot start container {container.name}", f"it needs container {name}, which does not start: {err}", err.hint
            ) from err


def check(container: Container) -> None:
    """StateError unless all that --requires named run."""
    idle = [_name(other) for other in map(Container, container.config["depends"]) if not _runs(other)]
    if idle and container.config["options"].get("requires"):
        raise StateError(
            f"cannot start container {container.name}",
            "some of the containers that it requires do not run: " + ", ".join(idle),
            "pyman start " + container.name + " starts them first",
        )


def _runs(container: Container) -> bool:
    try:
        container.sync()
        return container.state["status"] in RUNNING
    except NoSuchContainer:
        return False


def _name(container: Container) -> str:
    try:
        return container.name
    except NoSuchContainer:
        return f"{container.id[:12]} (removed)"

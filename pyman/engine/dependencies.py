"""Which containers need which: those that live in another one's namespaces cannot outlive it. CLI process.

A container that is needed has a file per dependent in its directory, so that removing one reads nothing of all the others.
"""

from __future__ import annotations

import os

from pyman.engine.container import Container, containers_dir, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMESPACES = ("ipc", "pid", "uts", "userns", "cgroupns")


def wanted(opts: dict[str, Any]) -> list[str]:
    """The names that --network, --pid and so on give as container:NAME."""
    network = opts.get("network") or []
    values = [*(network if isinstance(network, list) else [network]), *(str(opts.get(key) or "") for key in _NAMESPACES)]
    return [value.partition(":")[2] for value in values if value.startswith("container:")]


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

"""The containers that run, as the store's files say: for callers that hold the networks' lock, or may. CLI process, B."""

from __future__ import annotations

import os

from pyman.engine.container import RUNNING, Container, all_ids
from pyman.errors import PymanError
from pyman.linux import process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def recorded() -> Iterator[tuple[Container, dict[str, Any]]]:
    """Each container that runs as far as its state says, with that state. Read without a lock or a change to any: a container's own
    lock comes before the networks'. Those that are being made or removed, or whose state is damaged, are left out.
    """
    for container in map(Container, all_ids()):
        try:
            state = store.read_json(os.path.join(container.dir, "state.json"))
        except PymanError:
            continue
        if state and state["status"] in RUNNING:
            yield container, state


def living() -> Iterator[tuple[Container, dict[str, Any]]]:
    """Those of `recorded` whose first process lives: not those whose end nobody has noted yet."""
    return ((container, state) for container, state in recorded() if process.alive(state["pid"], state["pid_start"]))

"""Rename a container: the new name is reserved before the old one is given back. CLI process."""

from __future__ import annotations

from pyman.engine import names
from pyman.engine.container import Container


def rename_container(container: Container, new_name: str) -> None:
    """Give the container another name. UsageError (grammar), NameInUse."""
    names.check(new_name)
    with container:
        old = container.name
        if old == new_name:
            return
        names.reserve(new_name, container.id)
        container.state["name"] = new_name
        container.save()
        names.release(old, container.id)

"""Rename a container: the new name is reserved before the old one is given back. CLI process."""

from __future__ import annotations

import os

from pyman.engine import names
from pyman.engine.container import Container
from pyman.errors import StorageError
from pyman.state import store


def rename_container(container: Container, new_name: str) -> None:
    """Give the container another name. UsageError (grammar), NameInUse."""
    new_name = new_name.removeprefix("/")  # Docker's names begin so
    names.check(new_name)
    with container:
        old = container.name
        if old == new_name:
            return
        names.reserve(new_name, container.id, f"rename container {old} to")
        container.state["name"] = new_name
        try:
            container.save()
        except StorageError:
            names.release(new_name, container.id)  # a full disk: it is called what it was
            raise
        # For the monitor, which notes the container's end.
        store.write_text(os.path.join(container.dir, "event"), container.event_subject())
        if container.state.get("attached"):
            from pyman.engine import network_connect

            network_connect.renamed(container, old)
        names.release(old, container.id)  # whoever takes it from now on is not confused with this one on their networks
        container.event("rename")

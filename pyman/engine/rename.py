"""Rename a container: the new name is reserved before the old one is given back. CLI process."""

from __future__ import annotations

import os

from pyman import stages
from pyman.engine import names
from pyman.engine.container import Container, names_dir
from pyman.errors import PymanError, StorageError
from pyman.state import store
from pyman.state.lock import Lock


def rename_container(container: Container, new_name: str) -> None:
    """Give the container another name. UsageError (grammar), NameInUse."""
    new_name = new_name.removeprefix("/")  # Docker's names begin so
    names.check(new_name)
    with container:
        old = container.name
        if old == new_name:
            return
        names.reserve(new_name, container.id, f"rename container {old} to")
        stages.reach("rename:reserved")
        container.state["name"] = new_name
        try:
            container.save()
        except StorageError:
            names.release(new_name, container.id)  # a full disk: it is called what it was
            raise
        stages.reach("rename:saved")
        # For the monitor, which notes the container's end.
        store.write_text(os.path.join(container.dir, "event"), container.event_subject())
        if container.state.get("attached"):
            from pyman.engine import network_connect

            network_connect.renamed(container, old)
        names.release(old, container.id)  # whoever takes it from now on is not confused with this one on their networks
        container.event("rename")


def release_stale(container: Container, name: str) -> bool:
    """Take `name` from a container that is called otherwise, since a rename was killed; false while one is at work, or if it is all it has."""
    lock = Lock(container.dir)
    try:
        if container.name == name or not lock.try_acquire():
            return False
        container._state = None  # it may have been renamed meanwhile
        if container.name == name or os.readlink(os.path.join(names_dir(), container.name)) != container.id:
            return False
        names.release(name, container.id)
        return True
    except (PymanError, OSError):
        return False
    finally:
        lock.release()

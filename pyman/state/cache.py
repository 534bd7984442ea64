"""What is dear to find out and the same until something changes, in files of $XDG_CACHE_HOME/pyman. Any process.

A cache that cannot be read or written costs time, nothing else: no function here fails.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import PymanError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def get(name: str, key: str) -> Any:
    """What `put` has kept under `key`; None if it has not, or has since kept another."""
    path = os.path.join(paths.cachedir(), name)
    try:
        saved = store.read_json(path)
        if saved and saved.get("key") == key and os.stat(path).st_uid == os.geteuid():
            return saved.get("value")
    except (PymanError, OSError):
        pass
    return None


def put(name: str, key: str, value: Any) -> None:
    """Keep `value`, which JSON can tell, until the next call for this `name`. key: text that is another one when the value may be."""
    try:
        paths.ensure_private(paths.cachedir())
        store.write_json(os.path.join(paths.cachedir(), name), {"key": key, "value": value})
    except PymanError:
        pass

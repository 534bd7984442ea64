"""Further stores whose images can be used and are never written ([storage] additional_image_stores). Any process.

What lies there may change or vanish at any time: it counts as if it were not there, and whoever misses something says which store
could not be read.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers
from pyman.errors import PymanError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIELDS = (("names", list), ("digests", list), ("layers", list), ("digest", str), ("manifest", str), ("config", str), ("labels", dict))
_stores: list[str] | None = None


def stores() -> list[str]:
    """Their directories, in the order of the configuration."""
    global _stores
    if _stores is None:
        own = paths.graphroot()
        _stores = [path for path in containers.load()["storage"].get("additional_image_stores") or [] if path != own]
    return _stores


def is_digest(text: Any) -> bool:
    """Whether it is 64 hex digits: anything else must not become part of a path."""
    return isinstance(text, str) and len(text) == 64 and not text.strip("0123456789abcdef")


def find(*parts: str) -> str:
    """The first path STORE/parts that exists; empty if none does."""
    return next((path for path in (os.path.join(place, *parts) for place in stores()) if os.path.exists(path)), "")


def records() -> dict[str, dict[str, Any]]:
    """The images of all these stores by id, with the store's directory as "store"; the first store that has one counts."""
    found: dict[str, dict[str, Any]] = {}
    for place in stores():
        for key, record in _read(place).items():
            if sound(key, record):
                found.setdefault(key, {**record, "store": place})
    return found


def _read(place: str) -> dict[str, Any]:
    try:
        value = (store.read_json(os.path.join(place, "images.json")) or {}).get("images")
    except PymanError:
        return {}
    return value if isinstance(value, dict) else {}


def sound(key: str, record: Any) -> bool:
    """Whether a record of an index has what every image must have."""
    return (
        isinstance(record, dict)
        and is_digest(key)
        and record.get("id") == key
        and all(isinstance(record.get(field), kind) for field, kind in _FIELDS)
        and all(isinstance(text, str) for field in ("names", "digests") for text in record[field])
        and all(map(is_digest, record["layers"]))
    )


def problems() -> list[str]:
    """What is wrong with each store that cannot be used, for who misses something."""
    found = []
    for place in stores():
        try:
            os.listdir(place)
            index = store.read_json(os.path.join(place, "images.json"))
        except (OSError, PymanError) as err:
            why = err.why if isinstance(err, PymanError) else err.strerror
            found.append(f"the additional image store {place} cannot be used: {why}")
            continue
        if index is None or not isinstance(index.get("images"), dict):
            found.append(f"the additional image store {place} cannot be used: it has no index of images")
            continue
        bad = [key[:12] for key, record in index["images"].items() if not sound(key, record)]
        if bad:
            found.append(f"the additional image store {place} has damaged records: {', '.join(bad)}")
    return found


def missing(why: str) -> str:
    """A reason why something was not found, with the stores that could not be searched."""
    return "; ".join([why, *problems()])

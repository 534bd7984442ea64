"""Which command made which layer of an image, and which images of the store stand on the same layers. CLI process."""

from __future__ import annotations

from pyman.errors import ImageError
from pyman.image.pull import epoch
from pyman.storage import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MISSING = "<missing>"


def steps(name: str) -> list[dict[str, Any]]:
    """The steps that made an image, newest first. NoSuchImage, ImageError.

    Each: id (of the image that ends here, else <missing>), created (epoch), created_text, created_by, comment, size (bytes), tags.
    """
    index = images.load()
    record = index.resolve(name)
    below, found, used = list(record["layers"]), [], set[str]()
    for entry in reversed(images.read_config(record).get("history") or []):
        entry = entry or {}  # null is a step of which nothing is told
        ends = tops(index, below, record["id"])
        step = {
            "id": MISSING,
            "created": epoch(str(entry.get("created") or "")),
            "created_text": str(entry.get("created") or ""),
            "created_by": str(entry.get("created_by") or ""),
            "comment": str(entry.get("comment") or ""),
            "size": 0,
            "tags": [known for other in ends for known in other["names"]],
        }
        if ends and ends[0]["id"] not in used:
            step["id"] = ends[0]["id"]
            used.add(ends[0]["id"])
        if not entry.get("empty_layer"):
            if not below:
                raise ImageError(f"cannot tell the history of {name}", "its configuration names more layers than it has")
            step["size"] = size_of(below.pop())
        found.append(step)
    return found


def tops(index: images.ImageIndex, chain: list[str], first: str = "") -> list[dict[str, Any]]:
    """The images that consist of exactly these layers (bottom first), the one with the id `first` before the others."""
    found = [record for record in index.records.values() if chain and record["layers"] == chain and "list" not in record]
    return sorted(found, key=lambda record: record["id"] != first)


def size_of(diff_id: str) -> int:
    """Bytes of the files of a layer; 0 if it is missing."""
    return int(layers.read_info(diff_id).get("size", 0))

"""An image from a source to a target as it is, byte for byte: what lists of images refer to elsewhere. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os

from pyman.errors import ImageError
from pyman.image import manifest as manifests
from pyman.image import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def copy_image(source: Any, descriptor: dict[str, Any], target: Any, place: str = "") -> None:
    """Bring the image (or artifact) that `descriptor` names from `source` to `target`, its manifest under its digest alone.

    place: registry/repository it comes from, for a mount. ImageError, RegistryError, StorageError.
    """
    what = source.label
    data, media_type, _ = source.manifest(descriptor)
    value = manifests.loads(data, what, manifests.MAX_MANIFEST)
    if manifests.kind_of(value, media_type, what) != "manifest":
        raise ImageError(f"cannot copy {what}", "a list refers to another list")
    config, layers = manifests.parse_manifest(value, what)
    for blob in [*layers, config]:
        copy_blob(source, blob, target, place)
    target.put_manifest(data, str(value.get("mediaType") or media_type or descriptor["mediaType"]), top=False)


def copy_blob(source: Any, blob: dict[str, Any], target: Any, place: str) -> None:
    """One blob, unless the target has it, or takes it over from a neighbour."""
    if target.known("", [{**blob, "places": [place] if place else []}]):
        return

    def start(fd: int) -> dict[str, Any]:
        found, size = hashlib.sha256(), 0
        with streams.Running(lambda into: source.copy_blob(blob, into)) as running:
            while data := os.read(running.fd, 1 << 20):
                found.update(data)
                size += len(data)
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
            running.result()
        if found.hexdigest() != blob["hex"] or size != blob["size"]:
            raise ImageError(f"damaged {source.label}", f"the blob {blob['digest']} arrived with another digest or size")
        return {"digest": blob["hex"], "size": size}

    target.put(start, blob["hex"])

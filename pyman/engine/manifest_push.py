"""Push a list of images with its images. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os

from pyman.config import containers
from pyman.engine import images as engine_images
from pyman.engine import manifests
from pyman.engine.push import own_name
from pyman.errors import ImageError, NoSuchImage, UsageError
from pyman.image import copy, indexes, pull, push, targets
from pyman.image import manifest as formats
from pyman.state import events
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MARK = "io.github.containers.compression."


class _BlobSource:
    """An artifact whose blobs lie in the store."""

    remote = False

    def __init__(self, label: str) -> None:
        self.label = label

    def manifest(self, descriptor: dict[str, Any]) -> tuple[bytes, str, str]:
        """(bytes, media type, digest)."""
        return images.read_blob(descriptor["digest"][7:], self.label), descriptor["mediaType"], descriptor["digest"]

    def copy_blob(self, descriptor: dict[str, Any], fd: int) -> None:
        """Write a blob to `fd`."""
        view = memoryview(images.read_blob(descriptor["hex"], self.label))
        while view:
            view = view[os.write(fd, view) :]


def push_list(
    name: str,
    destination: str,
    choice: push.Choice,
    *,
    everything: bool = True,
    add_compression: list[str] | None = None,
    remove: bool = False,
    signer: Any = None,
    reporter: Any = None,
    conf: dict[str, Any] | None = None,
    **access: Any,
) -> str:
    """Bring a list, and with `everything` its images, to `destination`; the list's digest there.

    add_compression: further compressions in which each image is pushed and listed; signer: sign.Signer or None. ImageError, RegistryError, UsageError.
    """
    record = manifests.find(name)
    destination = destination or own_name(record, name)
    index = manifests.document(record)
    if signer:
        signer.check(destination)
    target = targets.open_target(destination, **access)
    parallel = containers.parallel_copies(conf)
    made = []
    try:
        for known in index["manifests"]:
            if not everything:
                made.append(known)
                continue
            place = record["list"].get(known["digest"]) or {}
            made.append(_image(known, place, target, choice, reporter, parallel, access))
            for kind in add_compression or []:
                made.append(_further(known, place, target, kind, reporter, parallel))
        pushed = indexes.converted({**index, "manifests": made}, choice.format)
        # What is unchanged goes out as it is, byte for byte.
        data = images.read_blob(record["manifest"], f"list {name}") if pushed == index else indexes.dump(pushed)
        target.put_manifest(data, pushed["mediaType"])
        target.finish()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if signer:
            signer.sign(target.reference, [digest, *(entry["digest"] for entry in made if everything)])
    finally:
        target.close()
    events.emit("image", "push", record["id"], destination.removeprefix("docker://"))
    if remove:
        engine_images.remove(record["id"], force=True)
    return digest


def _image(
    known: dict[str, Any], place: dict[str, str], target: Any, choice: push.Choice, reporter: Any, parallel: int, access: dict[str, Any]
) -> dict[str, Any]:
    """Bring one image of a list to the target; its entry there."""
    local = images.load().records.get(place.get("id", ""))
    if local:
        descriptor = push.push(local, target, choice, reporter=reporter, parallel=parallel, top=False)
        return {**known, **descriptor}
    if place.get("artifact"):
        copy.copy_image(_BlobSource(f"artifact {known['digest'][:19]}"), formats.descriptor(known, "list"), target)
        return known
    if not place.get("from"):
        raise NoSuchImage(
            f"cannot push image {known['digest'][:19]} of the list",
            "it is not in the local store any more",
            "take it from the list (pyman manifest remove), or push the list alone (--all=false)",
        )
    if choice.kind:
        raise UsageError(
            "cannot push the list in another compression", f"its image {known['digest'][:19]} lies at {place['from']}", "pull it first"
        )
    source = pull.sources(place["from"], **access)[0]()
    try:
        pull.verify(source, known["digest"], *([place["list"]] if "list" in place else []))
        own = f"{source.reference.registry}/{source.reference.repository}" if source.remote else ""
        copy.copy_image(source, formats.descriptor(known, "list"), target, own)
    finally:
        source.close()
    return known


def _further(known: dict[str, Any], place: dict[str, str], target: Any, kind: str, reporter: Any, parallel: int) -> dict[str, Any]:
    local = images.load().records.get(place.get("id", ""))
    if not local:
        raise ImageError(
            "cannot add a compression", f"the image {known['digest'][:19]} of the list is not in the local store", "pull it first"
        )
    descriptor = push.push(local, target, push.Choice(kind=kind), reporter=reporter, parallel=parallel, top=False)
    annotations = {**(known.get("annotations") or {}), **({f"{_MARK}{kind.partition(':')[0]}": "true"} if kind != "gzip" else {})}
    return {**known, **descriptor, **({"annotations": annotations} if annotations else {})}

"""Lists of images in the store: create, look at, annotate, take from, remove. CLI process, slow path.

A list is a record of the image index with the key "list": where each of its images is ("id": in this store, "from": a source). Its
manifest is a blob like an image's; it has no layers and no configuration.
"""

from __future__ import annotations

import hashlib
import os
import time

from pyman import paths
from pyman.errors import ImageError, NameInUse, NoSuchImage, UsageError
from pyman.image import indexes, reference
from pyman.image import manifest as formats
from pyman.state import events
from pyman.storage import images, layers, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.storage.images import ImageIndex

    Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def find(name: str) -> dict[str, Any]:
    """The record of a list. NoSuchImage; ImageError if the name is an image's."""
    record = images.load().resolve(name)
    if "list" not in record:
        raise ImageError(f"cannot use {name} as a list of images", "it is an image", "pyman manifest create makes a list")
    return record


def exists(name: str) -> bool:
    """Whether a list of this name is in the store."""
    try:
        find(name)
    except (NoSuchImage, ImageError):
        return False
    return True


def document(record: dict[str, Any]) -> dict[str, Any]:
    """The list itself. ImageError."""
    data = images.read_blob(record["manifest"], f"list {record['id'][:12]}")
    return indexes.checked(formats.loads(data, "list in the store", formats.MAX_MANIFEST), "list in the store")


def create(name: str, *, amend: bool = False, annotations: dict[str, str] | None = None) -> str:
    """A new, empty list (with `amend` the one that is there); its id. NameInUse, UsageError, StorageError."""
    paths.ensure_private(paths.graphroot())
    full = reference.normalise_tag(name)
    known = images.load().by_name(full)
    if known and amend and "list" in known:
        if annotations:
            change(full, lambda index, _: index.setdefault("annotations", {}).update(annotations))
        return str(known["id"])
    if known:
        raise NameInUse(
            f'image name "{full}" is already associated with image "{known["id"]}"',
            "that name is already in use",
            f"pyman manifest create --amend {name}, if it is a list",
        )
    index = indexes.new()
    if annotations:
        index["annotations"] = annotations
    record = {
        "id": hashlib.sha256(os.urandom(32)).hexdigest(),
        "names": [],
        "config": "",
        "layers": [],
        "created": time.time(),
        "labels": {},
        "architecture": "",
        "os": "",
        "variant": "",
        "list": {},
        "blobs": [],
    }
    with layers.storing():
        _describe(record, indexes.dump(index))
        added = images.add(record, [full])
    events.emit("image", "create", added["id"], full)
    return str(added["id"])


def _describe(record: dict[str, Any], data: bytes) -> None:
    """Store the list's bytes, and say in its record which they are."""
    digest = hashlib.sha256(data).hexdigest()
    images.write_blob(digest, data)
    record.update({"manifest": digest, "digest": f"sha256:{digest}", "digests": [f"sha256:{digest}"], "size": len(data)})


def change(name: str, action: Change) -> dict[str, Any]:
    """Let `action(document, record)` change a list; its record afterwards. NoSuchImage, ImageError, StorageError."""

    def locked(index: ImageIndex) -> tuple[dict[str, Any], str]:
        record = index.resolve(name)
        if "list" not in record:
            raise ImageError(f"cannot use {name} as a list of images", "it is an image")
        before = str(record["manifest"])
        value = document(record)
        action(value, record)
        _describe(record, indexes.dump(value))
        unused = all(other["manifest"] != before for other in index.records.values())
        return record, before if unused else ""

    record, old = images.change(locked)
    if old:
        trash.discard(images.blob_path(old))
    return dict(record)


def annotate(name: str, which: str, opts: dict[str, Any]) -> str:
    """Change what a list says of one of its images, or (with `index` in opts) of itself; the list's id. NoSuchImage, UsageError."""
    if (opts.get("index") or opts.get("subject")) and which and any(opts.get(key) for key in ("arch", "os", "variant", "os_version")):
        raise UsageError("cannot use --index or --subject together with a platform", "a list has none")

    subject: dict[str, Any] = {}
    if opts.get("subject"):
        from pyman.engine import manifest_add

        subject = manifest_add.describe(str(opts["subject"]))  # it may be far away: not under the store's lock

    def action(index: dict[str, Any], record: dict[str, Any]) -> None:
        if subject:
            index["subject"] = subject
        if opts.get("index"):
            index["annotations"] = {**(index.get("annotations") or {}), **indexes.pairs(opts["annotation"], "--annotation")}
        elif which:
            indexes.override(indexes.find(index, digest_of(which), name), opts, index)

    return str(change(name, action)["id"])


def digest_of(which: str) -> str:
    """The digest that a digest, or the name of an image in the store, means. NoSuchImage, UsageError."""
    if which.startswith("sha256:") and len(which) == 71:
        reference.check_digest(which, "the digest")
        return which
    return str(images.load().resolve(which)["digest"])


def remove(name: str, digest: str) -> str:
    """Take an image from a list; the list's id. NoSuchImage, UsageError."""
    reference.check_digest(digest, "the digest")

    def action(index: dict[str, Any], record: dict[str, Any]) -> None:
        gone = indexes.find(index, digest, name)
        index["manifests"] = [known for known in index["manifests"] if known is not gone]
        record["list"].pop(digest, None)

    return str(change(name, action)["id"])


def instance(record: dict[str, Any], platform: str = "") -> dict[str, Any]:
    """The image of a list that fits a platform (the host's if empty), from this store. ImageError, NoSuchImage."""
    what = f"list {(record['names'] or [record['id'][:12]])[0]}"
    chosen = formats.choose(document(record), platform, what)
    place = record["list"].get(chosen["digest"]) or {}
    found = images.load().records.get(place.get("id", ""))
    if not found:
        hint = f"pyman pull {place['from']}" if place.get("from") else "pull or build it, and add it again"
        raise NoSuchImage(f"cannot use {what}", f"its image {chosen['digest'][:19]} for this platform is not in the local store", hint)
    return found


def remote(name: str, **access: Any) -> dict[str, Any]:
    """What a registry (or another transport) has under a name: a list or an image's manifest. NoSuchImage, RegistryError, ImageError."""
    from pyman.image import pull

    source = pull.sources(name, **access)[0]()
    try:
        data, _, digest = source.manifest()
        pull.verify(source, digest)
        return formats.loads(data, source.label, formats.MAX_MANIFEST)
    finally:
        source.close()

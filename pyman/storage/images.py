"""The index of images: one small JSON file, read by hot commands, replaced under a lock. CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import ImageError, NoSuchImage, StateError, StorageError
from pyman.state import fastjson, store
from pyman.state.lock import Lock
from pyman.storage import additional, image_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HEX = "0123456789abcdef"


class ImageIndex:
    """All images: {id: record}. A record: id, names, digest, digests, manifest, config, layers (diff ids, bottom
    first), size (bytes), created (epoch), labels, architecture, os, variant, index (the digest of the list that it was chosen
    from, if it was), list and blobs (lists of images only), history (all names it ever had, newest first; images of older versions lack it)."""

    __slots__ = ("records",)

    def __init__(self, records: dict[str, dict[str, Any]]) -> None:
        self.records = records

    def by_name(self, name: str) -> dict[str, Any] | None:
        """The image with exactly this full name."""
        for record in self.records.values():
            if name in record["names"]:
                return record
        return None

    def resolve(self, name: str) -> dict[str, Any]:
        """The image for a name, short name, digest reference, id or unambiguous id prefix. NoSuchImage, StateError."""
        text = name.removeprefix("docker://")
        for candidate in candidates(text):
            record = self.by_name(candidate)
            if record:
                return record
        if "@sha256:" in text:
            base, _, digest = text.partition("@")
            for record in self.records.values():
                if digest in (record["digest"], *record["digests"]) and any(
                    _same_repository(known, base) for known in record["names"] or [base]
                ):
                    return record
        # A short name also means the last component of a local image's name, as in Podman.
        short = text if ":" in text.rsplit("/", 1)[-1] else text + ":latest"
        found = {r["id"]: r for r in self.records.values() if any(known.endswith("/" + short) for known in r["names"])}
        if len(found) == 1:
            return next(iter(found.values()))
        if len(found) > 1:
            names = sorted(known for r in found.values() for known in r["names"] if known.endswith("/" + short))
            raise StateError(
                f"cannot choose an image for {name}", "several local images are called so: " + ", ".join(names), "give the full name"
            )
        prefix = text.removeprefix("sha256:")
        if len(prefix) >= 1 and not prefix.strip(_HEX) and len(prefix) <= 64:
            matches = [r for key, r in self.records.items() if key.startswith(prefix)]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise StateError(f"cannot choose an image for {name}", "several image ids begin so", "give more of the id")
        raise NoSuchImage(f"no image {name} in the local store", additional.missing("image not known"), f"pyman pull {name}")


def _same_repository(known: str, wanted: str) -> bool:
    repository = known.rsplit(":", 1)[0] if ":" in known.rsplit("/", 1)[-1] else known
    repository = repository.partition("@")[0]
    return repository == wanted or repository.endswith("/" + wanted)


def candidates(name: str) -> list[str]:
    """The full names a local look-up tries for `name`, in order."""
    if not name or name.startswith("sha256:"):
        return []
    tagged = name if "@" in name or ":" in name.rsplit("/", 1)[-1] else name + ":latest"
    first = tagged.split("/", 1)[0]
    if "/" in tagged and ("." in first or ":" in first or first == "localhost"):
        return [tagged]
    library = tagged if "/" in tagged else f"library/{tagged}"
    return [f"localhost/{tagged}", f"docker.io/{library}", tagged]


def history(record: dict[str, Any]) -> list[str]:
    """All names an image ever had, newest first."""
    return list(record.get("history") or record["names"])


def path() -> str:
    """Where the index lies; with `.copy` after its name, the same once more, for a repair."""
    return os.path.join(paths.graphroot(), "images.json")


def load() -> ImageIndex:
    """The index as it is now, empty if nothing was ever pulled, with the images of additional stores (their records have "store")."""
    index = own()
    if additional.stores():
        for key, record in additional.records().items():
            index.records.setdefault(key, record)
    return index


def own() -> ImageIndex:
    """The index of this store alone. StorageError if it is damaged."""
    if (text := store.read_text(path())) is None and not os.path.exists(path() + ".copy"):
        return ImageIndex({})
    try:
        records = fastjson.loads(text)["images"] if text is not None else None
    except (ValueError, KeyError, TypeError):
        records = None
    if not isinstance(records, dict):
        what, why = f"cannot use the index of images {path()}", f"it is {'missing' if text is None else 'damaged'}"
        raise StorageError(what, why, "pyman system check --repair makes it again")
    return ImageIndex(records)


def locked() -> Lock:
    """The lock under which the index is read and replaced."""
    where = os.path.join(paths.graphroot(), "images.lock")
    paths.ensure_private(paths.graphroot())
    os.close(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    return Lock(where)


def reading() -> Lock:
    """Held while nobody may change the index."""
    lock = locked()
    lock.shared = True
    return lock


def change(action: Callable[[ImageIndex], Any], room: Callable[[ImageIndex], None] | None = None) -> Any:
    """Run `action` on the index under the store's lock and save it durably; returns what action returns.

    room: makes room by deleting what the changed index does not need, where the disk is too full to save it.
    """
    with locked():
        index = own()
        result = action(index)
        try:
            save(index)
        except StorageError as err:
            if err.errno not in (28, 122) or room is None:
                raise
            room(index)
            save(index)
        return result


def save(index: ImageIndex) -> None:
    """Replace the index durably, then its copy; under the lock. StorageError."""
    text = fastjson.dumps({"version": 1, "images": index.records})
    store.write_text(path(), text, sync=True)
    try:
        store.write_text(path() + ".copy", text)
    except StorageError:
        pass  # no room for it: the older one stays, and a repair says how old it is


def add(record: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Add or update an image and give it `names` (taken from any other image). Its layers and blobs are in place already."""
    old_manifests = []
    record.pop("store", None)  # an image of an additional store that gets a name: its layers stay there

    def action(index: ImageIndex) -> dict[str, Any]:
        known = index.records.get(record["id"])
        if known:
            record["names"] = known["names"]
            record["history"] = known.get("history") or known["names"]
            record["digests"] = sorted({*known["digests"], *record["digests"]})
        for name in names:
            for other in index.records.values():
                if name in other["names"]:
                    other["names"] = [n for n in other["names"] if n != name]
            if name not in record["names"]:
                record["names"] = [*record["names"], name]
            record["history"] = [name, *(old for old in record.get("history") or [] if old != name)]
        index.records[record["id"]] = record
        if known and known["manifest"] != record["manifest"]:  # the same image in another compression
            old_manifests.append(known["manifest"])
        return record

    added = dict(change(action))
    for digest_hex in old_manifests:  # after the index is saved: a killed command must not leave a record without its manifest
        _forget_blob(digest_hex)
    return added


def _forget_blob(digest_hex: str) -> None:
    """Delete a manifest that no image has any more."""
    with locked():
        if not any(digest_hex in blobs_of(record) for record in own().records.values()):
            try:
                os.unlink(blob_path(digest_hex))
            except OSError:
                pass


def blob_path(digest_hex: str) -> str:
    """Where the blob (a manifest or config) with this sha256 lies."""
    return os.path.join(paths.graphroot(), "blobs", "sha256", digest_hex)


def readable(digest_hex: str) -> str:
    """Where a blob can be read: here, or in an additional store."""
    path = blob_path(digest_hex)
    if additional.stores() and not os.path.exists(path):
        return additional.find("blobs", "sha256", digest_hex) or path
    return path


def blobs_of(record: dict[str, Any]) -> list[str]:
    """The blobs (hex digits) that an image or a list of images needs: a list has no configuration, and perhaps artifacts."""
    return [blob for blob in (record["manifest"], record["config"], *(record.get("blobs") or [])) if blob]


def write_blob(digest_hex: str, data: bytes) -> None:
    """Store a verified blob durably; one that is damaged is replaced."""
    path = blob_path(digest_hex)
    try:
        with open(path, "rb") as file:
            if file.read(len(data) + 1) == data:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    store.write_bytes(path, data, sync=True)


def read_blob(digest_hex: str, what: str) -> bytes:
    """A manifest or configuration, verified. ImageError if it is missing or damaged."""
    import hashlib  # a C module; only where images leave the store

    try:
        with open(readable(digest_hex), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        data = b""
    if hashlib.sha256(data).hexdigest() != digest_hex:
        raise ImageError(
            f"cannot use {what}", f"the blob {digest_hex[:12]} is {'damaged' if data else 'missing'}", "remove it and pull it again"
        )
    return data


def good_blob(digest_hex: str) -> bool:
    """Whether a manifest or configuration is there and has its digest."""
    try:
        read_blob(digest_hex, "image")
    except (ImageError, OSError):
        return False
    return True


def read_config(record: dict[str, Any]) -> dict[str, Any]:
    """The image's whole OCI config. ImageError if its blob is missing, or if it is a list of images."""
    if "list" in record:
        raise ImageError(
            f"cannot use {(record['names'] or [record['id'][:12]])[0]} as an image", "it is a list of images", "pyman manifest inspect"
        )
    text = store.read_text(readable(record["config"]))
    if text is None:
        raise ImageError(
            f"cannot use image {(record['names'] or [record['id'][:12]])[0]}",
            "its configuration is missing from the store",
            "pull it again",
        )
    try:
        value = fastjson.loads(text)
    except ValueError:
        value = None
    wrong = image_config.wrong_type(value) if isinstance(value, dict) else "it is no JSON object"
    if wrong:
        name = (record["names"] or [record["id"][:12]])[0]
        why = f"its configuration is damaged ({wrong})"
        raise ImageError(f"cannot use image {name}", why, "pull it again, or pyman system check --repair")
    return dict(value)

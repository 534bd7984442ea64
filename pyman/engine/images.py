"""Images in the store: rows, names, removal with the layers and blobs nobody else needs. CLI process."""

from __future__ import annotations

from pyman import stages
from pyman.engine import image_filters
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchImage, StateError, StorageError
from pyman.state import events, fastjson, store
from pyman.storage import images, intents, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.storage.images import ImageIndex


def rows(filters: list[str], name: str = "") -> list[dict[str, Any]]:
    """One row per name (or one without): repository, tag, record. UsageError for an unknown filter.

    name: only names that match it, with a tag; without one all names of the images it matches; else the image with that id, or none.
    """
    index = images.load()
    found = []
    passes = image_filters.compiled(filters, index)
    chosen = {record["id"]: record["names"] or ["<none>:<none>"] for record in index.records.values()}
    if name:
        matching = {key: [full for full in names if image_filters.called(full, name)] for key, names in chosen.items()}
        if ":" not in name.rsplit("/", 1)[-1]:
            matching = {key: chosen[key] if found_names else [] for key, found_names in matching.items()}
        if not any(matching.values()):
            try:
                wanted = index.resolve(name)["id"]
            except NoSuchImage:
                return []
            matching = {wanted: chosen[wanted]}
        chosen = matching
    for record in index.records.values():
        if not chosen.get(record["id"]) or not passes(record):
            continue
        for full in chosen[record["id"]]:
            repository, _, tag = full.rpartition(":")
            found.append({"repository": repository, "tag": tag, "record": record})
    return found


def use_counts() -> dict[str, int]:
    """Image id -> number of containers made from it."""
    counts: dict[str, int] = {}
    for container in list_containers():
        counts[container.state["image_id"]] = counts.get(container.state["image_id"], 0) + 1
    return counts


def users(image_id: str) -> list[str]:
    """Ids of the containers made from this image."""
    return [container.id for container in list_containers() if container.state["image_id"] == image_id]


def tag(name: str, new_names: list[str]) -> None:
    """Give an image further names. NoSuchImage, UsageError."""
    record = images.load().resolve(name)
    images.add(record, new_names)
    for new in new_names:
        events.emit("image", "tag", record["id"], new)


def untag(name: str, old_names: list[str]) -> None:
    """Take names (all if none are given) from an image. NoSuchImage."""

    def action(index: ImageIndex) -> tuple[str, list[str]]:
        record, taken = index.resolve(name), []
        for old in old_names or list(record["names"]):
            known = next((candidate for candidate in [old, *images.candidates(old)] if candidate in record["names"]), None)
            if known is None:
                raise NoSuchImage(f"cannot take name {old} from image {record['id'][:12]}", "the image does not have it")
            record["names"] = [kept for kept in record["names"] if kept != known]
            taken.append(known)
        return record["id"], taken

    image_id, gone = images.change(action)
    for known in gone:
        events.emit("image", "untag", image_id, known)


def remove(name: str, *, force: bool = False) -> tuple[list[str], str]:
    """Remove a name, or the image with its last one; (names taken, id deleted or ""). NoSuchImage, StateError."""
    from pyman.engine import volume_image  # not for `images`

    record = images.load().resolve(name)
    if record.get("store"):
        raise StateError(f"cannot remove image {name}", f"it lies in the store {record['store']}, which is never written")
    taken = [candidate for candidate in [name, *images.candidates(name)] if candidate in record["names"]][:1]
    if not taken:
        taken = [known for known in record["names"] if known.endswith("/" + name) or known.endswith(f"/{name}:latest")][:1]
    by_id = not taken and record["id"].startswith(name.removeprefix("sha256:"))  # a name may look like an id
    if by_id and len(record["names"]) > 1 and not force:
        raise StateError(
            f"cannot remove image {name}",
            f"it has several names: {', '.join(record['names'])}",
            "remove the names one by one, or use --force",
        )
    last = by_id or set(record["names"]) <= set(taken)
    if last:
        volume_image.refuse_removal(record)
        _release_users(record, force)

    intent = _intent()

    def action(index: ImageIndex) -> tuple[list[str], str]:
        current = index.records.get(record["id"])
        if current is None:
            raise NoSuchImage(f"no image {name}", "it was removed meanwhile")
        gone = list(current["names"]) if by_id else taken
        current["names"] = [kept for kept in current["names"] if kept not in gone]
        if last and not current["names"]:
            volume_image.refuse_removal(record)  # again: one that is made now is seen here, or finds the image gone
            del index.records[record["id"]]
            _note(intent, current)
            stages.reach("rmi:noted")
            return gone, str(record["id"])
        return gone, ""

    try:
        untagged, deleted = images.change(action, room=lambda index: _make_room(index, record))
        stages.reach("rmi:index")
    finally:
        if intent:
            intent.release()
    # The record goes first, its layers after: what is killed in between is collected by the next command.
    intents.collect()
    for old in untagged:
        events.emit("image", "untag", record["id"], old)
    if deleted:
        events.emit("image", "remove", deleted, (untagged or [deleted])[0])
    return untagged, deleted


def _intent() -> intents.Intent | None:
    """Where it is going to stand what is deleted; None on a full disk."""
    try:
        return intents.Intent()
    except OSError:
        return None


def _note(intent: intents.Intent | None, gone: dict[str, Any]) -> None:
    try:
        if intent:
            intent.note(gone["layers"], images.blobs_of(gone), sync=False)
    except StorageError:
        return  # a full disk: image prune finds what is left


def _make_room(index: ImageIndex, gone: dict[str, Any]) -> None:
    """On a full disk, where not even the index can be saved: delete layers that only `gone` has, before it is saved without it."""
    if gone["id"] in index.records:
        return
    kept = {diff_id for record in index.records.values() for diff_id in record["layers"]}
    for container in list_containers():
        kept.update(container.config["layers"])
    for diff_id in gone["layers"]:
        if diff_id not in kept:
            layers.remove_layer(diff_id)


def _release_users(record: dict[str, Any], force: bool) -> None:
    holders = users(record["id"])
    if not holders:
        return
    if not force:
        raise StateError(
            f"cannot remove image {(record['names'] or [record['id'][:12]])[0]}",
            f"it is used by container {holders[0][:12]}" + (f" and {len(holders) - 1} more" if len(holders) > 1 else ""),
            "remove the containers first, or use --force",
        )
    from pyman.engine import container, remove

    for holder in holders:
        remove.remove_container(container.lookup(holder), force=True)


def prune(everything: bool, filters: list[str]) -> list[str]:
    """Remove images without a name (all unused ones with `everything`); the ids removed."""
    from pyman.engine import commit, volume_image

    commit.collect()
    removed = []
    passes = image_filters.compiled(filters, images.load(), image_filters.PRUNE)
    for record in list(images.load().records.values()):
        if record.get("store") or (record["names"] and not everything) or users(record["id"]) or not passes(record):
            continue
        if volume_image.users(record["id"]):
            continue
        remove(record["id"], force=True)
        removed.append(record["id"])
    return removed


def _manifest(record: dict[str, Any]) -> dict[str, Any]:
    """The image's own manifest; empty if it is damaged."""
    text = store.read_text(images.readable(record["manifest"]))
    try:
        value = fastjson.loads(text) if text else {}
    except ValueError:
        value = {}
    return value if isinstance(value, dict) else {}


def inspect_image(name: str, rfc3339: Callable[[float], str]) -> dict[str, Any]:
    """Everything about an image under Podman's field names. NoSuchImage."""
    record = images.load().resolve(name)
    config = images.read_config(record)
    steps = [step or {} for step in config.get("history") or []]
    first = steps[0] if steps else {}
    manifest = _manifest(record)
    return {
        "Id": record["id"],
        "Digest": record["digest"],
        "RepoTags": record["names"],
        "RepoDigests": sorted({f"{full.rpartition(':')[0]}@{digest}" for full in record["names"] for digest in record["digests"]}),
        "Parent": "",
        "Comment": config.get("comment") or first.get("comment") or "",
        "Created": config.get("created") or rfc3339(record["created"]),
        "Config": config.get("config") or {},
        "Version": "",
        "Author": config.get("author") or "",
        "Architecture": record["architecture"],
        "Os": record["os"],
        "Size": record["size"],
        "VirtualSize": record["size"],
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"LowerDir": ":".join(layers.layer_path(diff_id) for diff_id in reversed(record["layers"]))},
        },
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{diff_id}" for diff_id in record["layers"]]},
        "Labels": dict(sorted(record["labels"].items())) or None,
        "Annotations": dict(sorted((manifest.get("annotations") or {}).items())),
        "ManifestType": manifest.get("mediaType") or "application/vnd.oci.image.manifest.v1+json",
        "User": (config.get("config") or {}).get("User") or "",
        "History": steps,
        "NamesHistory": images.history(record),
        **({"Healthcheck": config["config"]["Healthcheck"]} if (config.get("config") or {}).get("Healthcheck") else {}),
    }

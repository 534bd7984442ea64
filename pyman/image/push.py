"""Push: from the store to a target (registry, layout, archive, directory), several layers at a time. CLI process, slow path.

A layer goes out compressed anew, unless the target has a known form of it already. Where all forms are those of the image's own manifest,
that manifest goes out as it came, byte for byte. The manifest is put last: what is broken off leaves blobs that nothing names.
"""

from __future__ import annotations

import hashlib

from pyman import stages
from pyman.errors import ImageError, UsageError
from pyman.image import known, lanes
from pyman.image import manifest as manifests
from pyman.storage import compress, images, layers, packer, skeleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI, DOCKER = 0, 1  # positions in manifest.MANIFESTS
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
FORMATS = ("", "oci", "v2s2")


class Choice:
    """What the user chose: format ("", oci, v2s2), kind (compression or None), level, force (no other compression will do)."""

    __slots__ = ("force", "format", "kind", "level")

    def __init__(self, *, format: str = "", kind: str | None = None, level: int | None = None, force: bool | None = None) -> None:
        if format == "v2s1":
            raise UsageError(
                "cannot push in format v2s1", "it cannot express what an image is today, and registries refuse it", "--format v2s2 or oci"
            )
        if format not in FORMATS:
            raise UsageError(f"invalid value {format!r} for --format", "it must be oci or v2s2")
        if kind and kind not in compress.FORMATS:
            raise UsageError(f"invalid value {kind!r} for --compression-format", "it must be gzip, zstd or zstd:chunked")
        if kind in ("zstd", compress.CHUNKED) and format == "v2s2":
            raise UsageError("cannot push zstd layers in format v2s2", "it only has gzip", "--format oci")
        compress.check_level(kind or "gzip", level)
        self.format, self.kind, self.level = format, kind, level
        self.force = bool(kind) if force is None else force


def push(
    record: dict[str, Any], target: Any, choice: Choice, *, reporter: Any = None, parallel: int = 3, top: bool = True
) -> dict[str, Any]:
    """Bring an image to a target; the descriptor of its manifest there. ImageError, RegistryError, StorageError.

    top: whether it is the image that the target is named for, and not one of an index.
    """
    what = f"image {(record['names'] or [record['id'][:12]])[0]}"
    if "list" in record:
        raise ImageError(f"cannot use {what}", "it is a list of images", "pyman manifest push pushes it")
    original = images.read_blob(record["manifest"], what)
    config = images.read_blob(record["config"], what)
    value = manifests.loads(original, what, manifests.MAX_MANIFEST)
    media_type = value.get("mediaType") or manifests.MANIFESTS[OCI]
    sort = {"oci": OCI, "v2s2": DOCKER}.get(choice.format, DOCKER if media_type == manifests.MANIFESTS[DOCKER] else OCI)
    kind = target.default_kind if choice.kind is None or target.plain else choice.kind
    if kind in ("zstd", compress.CHUNKED):
        sort = OCI
    wanted = ("zstd", compress.CHUNKED) if kind == "zstd" else (kind,)  # zstd with a table of contents is zstd
    kinds = wanted if choice.force or sort == DOCKER else ("", *compress.FORMATS)
    _check_layers(record, what)
    forms = known.Forms(record)
    placed = _put_layers(record, target, forms, kinds, kind, choice.level, sort == OCI, reporter, parallel)
    stages.reach("push:layers")
    target.put_blob(config, f"sha256:{record['config']}")
    stages.reach("push:config")
    data = _manifest(value, original, sort, [placed[diff_id] for diff_id in record["layers"]], len(config), record["config"])
    media_type = manifests.MANIFESTS[sort]
    target.put_manifest(data, media_type, top=top)
    return {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


def _check_layers(record: dict[str, Any], what: str) -> None:

    for diff_id in record["layers"]:
        if not layers.has_layer(diff_id):
            raise ImageError(f"cannot push {what}", f"its layer {diff_id[:12]} is missing from the store", "pull it again")
        if not skeleton.exists(layers.place(diff_id)):
            raise ImageError(
                f"cannot push {what}",
                f"the store does not know the tar that its layer {diff_id[:12]} came from",
                "remove the image and pull it again",
            )


def _manifest(value: dict[str, Any], original: bytes, sort: int, placed: list[dict[str, Any]], config_size: int, config: str) -> bytes:
    """The image's own manifest if all its parts lie at the target, else one that is like it and names what lies there."""
    import json

    same_type = (value.get("mediaType") or manifests.MANIFESTS[OCI]) == manifests.MANIFESTS[sort]
    if same_type and [(layer["digest"], layer["size"]) for layer in value["layers"]] == [
        (layer["digest"], layer["size"]) for layer in placed
    ]:
        return original
    new: dict[str, Any] = {"schemaVersion": 2, "mediaType": manifests.MANIFESTS[sort]}
    new["config"] = {"mediaType": _CONFIGS[sort], "digest": f"sha256:{config}", "size": config_size}
    new["layers"] = []
    for old, layer in zip(value["layers"], placed):
        entry = {"mediaType": known.media_type(layer["kind"], sort == OCI), "digest": layer["digest"], "size": layer["size"]}
        # Those of another form are not true of this one.
        annotations = old.get("annotations") if old["digest"] == layer["digest"] else known.table(layer)
        new["layers"].append({**entry, **({"annotations": annotations} if annotations and sort == OCI else {})})
    if sort == OCI and isinstance(value.get("annotations"), dict):
        new["annotations"] = value["annotations"]
    return json.dumps(new, separators=(",", ":")).encode()


def _put_layers(
    record: dict[str, Any],
    target: Any,
    forms: known.Forms,
    kinds: tuple[str, ...],
    kind: str,
    level: int | None,
    oci: bool,
    reporter: Any,
    parallel: int,
) -> dict[str, dict[str, Any]]:
    """Have all layers at the target; diff id -> descriptor there, with "kind". The first error ends the others."""
    wanted = list(dict.fromkeys(record["layers"]))
    placed: dict[str, dict[str, Any]] = {}
    count = max(1, min(parallel, len(wanted), 8)) if target.parallel else 1

    def ask(_: Any, diff_id: str) -> None:
        found = target.known(diff_id, forms.of(diff_id, kinds))
        if found:
            placed[diff_id] = dict(found)
            _placed(target, diff_id, found, reporter, "already there")

    def bring(worker: Any, diff_id: str) -> None:
        if reporter:
            reporter.start(diff_id, f"layer {diff_id[:12]}", int(layers.read_info(diff_id).get("size", 0)))
        progress = (lambda done: reporter.update(diff_id, done)) if reporter else None
        made = target.put(lambda fd: packer.pack(worker, fd, diff_id, kind, level, progress), diff_id)
        notes = made.get("annotations") or {}
        form = "zstd" if kind == compress.CHUNKED and not notes else kind  # a layer that the table cannot tell has none
        found = {"mediaType": known.media_type(kind, oci), "digest": f"sha256:{made['digest']}", "size": made["size"], "kind": form}
        if notes:
            found["annotations"] = notes
        stages.reach("push:layer")
        placed[diff_id] = found
        _placed(target, diff_id, found, reporter, "done")

    lanes.run([None] * count, wanted, ask)
    missing = [diff_id for diff_id in wanted if diff_id not in placed]
    if missing:
        pool = packer.Packer(min(count, len(missing)))  # forked while there are no threads
        try:
            lanes.run(pool.workers, missing, bring)
        finally:
            pool.close()
    return placed


def _placed(target: Any, diff_id: str, found: dict[str, Any], reporter: Any, note: str) -> None:
    if target.place:
        known.note(diff_id, found, target.place)
    if reporter:
        if note != "done":
            reporter.start(diff_id, f"layer {diff_id[:12]}", int(found["size"]))
        reporter.finish(diff_id, note)

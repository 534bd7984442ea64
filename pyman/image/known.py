"""Which compressed forms of a layer are known to exist, and where: what need not be uploaded again. CLI process, slow path.

The manifests of the images in the store tell it, as far as this machine has seen what they name, and layers/DIFF-ID/pushed.json, in which
a push notes what it has made. Both are hints: a target is always asked whether it has a blob.
"""

from __future__ import annotations

import os

from pyman.errors import PymanError
from pyman.image import manifest as manifests
from pyman.state import store
from pyman.storage import compress, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TABLE = tuple(compress.CHUNKED_NOTES + name for name in ("manifest-checksum", "manifest-position", "tarsplit-position"))
_MOST = 6  # forms of one layer, places of one form
OCI_LAYER, DOCKER_LAYER = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"


def kind_of(layer: dict[str, Any]) -> str:
    """The compression that a layer's descriptor says: gzip, zstd, zstd:chunked or none."""
    media_type = layer.get("mediaType", "")
    if media_type.endswith("zstd"):
        return "zstd:chunked" if table(layer) else "zstd"
    return "gzip" if media_type.endswith("gzip") else ""


def table(layer: dict[str, Any]) -> dict[str, str]:
    """The annotations of a layer that say where its table of contents is (zstd:chunked)."""
    notes = layer.get("annotations")
    found = notes.items() if isinstance(notes, dict) else ()
    return {key: value for key, value in found if key in _TABLE and isinstance(value, str) and len(value) < 200}


def media_type(kind: str, oci: bool) -> str:
    """The media type of a layer with this compression."""
    kind = kind.partition(":")[0]
    if oci:
        return OCI_LAYER + (f"+{kind}" if kind else "")
    return DOCKER_LAYER + (f".{kind}" if kind else "")


def places(record: dict[str, Any]) -> list[str]:
    """registry/repository of each name that an image has, or came by."""
    found = []
    for name in images.history(record):
        base = name.partition("@")[0]
        found.append(base.rpartition(":")[0] if ":" in base.rsplit("/", 1)[-1] else base)
    return list(dict.fromkeys(found))


def source_layers(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The layer descriptors of an image's own manifest, as they stand there, bottom first. ImageError if its blob is missing or damaged."""
    data = images.read_blob(record["manifest"], f"image {record['id'][:12]}")
    value = manifests.loads(data, "manifest in the store", manifests.MAX_MANIFEST)
    manifests.parse_manifest(value, "manifest in the store")
    return list(value["layers"])


def arrived(diff_id: str, layer: dict[str, Any]) -> bool:
    """Whether this machine has seen that the blob of a descriptor is that layer: unpacked it, or made it.

    A manifest whose layers were all here already was believed without a look at its blobs: it may lie, and nobody else may get to see that.
    """
    info = layers.read_info(diff_id)
    seen = [(info.get("digest"), info.get("compressed_size")), (diff_id, info.get("plain_size"))]
    return (layer["digest"][7:], layer["size"]) in [*seen, *((form["hex"], form["size"]) for form in _noted(diff_id))]


class Forms:
    """The known forms of the layers of one image: descriptors with "kind" and "places", the image's own first."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._forms: dict[str, list[dict[str, Any]]] = {diff_id: [] for diff_id in record["layers"]}
        self._add_image(record)
        for other in images.load().records.values():
            if other["id"] != record["id"] and any(diff_id in self._forms for diff_id in other["layers"]):
                self._add_image(other)
        for diff_id in self._forms:
            for form in _noted(diff_id):
                self._add(diff_id, form, form["places"])

    def _add_image(self, record: dict[str, Any]) -> None:
        try:
            found = source_layers(record)
        except PymanError:
            return
        where = places(record)
        for diff_id, layer in zip(record["layers"], found):
            if diff_id in self._forms and arrived(diff_id, layer):
                self._add(diff_id, {**layer, "kind": kind_of(layer)}, where)

    def _add(self, diff_id: str, form: dict[str, Any], where: list[str]) -> None:
        for known in self._forms[diff_id]:
            if known["digest"] == form["digest"]:
                known["places"] = list(dict.fromkeys([*known["places"], *where]))[:_MOST]
                return
        if len(self._forms[diff_id]) < _MOST:
            self._forms[diff_id].append({**form, "places": where[:_MOST]})

    def of(self, diff_id: str, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        """The forms of a layer in one of these compressions."""
        return [form for form in self._forms[diff_id] if form["kind"] in kinds]


def _noted(diff_id: str) -> list[dict[str, Any]]:
    try:
        found = (store.read_json(_path(diff_id)) or {}).get("forms") or []
        return [
            {
                **manifests.descriptor(form, "note"),
                "kind": str(form.get("kind", "")),
                "places": [str(name) for name in form["places"]],
                "annotations": table(form),
            }
            for form in found
        ]
    except (PymanError, KeyError, TypeError, AttributeError):
        return []  # only a note


def _path(diff_id: str) -> str:
    return os.path.join(layers.layers_dir(), diff_id, "pushed.json")


def note(diff_id: str, form: dict[str, Any], place: str) -> None:
    """Remember that a form of a layer lies at registry/repository."""
    noted = _noted(diff_id)
    found = [known for known in noted if known["digest"] != form["digest"]]
    old: list[str] = next((known["places"] for known in noted if known["digest"] == form["digest"]), [])
    kept = {key: form[key] for key in ("mediaType", "digest", "size", "kind")}
    kept["annotations"] = table(form)
    kept["places"] = list(dict.fromkeys([place, *old]))[:_MOST]
    try:
        store.write_json(_path(diff_id), {"forms": [kept, *found][:_MOST]})
    except PymanError:
        pass  # the next push compresses again

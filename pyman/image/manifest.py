"""Manifests, indexes and configs as hostile input: validated before any part is used. Slow path, pure."""

from __future__ import annotations

import os

from pyman.errors import ImageError, PymanError
from pyman.image.reference import check_digest
from pyman.linux import machine
from pyman.state import fastjson
from pyman.storage import image_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MANIFEST = 4 << 20  # bytes, as the distribution specification recommends
MAX_CONFIG = 8 << 20
MAX_LAYERS = 512
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
ACCEPT = ", ".join(INDEXES + MANIFESTS)


def host_platform() -> str:
    """os/arch[/variant] of this machine, in OCI words."""
    return f"linux/{machine.architecture()}" + {"armv7l": "/v7", "aarch64": "/v8"}.get(os.uname().machine, "")


def loads(data: bytes, what: str, limit: int) -> dict[str, Any]:
    """One JSON object of at most `limit` bytes. ImageError."""
    if len(data) > limit:
        raise ImageError(f"refused {what}", f"it has {len(data)} bytes, at most {limit} are allowed")
    try:
        value = fastjson.loads(data)
    except (ValueError, RecursionError) as err:
        raise ImageError(f"damaged {what}", f"it is not JSON: {err}") from err
    if not isinstance(value, dict):
        raise ImageError(f"damaged {what}", "it is not a JSON object")
    return value


def kind_of(value: dict[str, Any], media_type: str, what: str) -> str:
    """ "index" or "manifest". ImageError where header, mediaType field and content do not agree."""
    inner = value.get("mediaType") or ""
    header = (media_type or "").split(";")[0].strip()
    if inner and header in INDEXES + MANIFESTS and inner != header:
        raise ImageError(f"refused {what}", f"it was sent as {header} and calls itself {inner}")
    declared = inner or header
    if "manifests" in value and ("layers" in value or "config" in value):
        raise ImageError(f"refused {what}", "it is a manifest and an index at the same time")
    if value.get("schemaVersion") != 2:
        raise ImageError(
            f"cannot use {what}",
            f"its schema version is {value.get('schemaVersion')!r}, pyman reads 2",
            "push the image again with a current tool",
        )
    if "manifests" in value:
        if declared in MANIFESTS:
            raise ImageError(f"refused {what}", f"it is an index and calls itself {declared}")
        return "index"
    if "layers" not in value or "config" not in value:
        raise ImageError(f"cannot use {what}", "it is neither an image manifest nor an index")
    if declared in INDEXES:
        raise ImageError(f"refused {what}", f"it is a manifest and calls itself {declared}")
    return "manifest"


def descriptor(value: Any, what: str) -> dict[str, Any]:
    """{"mediaType", "digest", "size", "hex"} of an OCI descriptor. ImageError."""
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("size"), int)
        or not 0 <= value["size"] < 1 << 63
        or not isinstance(value.get("mediaType", ""), str)
    ):
        raise ImageError(f"damaged {what}", "a descriptor lacks its size or media type")
    try:
        return {
            "mediaType": value.get("mediaType", ""),
            "digest": value["digest"],
            "size": value["size"],
            "hex": check_digest(value.get("digest", ""), what),
        }
    except (PymanError, KeyError) as err:
        raise ImageError(f"refused {what}", f"a descriptor's digest is invalid: {value.get('digest')!r}") from err


def _images(index: dict[str, Any]) -> list[tuple[list[str], Any]]:
    """([os, architecture, variant], descriptor) of an index's images; not those of other things, such as attestations."""
    have = []
    for entry in index["manifests"] if isinstance(index["manifests"], list) else []:
        place = entry.get("platform") if isinstance(entry, dict) else None
        place = place if isinstance(place, dict) else {}
        parts = [str(place.get("os", "")), str(place.get("architecture", "")), str(place.get("variant", ""))]
        if parts[0] in ("", "unknown") and place:
            continue
        have.append((parts, entry))
    return have


def platforms(index: dict[str, Any]) -> list[str]:
    """os/architecture[/variant] of each image of an index, in order."""
    return sorted({"/".join(part for part in parts if part) for parts, _ in _images(index)})


def choose(index: dict[str, Any], platform: str, what: str) -> dict[str, Any]:
    """The descriptor of the manifest for `platform` (the host's if empty). ImageError lists what the image has."""
    wanted = (platform or host_platform()).split("/")
    have = _images(index)
    exact = [entry for parts, entry in have if parts[: len(wanted)] == wanted]
    near = [entry for parts, entry in have if parts[:2] == wanted[:2] and (not platform or len(wanted) < 3 or not parts[2])]
    unmarked = [entry for parts, entry in have if not any(parts)]
    for group in (exact, near, unmarked if len(have) == 1 else []):
        if group:
            return descriptor(group[0], what)
    names = ", ".join(platforms(index)) or "none"
    raise ImageError(f"cannot use {what}", f"it has no image for {'/'.join(wanted)}; it has: {names}", "choose one with --platform")


def parse_manifest(value: dict[str, Any], what: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(config descriptor, layer descriptors, bottom first). ImageError."""
    layers = value["layers"]
    if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ImageError(f"refused {what}", f"its layers are no list, or more than {MAX_LAYERS}")
    return descriptor(value["config"], what), [descriptor(layer, what) for layer in layers]


def parse_config(data: bytes, layer_count: int, what: str) -> tuple[dict[str, Any], list[str]]:
    """(config, diff ids as hex, bottom first). ImageError for wrong types: everything here comes from a stranger."""
    config = loads(data, f"configuration of {what}", MAX_CONFIG)
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != layer_count:
        raise ImageError(
            f"damaged {what}",
            f"its configuration names {len(diff_ids) if isinstance(diff_ids, list) else 'no'} layers, its manifest {layer_count}",
        )
    try:
        ids = [check_digest(diff_id, what) for diff_id in diff_ids]
    except PymanError as err:
        raise ImageError(f"refused {what}", err.why) from err
    wrong = image_config.wrong_type(config)
    for key in ("architecture", "os", "variant"):
        if not wrong and not all(char.isalnum() or char in "._-" for char in config.get(key) or ""):
            raise ImageError(f"refused {what}", f"its {key} is {config[key][:40]!r}")
    if wrong:
        raise ImageError(f"refused {what}", f"{wrong} of its configuration has the wrong type")
    return config, ids

"""Lists of images (image indexes, manifest lists) as documents: made, changed and converted. Pure."""

from __future__ import annotations

import json

from pyman.errors import NoSuchImage, UsageError
from pyman.image import manifest as manifests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OCI, DOCKER = manifests.INDEXES


def new() -> dict[str, Any]:
    """An empty list."""
    return {"schemaVersion": 2, "mediaType": OCI, "manifests": []}


def dump(index: dict[str, Any]) -> bytes:
    """The bytes that are stored and sent."""
    return json.dumps(index, separators=(",", ":")).encode()


def entry(descriptor: dict[str, Any], platform: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """One image in a list."""
    made: dict[str, Any] = {key: descriptor[key] for key in ("mediaType", "size", "digest")}
    if platform:
        made["platform"] = platform
    if annotations:
        made["annotations"] = annotations
    return made


def platform_of(config: dict[str, Any]) -> dict[str, Any]:
    """The platform that an image's configuration (or record) says."""
    found = {key: config.get(key) for key in ("architecture", "os", "variant", "os.version")}
    return {key: str(value) for key, value in found.items() if value}


def find(index: dict[str, Any], digest: str, name: str) -> dict[str, Any]:
    """The image with this digest in a list. NoSuchImage."""
    for known in index["manifests"]:
        if known["digest"] == digest:
            found: dict[str, Any] = known
            return found
    have = ", ".join(str(known["digest"]) for known in index["manifests"]) or "none"
    raise NoSuchImage(f"no image {digest} in the list {name}", f"it has: {have}", f"pyman manifest inspect {name}")


def put(index: dict[str, Any], made: dict[str, Any]) -> None:
    """Add an image; one with the same digest is replaced."""
    index["manifests"] = [known for known in index["manifests"] if known["digest"] != made["digest"]] + [made]


def override(made: dict[str, Any], opts: dict[str, Any], index: dict[str, Any]) -> None:
    """Apply --arch, --os, --variant, --os-version, --os-features, --features and --annotation to an image in a list."""
    platform = dict(made.get("platform") or {})
    if opts.get("arch") and opts["arch"] != platform.get("architecture"):
        platform.pop("variant", None)  # it was the other architecture's
    for option, key in (("arch", "architecture"), ("os", "os"), ("variant", "variant"), ("os_version", "os.version")):
        if opts.get(option):
            platform[key] = opts[option]
    if opts.get("os_features"):
        platform["os.features"] = [item for text in opts["os_features"] for item in text.split(",")]
    if opts.get("features") and index.get("mediaType") == DOCKER:  # the OCI format has no place for them
        platform["features"] = [item for text in opts["features"] for item in text.split(",")]
    if platform:
        made["platform"] = platform
    if opts.get("annotation"):
        made["annotations"] = {**(made.get("annotations") or {}), **pairs(opts["annotation"], "--annotation")}


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """KEY=VALUE texts. UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"invalid value {text!r} for {option}", "the form is KEY=VALUE")
        found[key] = value
    return found


def converted(index: dict[str, Any], sort: str) -> dict[str, Any]:
    """The list in a format (oci, v2s2; empty: its own). The Docker format has no annotations and no artifacts. UsageError."""
    if not sort or (sort == "oci") == (index["mediaType"] == OCI):
        return index
    if sort == "oci":
        return {**index, "mediaType": OCI}
    wrong = [known for known in index["manifests"] if known.get("artifactType") or not known.get("platform")]
    if wrong or index.get("subject") or index.get("artifactType"):
        raise UsageError(
            "cannot push the list in format v2s2", "it has an artifact, a subject or an image without a platform", "--format oci"
        )
    kept = [{key: known[key] for key in ("mediaType", "size", "digest", "platform")} for known in index["manifests"]]
    return {"schemaVersion": 2, "mediaType": DOCKER, "manifests": kept}


def checked(value: dict[str, Any], what: str) -> dict[str, Any]:
    """A list that came from elsewhere, with descriptors that are well formed. ImageError."""
    from pyman.errors import ImageError

    known = value.get("manifests")
    if not isinstance(known, list) or len(known) > 1000:
        raise ImageError(f"refused {what}", "its manifests are no list, or more than 1000")
    for item in known:
        manifests.descriptor(item, what)
        for key in ("platform", "annotations"):
            if not isinstance(item.get(key) or {}, dict):
                raise ImageError(f"refused {what}", f"{key} of {item['digest']} is no object")
    return value

"""Add images, images of other lists and artifacts to a list. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os

from pyman.engine import manifests
from pyman.errors import ImageError, NoSuchImage, UsageError
from pyman.image import indexes, pull
from pyman.image import manifest as formats
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Found = list[tuple[dict[str, Any], dict[str, str]]]  # entry of a list, place of the image

_EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def add(name: str, wanted: list[str], opts: dict[str, Any], **access: Any) -> str:
    """Add images by name (of this store, of a registry, or of a transport) to a list; the list's id.

    opts: all, annotation, arch, features, os, os_version, variant. NoSuchImage, ImageError, RegistryError, UsageError.
    """
    manifests.find(name)
    found: Found = []
    for item in wanted:
        found += images_of(item, bool(opts.get("all")), opts, **access)

    def action(index: dict[str, Any], record: dict[str, Any]) -> None:
        for made, place in found:
            indexes.override(made, opts, index)
            indexes.put(index, made)
            record["list"][made["digest"]] = place

    return str(manifests.change(name, action)["id"])


def images_of(name: str, everything: bool, opts: dict[str, Any], **access: Any) -> Found:
    """What a name means for a list: one image, or (everything) all images of the list that it is."""
    plain = name.removeprefix("containers-storage:")
    if "://" not in name and not name.startswith(("oci:", "dir:", "oci-archive:", "docker-archive:")):
        try:
            record = images.load().resolve(plain)
        except NoSuchImage:
            if plain != name:
                raise
        else:
            return _local(record, everything, opts)
    return _remote(name, everything, opts, **access)


def _local(record: dict[str, Any], everything: bool, opts: dict[str, Any]) -> Found:
    if "list" in record:
        index = manifests.document(record)
        if everything:
            return [(dict(known), dict(record["list"].get(known["digest"]) or {})) for known in index["manifests"]]
        record = manifests.instance(record, _platform(opts))
    data = images.read_blob(record["manifest"], f"image {record['id'][:12]}")
    value = formats.loads(data, "manifest in the store", formats.MAX_MANIFEST)
    descriptor = {"mediaType": value.get("mediaType") or formats.MANIFESTS[0], "digest": record["digest"], "size": len(data)}
    return [(indexes.entry(descriptor, indexes.platform_of(record)), {"id": str(record["id"])})]


def _platform(opts: dict[str, Any]) -> str:
    if not (opts.get("os") or opts.get("arch")):
        return ""
    host = formats.host_platform().split("/")
    parts = [opts.get("os") or host[0], opts.get("arch") or host[1], opts.get("variant") or ""]
    return "/".join(part for part in parts if part)


def _remote(name: str, everything: bool, opts: dict[str, Any], **access: Any) -> Found:
    source = pull.sources(name, **access)[0]()
    try:
        what = source.label
        data, media_type, digest = source.manifest()
        value = formats.loads(data, what, formats.MAX_MANIFEST)
        if formats.kind_of(value, media_type, what) == "index":
            index = indexes.checked(value, what)
            if everything:
                made = [dict(known) for known in index["manifests"]]
            else:
                chosen = formats.choose(index, _platform(opts), what)
                made = [next(dict(known) for known in index["manifests"] if known["digest"] == chosen["digest"])]
            for known in made:
                pull.verify(source, known["digest"], digest)
            return [(known, {**_place(source, name, known["digest"]), "list": digest}) for known in made]
        pull.verify(source, digest)
        config, layers = formats.parse_manifest(value, what)
        descriptor = {"mediaType": value.get("mediaType") or media_type.split(";")[0], "digest": digest, "size": len(data)}
        if value.get("artifactType") or config["mediaType"] == EMPTY_TYPE:
            return [({**indexes.entry(descriptor, {}), "artifactType": value.get("artifactType") or ""}, _place(source, name, digest))]
        said, _ = formats.parse_config(source.small_blob(config, formats.MAX_CONFIG), len(layers), what)
        return [(indexes.entry(descriptor, indexes.platform_of(said)), _place(source, name, digest))]
    finally:
        source.close()


def _place(source: Any, name: str, digest: str) -> dict[str, str]:
    """Where an image of a list is to be had."""
    if source.remote:
        return {"from": f"docker://{source.reference.registry}/{source.reference.repository}@{digest}"}
    transport, _, rest = name.partition(":")
    path, _, tag = rest.partition(":")
    return {"from": f"{transport}:{os.path.abspath(path)}" + (f":{tag}" if tag else "")}


def describe(name: str) -> dict[str, Any]:
    """The descriptor of an image by name, for a subject. NoSuchImage, RegistryError."""
    made, _ = images_of(name, False, {})[0]
    return {key: made[key] for key in ("mediaType", "size", "digest")}


def add_artifact(name: str, files: list[str], opts: dict[str, Any]) -> str:
    """Make one artifact of files and add it to a list; the list's id. UsageError, StorageError."""
    manifests.find(name)
    config = _read(opts["artifact_config"]) if opts.get("artifact_config") else _EMPTY
    config_type = opts.get("artifact_config_type") or ("application/octet-stream" if opts.get("artifact_config") else EMPTY_TYPE)
    blobs = {hashlib.sha256(config).hexdigest(): config}
    layers = []
    for path in files:
        data = _read(path)
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        title = {} if opts.get("artifact_exclude_titles") else {"annotations": {"org.opencontainers.image.title": os.path.basename(path)}}
        layers.append(
            {
                "mediaType": opts.get("artifact_layer_type") or "application/octet-stream",
                "digest": f"sha256:{digest}",
                "size": len(data),
                **title,
            }
        )
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": formats.MANIFESTS[0],
        "artifactType": opts.get("artifact_type") or "application/vnd.unknown.artifact.v1",
        "config": {"mediaType": config_type, "digest": f"sha256:{hashlib.sha256(config).hexdigest()}", "size": len(config)},
        "layers": layers,
    }
    if opts.get("artifact_subject"):
        document["subject"] = describe(str(opts["artifact_subject"]))
    data = indexes.dump(document)
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    made = {**indexes.entry({"mediaType": formats.MANIFESTS[0], "digest": f"sha256:{digest}", "size": len(data)}, {})}
    made["artifactType"] = document["artifactType"]

    def action(index: dict[str, Any], record: dict[str, Any]) -> None:
        for key, content in blobs.items():
            images.write_blob(key, content)
        indexes.override(made, opts, index)
        indexes.put(index, made)
        record["list"][made["digest"]] = {"artifact": digest}
        record["blobs"] = sorted({*record.get("blobs", []), *blobs})

    return str(manifests.change(name, action)["id"])


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read((256 << 20) + 1)
    except OSError as err:
        raise UsageError(f"cannot read {path}", err.strerror or str(err)) from err
    if len(data) > 256 << 20:
        raise ImageError(f"cannot add {path} to a list", "it has more than 256 MiB", "pyman artifact add takes files of any size")
    return data

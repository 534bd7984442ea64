"""Artifacts from and to registries. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os

from pyman import paths
from pyman.errors import ImageError, UsageError
from pyman.image import copy, policy, reference, streams
from pyman.image import manifest as formats
from pyman.state import events
from pyman.storage import artifacts
from pyman.storage.artifacts import Artifact, Blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 10_000  # files of one artifact


def _full(name: str, verb: str) -> reference.Reference:
    if reference.is_short(name):
        raise UsageError(
            f"cannot {verb} artifact {name}", "the name does not say its registry", "write it in full: registry.example/team/name:tag"
        )
    return reference.parse(name)


def pull(name: str, *, reporter: Any = None, **access: Any) -> str:
    """Bring an artifact from its registry into the store; its digest. RegistryError, ImageError, NoSuchImage, StorageError."""
    from pyman.image import registry, registry_source

    wanted = _full(name, "pull")
    paths.ensure_private(paths.graphroot())
    demands = policy.check("docker", policy.docker_scopes(wanted), f"artifact {wanted.name()}", verifies=policy.SIGNED)
    source = registry_source.RegistrySource(wanted, registry.Access(**access))
    blobs: list[Blob] = []
    try:
        data, media_type, digest = source.manifest()
        value = formats.loads(data, source.label, formats.MAX_MANIFEST)
        if formats.kind_of(value, media_type, source.label) != "manifest":
            raise ImageError(f"cannot use {source.label}", "it is a list of images, not an artifact")
        if demands:
            from pyman.image import signatures

            signatures.verify(source, demands, [digest], policy.path())
        if not isinstance(value["layers"], list) or len(value["layers"]) > _MOST:
            raise ImageError(f"refused {source.label}", f"its files are no list, or more than {_MOST}")
        for entry in [*value["layers"], value["config"]]:
            blobs.append(_fetch(source, formats.descriptor(entry, source.label), reporter))
        made = Artifact(wanted.name(), data)

        def action(known: list[Artifact]) -> None:
            known[:] = [one for one in known if one.name != made.name] + [made]

        artifacts.change(action, blobs)
    finally:
        for blob in blobs:
            blob.close()
        source.close()
    events.emit("artifact", "pull", digest[7:], name)
    return digest[7:]


def _fetch(source: Any, descriptor: dict[str, Any], reporter: Any) -> Blob:
    key = descriptor["digest"]
    if reporter:
        reporter.start(key, f"file {key[7:19]}", descriptor["size"])
    blob = Blob()
    try:
        with streams.Running(lambda into: source.copy_blob(descriptor, into)) as running:
            while data := os.read(running.fd, 1 << 20):
                blob.write(data)
                if reporter:
                    reporter.update(key, blob.size)
            running.result()
        if blob.seal().digest != descriptor["hex"] or blob.size != descriptor["size"]:
            raise ImageError(f"damaged {source.label}", f"the blob {key} arrived with another digest or size")
    except BaseException:
        blob.close()
        raise
    if reporter:
        reporter.finish(key, "done")
    return blob


class _Local:
    """The store as a source of blobs."""

    def __init__(self, label: str) -> None:
        self.label = label

    def copy_blob(self, descriptor: dict[str, Any], fd: int) -> None:
        """Write a blob's bytes to `fd`."""
        for data in artifacts.pieces(descriptor["hex"]):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]


def push(name: str, *, signer: Any = None, reporter: Any = None, **access: Any) -> str:
    """Bring an artifact to the registry its name says; its digest. NoSuchObject, RegistryError, ImageError.

    signer: sign.Signer or None.
    """
    from pyman.image import registry, upload

    found = artifacts.find(artifacts.load(), name)
    if signer:
        signer.check(found.name)
    target = upload.RegistryTarget(_full(found.name, "push"), registry.Access(**access))
    source = _Local(f"artifact {found.name}")
    digest = "sha256:" + hashlib.sha256(found.data).hexdigest()
    try:
        for entry in [*found.blobs(), found.value["config"]]:
            descriptor = formats.descriptor(entry, source.label)
            if reporter:
                reporter.start(descriptor["digest"], f"file {descriptor['hex'][:12]}", descriptor["size"])
            copy.copy_blob(source, descriptor, target, "")
            if reporter:
                reporter.finish(descriptor["digest"], "done")
        target.put_manifest(found.data, str(found.value.get("mediaType") or formats.MANIFESTS[0]))
        if signer:
            signer.sign(target.reference, [digest])
    finally:
        target.close()
    events.emit("artifact", "push", found.digest, found.name)
    return digest

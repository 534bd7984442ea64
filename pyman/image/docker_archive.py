"""docker-archive:FILE[:NAME] as a source: an OCI manifest is made for each image in it. Slow path. Nothing in an archive is trusted."""

from __future__ import annotations

import hashlib
import os

from pyman.digits import is_whole
from pyman.errors import ImageError, NoSuchImage, UsageError
from pyman.image import manifest, reference
from pyman.image.archive_file import Archive, split
from pyman.storage import decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DockerArchive:
    """The format of `docker save`: manifest.json with one entry per image, layers as tars; entry: the image, if it is not chosen by name."""

    remote = False
    transport = "docker-archive"

    def __init__(self, text: str, archive: Archive | None = None, entry: dict[str, Any] | None = None) -> None:
        path, name = split(text) if archive is None else (archive.path, "")
        self.label = f"image docker-archive:{text}"
        self.archive = (archive or Archive(path, self.label)).take()
        try:
            self.entry = entry or self._choose(name)
            self._describe()
        except BaseException:
            self.archive.close()
            raise

    def _choose(self, name: str) -> dict[str, Any]:
        """The image of a name, or of @N, the Nth of the archive (containers-transports(5)); without either the only one. NoSuchImage."""
        images = docker_entries(self.archive)
        full = _full_name(name)
        if name[:1] == "@" and is_whole(name[1:]):
            wanted = images[int(name[1:10]) :][:1]
        else:
            wanted = [entry for entry in images if not name or any(full == _full_name(tag) for tag in entry["RepoTags"])]
        if len(wanted) != 1:
            tags = ", ".join(tag for entry in images for tag in entry["RepoTags"]) or "none"
            raise NoSuchImage(
                f"cannot choose an image of {self.label}",
                f"{len(wanted)} images fit; the archive has: {tags}",
                "name one: docker-archive:FILE:NAME, or docker-archive:FILE:@NUMBER from 0 on",
            )
        return wanted[0]

    def _describe(self) -> None:
        """An OCI manifest for the image."""
        import json

        self.config = self.archive.read(self.entry.get("Config"), manifest.MAX_CONFIG)
        value = manifest.loads(self.config, self.label, manifest.MAX_CONFIG)
        diff_ids = (value.get("rootfs") or {}).get("diff_ids") if isinstance(value.get("rootfs"), dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(self.entry["Layers"]):
            raise ImageError(f"damaged {self.label}", "its configuration and its manifest name different numbers of layers")
        self.files: dict[str, Any] = {}
        descriptors = [self._layer(str(diff_id), file) for diff_id, file in zip(diff_ids, self.entry["Layers"])]
        document = {
            "schemaVersion": 2,
            "mediaType": manifest.MANIFESTS[0],
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": "sha256:" + hashlib.sha256(self.config).hexdigest(),
                "size": len(self.config),
            },
            "layers": descriptors,
        }
        self.document = json.dumps(document).encode()

    def _layer(self, diff_id: str, file: Any) -> dict[str, Any]:
        """A layer's descriptor; some tools put compressed layers into the archive, whose digest is not the diff id."""
        at, size = self.archive.place(file)
        kind = decompress.kind_of("", os.pread(self.archive.fd, 8, at))
        digest = diff_id
        if kind:
            whole, left = hashlib.sha256(), size
            while left:
                data = os.pread(self.archive.fd, min(left, 1 << 20), at + size - left)
                whole.update(data)
                left -= len(data) or left
            digest = "sha256:" + whole.hexdigest()
        self.files[digest] = file
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar" + (f"+{kind}" if kind else ""), "digest": digest, "size": size}

    def names(self) -> list[str]:
        """The archive's RepoTags."""
        return [
            reference.parse(tag).name() if not reference.is_short(tag) else reference.parse(f"docker.io/{tag}").name()
            for tag in self.entry["RepoTags"]
        ]

    def manifest(self, descriptor: dict[str, Any] | None = None) -> tuple[bytes, str, str]:
        """(bytes, media type, digest) of the manifest made for the archive."""
        return self.document, manifest.MANIFESTS[0], "sha256:" + hashlib.sha256(self.document).hexdigest()

    def small_blob(self, descriptor: dict[str, Any], limit: int) -> bytes:
        """The configuration."""
        return self.config

    def copy_blob(self, descriptor: dict[str, Any], fd: int) -> None:
        """Write a layer's bytes to `fd`; the unpacker verifies them."""
        self.archive.copy(self.files[descriptor["digest"]], fd)

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()


def _full_name(name: str) -> str:
    """A name with all its parts, in Docker's reading of what is left out; what is none stays as it is."""
    try:
        return reference.parse(name if not reference.is_short(name) else f"docker.io/{name}").name()
    except UsageError:
        return name


def docker_entries(archive: Archive) -> list[dict[str, Any]]:
    """The images that a docker archive's manifest.json lists. ImageError."""
    import json

    try:
        entries = json.loads(archive.read("manifest.json", manifest.MAX_MANIFEST))
        if not isinstance(entries, list):
            raise ValueError("it is no list of images")
        images = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("Layers"), list)]
        for entry in images:
            tags = entry["RepoTags"] = entry.get("RepoTags") or []
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise ValueError("its RepoTags are no list of names")
    except (ValueError, TypeError, RecursionError) as err:
        raise ImageError(f"damaged {archive.label}", f"its manifest.json cannot be read: {err}") from err
    return images

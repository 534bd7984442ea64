"""oci-archive:FILE[:TAG] and docker-archive:FILE[:NAME] as sources. Slow path.

The archive is unpacked by the same confined code as a layer, into a private directory; nothing in it is trusted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from pyman import paths
from pyman.errors import ImageError, NoSuchImage
from pyman.image import layout, manifest, reference
from pyman.state.lock import Lock
from pyman.storage import trash, unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _split(text: str) -> tuple[str, str]:
    if os.path.exists(text):
        return text, ""
    path, colon, rest = text.partition(":")
    return (path, rest) if colon else (text, "")


class _Unpacked:
    """The archive's files in graphroot/tmp, under lock until `close`."""

    def __init__(self, path: str, label: str) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise NoSuchImage(f"cannot read {label}", f"{path}: {err.strerror}") from err
        base = os.path.join(paths.graphroot(), "tmp")
        os.makedirs(base, 0o700, exist_ok=True)
        self.path = os.path.join(base, f"archive-{os.urandom(8).hex()}")
        with Lock(base, shared=True):  # no sweep between the directory and its lock
            os.mkdir(self.path, 0o700)
            self.lock = Lock(self.path)
            self.lock.acquire()
        try:
            unpacker.unpack_confined(fd, self.path, media_type="", single=True)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)

    def close(self) -> None:
        """Delete the files."""
        self.lock.release()
        trash.discard(self.path)


class OciArchive(layout.LayoutSource):
    """An OCI layout inside a tar file."""

    confined = True

    def __init__(self, text: str) -> None:
        path, tag = _split(text)
        self.unpacked = _Unpacked(path, f"image oci-archive:{text}")
        try:
            super().__init__(f"{self.unpacked.path}:{tag}" if tag else self.unpacked.path)
        except BaseException:
            self.unpacked.close()
            raise
        self.label = f"image oci-archive:{text}"
        self.file = path

    def names(self) -> list[str]:
        """localhost/FILE:TAG, or the tag itself where it is a full image name."""
        entries = self._entries()
        tag = self.tag or (layout.tag_of(entries[0]) if entries else "")
        if tag and not reference.is_short(tag):
            return [reference.parse(tag).name()]
        base = os.path.basename(self.file).rsplit(".", 1)[0].lower()
        return [reference.normalise_tag(f"{base}:{tag}" if tag else base)]

    def close(self) -> None:
        """Delete the unpacked files."""
        self.unpacked.close()


class DockerArchive:
    """The format of `docker save`: manifest.json with one entry per image, layers as plain tars."""

    remote = False

    def __init__(self, text: str) -> None:
        path, name = _split(text)
        self.label = f"image docker-archive:{text}"
        self.unpacked = _Unpacked(path, self.label)
        try:
            self._choose(name)
        except BaseException:
            self.unpacked.close()
            raise

    def _read(self, name: Any, limit: int) -> bytes:
        fd = self._open(name)
        with open(fd, "rb") as file:
            return file.read(limit + 1)

    def _open(self, name: Any) -> int:
        from pyman.linux import libc

        root = os.open(self.unpacked.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = libc.openat2(root, str(name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OSError(errno.EINVAL, "it is not a regular file")
            return fd
        except (OSError, ValueError) as err:
            raise ImageError(f"damaged {self.label}", f"it has no readable file {name!r}: {err}") from err
        finally:
            os.close(root)

    def _choose(self, name: str) -> None:
        import json

        try:
            entries = json.loads(self._read("manifest.json", manifest.MAX_MANIFEST))
            images = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("Layers"), list)]
            for entry in images:
                tags = entry["RepoTags"] = entry.get("RepoTags") or []
                if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                    raise ValueError("its RepoTags are no list of names")
        except (ValueError, TypeError, RecursionError) as err:
            raise ImageError(f"damaged {self.label}", f"its manifest.json cannot be read: {err}") from err
        wanted = [entry for entry in images if not name or name in entry["RepoTags"] or f"{name}:latest" in entry["RepoTags"]]
        if len(wanted) != 1:
            tags = ", ".join(tag for entry in images for tag in entry["RepoTags"]) or "none"
            raise NoSuchImage(
                f"cannot choose an image of {self.label}",
                f"{len(wanted)} images fit; the archive has: {tags}",
                "name one: docker-archive:FILE:NAME",
            )
        self.entry = wanted[0]
        self.config = self._read(self.entry.get("Config"), manifest.MAX_CONFIG)
        value = manifest.loads(self.config, self.label, manifest.MAX_CONFIG)
        diff_ids = (value.get("rootfs") or {}).get("diff_ids") if isinstance(value.get("rootfs"), dict) else None
        if not isinstance(diff_ids, list) or len(diff_ids) != len(self.entry["Layers"]):
            raise ImageError(f"damaged {self.label}", "its configuration and its manifest name different numbers of layers")
        self.files: dict[str, Any] = {}
        descriptors = []
        for diff_id, file in zip(diff_ids, self.entry["Layers"]):
            fd = self._open(file)
            descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": diff_id, "size": os.fstat(fd).st_size})
            os.close(fd)
            self.files[str(diff_id)] = file
        digest = "sha256:" + hashlib.sha256(self.config).hexdigest()
        document = {
            "schemaVersion": 2,
            "mediaType": manifest.MANIFESTS[0],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(self.config)},
            "layers": descriptors,
        }
        self.document = json.dumps(document).encode()

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
        source = self._open(self.files[descriptor["digest"]])
        with open(source, "rb") as file:
            while True:
                data = file.read(1 << 20)
                if not data:
                    return
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]

    def close(self) -> None:
        """Delete the unpacked files."""
        self.unpacked.close()


def open_archive(transport: str, text: str) -> Any:
    """The source of an archive transport."""
    return OciArchive(text) if transport == "oci-archive" else DockerArchive(text)

"""oci:DIR[:TAG]: an OCI image layout (image-spec, image-layout.md) as a source. Slow path.

The directory may be anybody's: blobs are opened by validated digest below it, and verified like a registry's.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from pyman.errors import ImageError, NoSuchImage
from pyman.image import manifest as manifests
from pyman.image import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REF = "org.opencontainers.image.ref.name"


class LayoutSource:
    """The image `DIR[:TAG]` names; without a tag the layout must hold one image."""

    remote = False
    transport = "oci"

    def __init__(self, text: str, entry: dict[str, Any] | None = None) -> None:
        self.path, self.tag = split(text)
        self.label = f"image oci:{text}"
        self.entry = entry  # the image, if it is not to be chosen by the tag
        self.index = manifests.loads(self._read_file("index.json", manifests.MAX_MANIFEST), self.label, manifests.MAX_MANIFEST)

    def _read_file(self, name: str, limit: int) -> bytes:
        try:
            with open(self._open(name), "rb") as file:
                return file.read(limit + 1)
        except OSError as err:
            raise NoSuchImage(
                f"cannot read {self.label}",
                f"{os.path.join(self.path, name)}: {err.strerror}",
                "the transport oci: wants the directory of an OCI image layout, dir: that of one image",
            ) from err

    def _open(self, name: str) -> int:
        """A descriptor of a regular file below the layout. OSError."""
        fd = os.open(os.path.join(self.path, name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is not a regular file")
        return fd

    def names(self) -> list[str]:
        """The name the image gets in the store, as in Podman: localhost/DIRECTORY:TAG."""
        if self.entry:  # `load` gives those names that are there
            tag = tag_of(self.entry)
            return [reference.parse(tag).name()] if tag and not reference.is_short(tag) else []
        base = os.path.basename(os.path.abspath(self.path)).lower()
        base = "".join(char if char.isalnum() or char in "._-" else "-" for char in base).strip("._-") or "image"
        return [f"localhost/{base}:{self.tag or 'latest'}"]

    def entries(self) -> list[dict[str, Any]]:
        """The descriptors that index.json lists."""
        found = self.index.get("manifests")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def _top(self) -> dict[str, Any]:
        entries = self.entries()
        tags = [tag_of(entry) for entry in entries]
        if not self.tag:
            if len(entries) != 1:
                raise NoSuchImage(
                    f"cannot choose an image of {self.path}",
                    f"it holds {len(entries)} images: {', '.join(t for t in tags if t) or 'without tags'}",
                    "add :TAG",
                )
            return manifests.descriptor(entries[0], self.label)
        for entry, tag in zip(entries, tags):
            if tag == self.tag:
                return manifests.descriptor(entry, self.label)
        raise NoSuchImage(f"no image tagged {self.tag!r} in {self.path}", f"the layout has: {', '.join(t for t in tags if t) or 'no tags'}")

    def manifest(self, descriptor: dict[str, Any] | None = None) -> tuple[bytes, str, str]:
        """(bytes, media type, digest), verified."""
        entry = descriptor or (manifests.descriptor(self.entry, self.label) if self.entry else self._top())
        return self.small_blob(entry, manifests.MAX_MANIFEST), entry["mediaType"], entry["digest"]

    def small_blob(self, descriptor: dict[str, Any], limit: int) -> bytes:
        """A whole small blob, verified. ImageError."""
        if descriptor["size"] > limit:
            raise ImageError(f"refused {self.label}", f"its configuration has {descriptor['size']} bytes, at most {limit} are allowed")
        data = self._read_file(f"blobs/sha256/{descriptor['hex']}", limit)
        if len(data) != descriptor["size"]:
            raise ImageError(f"damaged {self.label}", f"the blob {descriptor['digest']} has {len(data)} bytes, not {descriptor['size']}")
        if hashlib.sha256(data).hexdigest() != descriptor["hex"]:
            raise ImageError(f"damaged {self.label}", f"the blob {descriptor['digest']} has another digest")
        return data

    def copy_blob(self, descriptor: dict[str, Any], fd: int) -> None:
        """Write a blob's bytes to `fd`; the unpacker verifies them."""
        name = f"blobs/sha256/{descriptor['hex']}"
        try:
            source = self._open(name)
        except OSError as err:
            raise ImageError(f"damaged {self.label}", f"{os.path.join(self.path, name)}: {err.strerror}") from err
        try:
            while True:
                data = os.read(source, 1 << 20)
                if not data:
                    return
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(source)

    def close(self) -> None:
        """Nothing is held open."""


class DirSource(LayoutSource):
    """dir:DIR, one image: manifest.json beside blobs named by their digests."""

    transport = "dir"

    def __init__(self, path: str, demands: list[dict[str, Any]] | None = None) -> None:
        self.path, self.tag, self.entry = path, "", None
        self.demands = demands or []  # what the policy wants verified before anything is used
        self.reference = None
        self.label = f"image dir:{path}"
        self.index = {}

    def manifest(self, descriptor: dict[str, Any] | None = None) -> tuple[bytes, str, str]:
        """(bytes, media type, digest), verified where a descriptor says what is wanted."""
        name = f"{descriptor['hex']}.manifest.json" if descriptor else "manifest.json"
        data = self._read_file(name, manifests.MAX_MANIFEST)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if descriptor and digest != descriptor["digest"]:
            raise ImageError(f"damaged {self.label}", f"{name} has another digest")
        return data, "", digest

    def _open(self, name: str) -> int:
        return super()._open(name.removeprefix("blobs/sha256/"))

    def names(self) -> list[str]:
        """None: the format has no names."""
        return []

    def simple_signatures(self, digest: str) -> list[bytes]:
        """The signatures of a manifest. ImageError."""
        from pyman.image import lookaside

        top = digest == self.manifest()[2]
        return lookaside.files(self.path, f"cannot read the signatures of {self.label}", "" if top else f"{digest[7:]}.")

    def signatures_place(self) -> str:
        """Where they are looked for."""
        return self.path


def tag_of(entry: dict[str, Any]) -> str:
    """The tag an index gives an image, or nothing."""
    annotations = entry.get("annotations")
    value = annotations.get(REF) if isinstance(annotations, dict) else ""
    return value if isinstance(value, str) else ""


def split(text: str) -> tuple[str, str]:
    """(directory, tag): a tag follows the first colon, unless the whole text is a directory."""
    if os.path.isdir(text):
        return text, ""
    directory, _, tag = text.partition(":")
    return directory, tag

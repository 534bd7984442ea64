"""Archives as sources: oci-archive:FILE[:TAG], and whatever `load` is given. Slow path. Nothing in an archive is trusted."""

from __future__ import annotations

import os

from pyman.errors import ImageError, PymanError
from pyman.image import layout, reference
from pyman.image.archive_file import Archive, split
from pyman.image.docker_archive import DockerArchive, docker_entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class OciArchive(layout.LayoutSource):
    """An OCI layout inside a tar file; entry: the image, if it is not to be chosen by the tag."""

    transport = "oci-archive"

    def __init__(self, text: str, archive: Archive | None = None, entry: dict[str, Any] | None = None) -> None:
        path, tag = split(text) if archive is None else (archive.path, "")
        self.archive = (archive or Archive(path, f"image oci-archive:{text}")).take()
        try:
            super().__init__(f"{path}:{tag}" if tag else path)
        except BaseException:
            self.archive.close()
            raise
        self.path, self.tag = path, tag
        self.label = f"image oci-archive:{text}"
        self.entry = entry

    def _read_file(self, name: str, limit: int) -> bytes:
        return self.archive.read(name, limit)

    def copy_blob(self, descriptor: dict[str, Any], fd: int) -> None:
        """Write a blob's bytes to `fd`; the unpacker verifies them."""
        self.archive.copy(f"blobs/sha256/{descriptor['hex']}", fd)

    def names(self) -> list[str]:
        """localhost/FILE:TAG, or the tag itself where it is a full image name; none where `load` found none."""
        entries = [self.entry] if self.entry else self.entries()
        tag = self.tag or (layout.tag_of(entries[0]) if entries else "")
        if tag and not reference.is_short(tag):
            return [reference.parse(tag).name()]
        if self.entry:
            return [reference.normalise_tag(tag)] if tag and ("/" in tag or ":" in tag) else []
        base = os.path.basename(self.path).rsplit(".", 1)[0].lower()
        return [reference.normalise_tag(f"{base}:{tag}" if tag else base)]

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()


def open_archive(transport: str, text: str) -> Any:
    """The source of an archive transport."""
    return OciArchive(text) if transport == "oci-archive" else DockerArchive(text)


def everything(path: str, label: str) -> list[Any]:
    """A source for each image in an archive or directory of any format that `load` knows. NoSuchImage, ImageError, StorageError."""
    if os.path.isdir(path):
        return _directory(path, label)
    archive = Archive(path, label).take()
    made: list[Any] = []
    try:
        if "manifest.json" in archive.files:
            made = [DockerArchive(path, archive, entry) for entry in docker_entries(archive)]
        elif "index.json" in archive.files:
            top = OciArchive(path, archive)
            made = [OciArchive(path, archive, entry) for entry in top.entries()]
            top.close()
        if not made:
            raise ImageError(
                f"cannot load {label}", "it is neither a docker-archive nor an oci-archive", "pyman import makes an image of a plain tar"
            )
        return made
    except PymanError:
        for source in made:
            source.close()
        raise
    finally:
        archive.close()


def _directory(path: str, label: str) -> list[Any]:
    if os.path.exists(os.path.join(path, "index.json")):
        top = layout.LayoutSource(path)
        return [layout.LayoutSource(path, entry) for entry in top.entries()]
    if os.path.exists(os.path.join(path, "manifest.json")):
        return [layout.DirSource(path)]
    raise ImageError(f"cannot load {label}", "the directory holds neither an OCI layout nor an image of the transport dir:")

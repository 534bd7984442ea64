"""Archives as sources: oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], and whatever `load` is given. Slow path.

An archive is read where it lies, by an index of its members; a compressed one, or one that comes through a pipe, is first written to a file
without a name by a child that can do nothing else. Nothing in it is trusted.
"""

from __future__ import annotations

import hashlib
import os
import stat

from pyman.errors import ImageError, NoSuchImage, PymanError
from pyman.image import layout, manifest, output, reference
from pyman.linux import libc, process
from pyman.storage import decompress, tarindex, workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_RATIO = 2000  # plain bytes per compressed byte, beyond the first GiB
_FREE_BYTES = 1 << 30


def _split(text: str) -> tuple[str, str]:
    if os.path.exists(text):
        return text, ""
    path, colon, rest = text.partition(":")
    return (path, rest) if colon else (text, "")


def open_plain(path: str, label: str) -> int:
    """A descriptor of a plain, seekable archive: the file itself, or what it (or a pipe) expands to. NoSuchImage, ImageError, StorageError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY) if path != "-" else os.dup(0)
        mode = os.fstat(fd).st_mode
    except OSError as err:
        raise NoSuchImage(f"cannot read {label}", f"{path}: {err.strerror}") from err
    if stat.S_ISDIR(mode):
        os.close(fd)
        raise NoSuchImage(f"cannot read {label}", f"{path} is a directory, not an archive", "oci:DIRECTORY or dir:DIRECTORY")
    if stat.S_ISREG(mode):
        head = os.pread(fd, 8, 0)
        if os.lseek(fd, 0, os.SEEK_CUR) == 0 and decompress.kind_of("", head) == decompress.PLAIN:
            return fd
    try:
        return expand(fd, label)
    finally:
        os.close(fd)


def expand(fd: int, label: str) -> int:
    """A file without a name that holds what the (compressed) stream `fd` expands to. ImageError, StorageError."""
    decompress.prepare()
    out = output.spool()
    read_end, write_end = os.pipe()

    def child() -> int:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
        workers.confine([], [])
        workers.report(write_end, workers.answer_of(lambda: _expand(fd, out), f"read {label}"))
        return 0

    try:
        pid = process.fork(child, "pyman:[expand]", (fd, out, write_end))
        os.close(write_end)
        workers.result(pid, read_end, f"read {label}")
    except BaseException:
        os.close(out)
        raise
    return out


def _expand(fd: int, out: int) -> dict[str, Any]:
    taken = 0

    def source(size: int) -> bytes:
        nonlocal taken
        data = os.read(fd, size)
        taken += len(data)
        return data

    engine = decompress.Decompressor("", source)
    size = 0
    while piece := engine.read():
        size += len(piece)
        if size > _FREE_BYTES and size > taken * _MAX_RATIO:
            raise ImageError("refused archive", f"it expands more than {_MAX_RATIO} times: a decompression bomb")
        view = memoryview(piece)
        while view:
            view = view[os.write(out, view) :]
    return {"size": size}


class Archive:
    """The files of one archive; sources share it, and the last one closes it."""

    def __init__(self, path: str, label: str) -> None:
        self.path = path
        self.label = label
        self.users = 0
        self.fd = open_plain(path, label)
        try:
            self.files = tarindex.index(self.fd)
        except ImageError as err:
            archive = os.pread(self.fd, 8, 257).startswith(b"ustar")
            os.close(self.fd)
            if not archive:
                raise ImageError(f"cannot read {label}", "the file is no tar archive", f"look at it: file {path}") from err
            raise ImageError(f"{err.what.split(' ')[0]} {label}", err.why, err.hint) from err

    def place(self, name: Any) -> tuple[int, int]:
        """(offset, size) of a file. ImageError."""
        clean = os.path.normpath(os.path.join("/", name))[1:] if isinstance(name, str) else ""
        if clean not in self.files:
            raise ImageError(f"damaged {self.label}", f"it has no file {str(name)[:200]!r}")
        return self.files[clean]

    def read(self, name: Any, limit: int) -> bytes:
        """A whole small file; at most limit + 1 bytes of it."""
        at, size = self.place(name)
        return os.pread(self.fd, min(size, limit + 1), at)

    def copy(self, name: Any, fd: int) -> None:
        """A file's bytes to a pipe. ImageError."""
        at, size = self.place(name)
        try:
            output.copy(self.fd, fd, size, at)
        except EOFError as err:
            raise ImageError(f"damaged {self.label}", "it was made shorter meanwhile") from err

    def take(self) -> Archive:
        """One more source uses it."""
        self.users += 1
        return self

    def close(self) -> None:
        """One source less uses it."""
        self.users -= 1
        if self.users <= 0 and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class OciArchive(layout.LayoutSource):
    """An OCI layout inside a tar file; entry: the image, if it is not to be chosen by the tag."""

    transport = "oci-archive"

    def __init__(self, text: str, archive: Archive | None = None, entry: dict[str, Any] | None = None) -> None:
        path, tag = _split(text) if archive is None else (archive.path, "")
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


class DockerArchive:
    """The format of `docker save`: manifest.json with one entry per image, layers as tars; entry: the image, if it is not chosen by name."""

    remote = False
    transport = "docker-archive"

    def __init__(self, text: str, archive: Archive | None = None, entry: dict[str, Any] | None = None) -> None:
        path, name = _split(text) if archive is None else (archive.path, "")
        self.label = f"image docker-archive:{text}"
        self.archive = (archive or Archive(path, self.label)).take()
        try:
            self.entry = entry or self._choose(name)
            self._describe()
        except BaseException:
            self.archive.close()
            raise

    def _choose(self, name: str) -> dict[str, Any]:
        images = docker_entries(self.archive)
        wanted = [entry for entry in images if not name or name in entry["RepoTags"] or f"{name}:latest" in entry["RepoTags"]]
        if len(wanted) != 1:
            tags = ", ".join(tag for entry in images for tag in entry["RepoTags"]) or "none"
            raise NoSuchImage(
                f"cannot choose an image of {self.label}",
                f"{len(wanted)} images fit; the archive has: {tags}",
                "name one: docker-archive:FILE:NAME",
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


def docker_entries(archive: Archive) -> list[dict[str, Any]]:
    """The images that a docker archive's manifest.json lists. ImageError."""
    import json

    try:
        entries = json.loads(archive.read("manifest.json", manifest.MAX_MANIFEST))
        images = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("Layers"), list)]
        for entry in images:
            tags = entry["RepoTags"] = entry.get("RepoTags") or []
            if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
                raise ValueError("its RepoTags are no list of names")
    except (ValueError, TypeError, RecursionError) as err:
        raise ImageError(f"damaged {archive.label}", f"its manifest.json cannot be read: {err}") from err
    return images


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

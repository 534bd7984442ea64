"""oci-archive: and docker-archive: as targets: tar files written from the front to the end. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading

from pyman import stages
from pyman.errors import ImageError, StorageError
from pyman.image import layout, output, reference
from pyman.image import manifest as manifests
from pyman.image.output import Output
from pyman.storage import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Start = Callable[[int], dict[str, Any]]


class _Tar:
    """A tar file being written; several threads may add members."""

    place = ""
    plain = False  # whether layers must not be compressed

    def __init__(self, out: Output, label: str) -> None:
        self.out = out
        self.label = label
        self._guard = threading.Lock()
        self._written: dict[str, Any] = {}
        self._end = 0  # of what is written, or promised to a member that is being written

    def _claim(self, size: int) -> int:
        """The place of a member of `size` bytes with its head and padding. The caller holds the guard."""
        at = self._end
        self._end += 512 + size + -size % 512
        return at

    def _head(self, name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        if name.endswith("/"):
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        return info.tobuf(tarfile.GNU_FORMAT)

    def _failed(self, err: OSError) -> StorageError:
        return StorageError(f"cannot write {self.label}", err.strerror or str(err), errno=err.errno or 0)

    def _add(self, name: str, data: bytes) -> None:
        with self._guard:
            if name in self._written:
                return
            self._written[name] = True
            at = self._claim(len(data))
            self._whole(at, self._head(name, len(data)) + data + b"\0" * (-len(data) % 512))

    def _whole(self, at: int, data: bytes) -> None:
        """Write something small, where it belongs. StorageError."""
        try:
            if not self.out.seekable:
                self.out.write(data)
                return
            view = memoryview(data)
            while view:
                done = os.pwrite(self.out.fd, view, at)
                view, at = view[done:], at + done
        except OSError as err:
            raise self._failed(err) from err

    def finish(self) -> None:
        """The end mark; the file gets its name. StorageError."""
        self._whole(self._end, b"\0" * 1024)
        stages.reach("save:written")
        self.out.finish()

    def close(self) -> None:
        """Forget the file if it is not complete."""
        self.out.close()


class OciArchiveTarget(_Tar):
    """An OCI layout as a tar file. Layers wait in files without names: their digests, which name them, are known at their ends."""

    default_kind = "gzip"
    parallel = True

    def __init__(self, out: Output, tag: str, label: str) -> None:
        super().__init__(out, label)
        for name in ("blobs/", "blobs/sha256/"):  # skopeo would give parents that it has to make to root
            self._add(name, b"")
        self.tag = tag
        self._top: dict[str, Any] = {}

    def known(self, diff_id: str, candidates: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Nothing: a new archive."""
        return None

    def put(self, start: Start, diff_id: str) -> dict[str, Any]:
        """Add the blob that `start(fd)` writes. StorageError, ImageError."""
        try:
            fd = output.spool()
            try:
                done = start(fd)
                name = f"blobs/sha256/{done['digest']}"
                with self._guard:
                    if name not in self._written:
                        self._written[name] = True
                        self._blob(name, fd, done["size"])
            finally:
                os.close(fd)
        except OSError as err:
            raise self._failed(err) from err
        return done

    def _blob(self, name: str, fd: int, size: int) -> None:
        at = self._claim(size)
        self._whole(at, self._head(name, size))
        if self.out.seekable:
            os.lseek(self.out.fd, at + 512, os.SEEK_SET)
        output.copy(fd, self.out.fd, size)
        self._whole(at + 512 + size, b"\0" * (-size % 512))

    def put_blob(self, data: bytes, digest: str) -> None:
        """Add a small blob. StorageError."""
        self._add(f"blobs/sha256/{digest[7:]}", data)

    def put_manifest(self, data: bytes, media_type: str, *, top: bool = True) -> None:
        """Add a manifest or index. StorageError."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.put_blob(data, digest)
        if top:
            self._top = {"mediaType": media_type, "digest": digest, "size": len(data)}

    def finish(self) -> None:
        """Name the image, and end the archive. StorageError."""
        import json

        entry = {**self._top, **({"annotations": {layout.REF: self.tag}} if self.tag else {})}
        self._add("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        self._add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        super().finish()


class DockerArchiveTarget(_Tar):
    """The format of `docker save`: plain layers, any number of images, which share them. `names`: those of the next image."""

    default_kind = ""
    plain = True

    def __init__(self, out: Output, label: str) -> None:
        super().__init__(out, label)
        self.parallel = out.seekable  # sizes are known, so layers can be written beside each other; a pipe takes one at a time
        self.names: list[str] = []
        self._images: list[dict[str, Any]] = []

    def known(self, diff_id: str, candidates: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Whether an earlier image of the archive has brought the layer."""
        found: dict[str, Any] | None = self._written.get(diff_id)
        return found

    def put(self, start: Start, diff_id: str) -> dict[str, Any]:
        """Add the plain layer that `start(fd)` writes. StorageError, ImageError."""
        size = int(layers.read_info(diff_id).get("plain_size", -1))
        if size < 0:
            raise ImageError(
                f"cannot write {self.label}", f"the size of layer {diff_id[:12]} is not known", "remove the image and pull it again"
            )
        with self._guard:
            at = self._claim(size)
        self._whole(at, self._head(f"{diff_id}.tar", size))
        try:
            fd = self.out.at(at + 512) if self.out.seekable else os.dup(self.out.fd)
            try:
                done = start(fd)
            finally:
                os.close(fd)
        except OSError as err:
            raise self._failed(err) from err
        if done["size"] != size:
            raise ImageError(f"cannot write {self.label}", f"layer {diff_id[:12]} has {done['size']} bytes, not {size}")
        self._whole(at + 512 + size, b"\0" * (-size % 512))
        self._written[diff_id] = {"digest": f"sha256:{diff_id}", "size": size, "mediaType": "", "kind": ""}
        return done

    def put_blob(self, data: bytes, digest: str) -> None:
        """The image's configuration. StorageError."""
        self._add(f"{digest[7:]}.json", data)

    def put_manifest(self, data: bytes, media_type: str, *, top: bool = True) -> None:
        """Note the image for manifest.json. ImageError for an index."""
        value = manifests.loads(data, self.label, manifests.MAX_MANIFEST)
        if "manifests" in value:
            raise ImageError(f"cannot write {self.label}", "the format has no lists of images", "use oci-archive:")
        config = value["config"]["digest"][7:] + ".json"
        entry = {"Config": config, "RepoTags": self.names, "Layers": [layer["digest"][7:] + ".tar" for layer in value["layers"]]}
        for known in self._images:
            if known["Config"] == config:
                known["RepoTags"] = list(dict.fromkeys([*known["RepoTags"], *self.names]))
                return
        self._images.append(entry)

    def finish(self) -> None:
        """List the images, and end the archive. StorageError."""
        import json

        repositories: dict[str, dict[str, str]] = {}
        for image in self._images:
            for name in image["RepoTags"]:
                parsed = reference.parse(name)
                base = f"{parsed.registry}/{parsed.repository}"
                if image["Layers"]:
                    repositories.setdefault(base, {})[parsed.tag] = image["Layers"][-1][:-4]
        self._add("manifest.json", json.dumps(self._images).encode())
        self._add("repositories", json.dumps(repositories).encode())
        super().finish()

"""oci:DIR[:TAG] and dir:DIR as targets: blobs as files, each complete before it has its name. CLI process, slow path."""

from __future__ import annotations

import hashlib
import os
import re

from pyman.errors import ImageError, PymanError, StorageError
from pyman.image import layout
from pyman.image import manifest as manifests
from pyman.state import fastjson, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Start = Callable[[int], dict[str, Any]]

_OURS = re.compile(r"^(?:[0-9a-f]{64}(?:\.manifest\.json)?|manifest\.json|signature-[0-9]+|version)$")


class _Files:
    """Blobs in one directory, by the hex digits of their digests."""

    default_kind = ""
    parallel = True
    plain = False
    place = ""

    def __init__(self, directory: str, label: str) -> None:
        self.blobs = directory
        self.label = label
        self._unfinished: set[str] = set()

    def known(self, diff_id: str, candidates: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The first of `candidates` that is there."""
        for candidate in candidates:
            try:
                if os.lstat(os.path.join(self.blobs, candidate["digest"][7:])).st_size == candidate["size"]:
                    return candidate
            except OSError:
                continue
        return None

    def put(self, start: Start, diff_id: str) -> dict[str, Any]:
        """The stream that `start(fd)` writes, as a blob; what `start` returned. StorageError, ImageError."""
        temp = os.path.join(self.blobs, f".{os.urandom(8).hex()}.tmp")
        self._unfinished.add(temp)
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                done = start(fd)
            finally:
                os.close(fd)
            os.rename(temp, os.path.join(self.blobs, done["digest"]))
        except OSError as err:
            raise StorageError(f"cannot write {self.label}", err.strerror or str(err), errno=err.errno or 0) from err
        self._unfinished.discard(temp)
        return done

    def put_blob(self, data: bytes, digest: str) -> None:
        """A small blob. StorageError."""
        self._write(digest[7:], data)

    def _write(self, name: str, data: bytes) -> None:
        store.write_text(os.path.join(self.blobs, name), data.decode("utf-8", "surrogateescape"), 0o644)

    def close(self) -> None:
        """Delete what is unfinished."""
        for path in self._unfinished:
            try:
                os.unlink(path)
            except OSError:
                continue
        self._unfinished.clear()


class LayoutTarget(_Files):
    """An OCI image layout; one that is there already keeps its other images."""

    default_kind = "gzip"

    def __init__(self, path: str, tag: str) -> None:
        self.path, self.tag = path, tag
        super().__init__(os.path.join(path, "blobs/sha256"), f"oci:{path}" + (f":{tag}" if tag else ""))
        self._top: dict[str, Any] = {}
        try:
            os.makedirs(self.blobs, exist_ok=True)
        except OSError as err:
            raise StorageError(f"cannot write {self.label}", f"{self.path}: {err.strerror}", errno=err.errno or 0) from err

    def put_manifest(self, data: bytes, media_type: str, *, top: bool = True) -> None:
        """A manifest or index; the top one is named in index.json by `finish`. StorageError."""
        digest = hashlib.sha256(data).hexdigest()
        self._write(digest, data)
        if top:
            self._top = {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def finish(self) -> None:
        """Name the image in index.json. StorageError, ImageError."""
        entry = {**self._top, **({"annotations": {layout.REF: self.tag}} if self.tag else {})}
        with Lock(self.path):
            path = os.path.join(self.path, "index.json")
            text = store.read_text(path, manifests.MAX_MANIFEST)
            index = manifests.loads(text.encode(), self.label, manifests.MAX_MANIFEST) if text else {"schemaVersion": 2, "manifests": []}
            known = index.get("manifests")
            if not isinstance(known, list) or not all(isinstance(old, dict) for old in known):
                raise ImageError(f"cannot write {self.label}", f"{path} is damaged: it has no list of manifests")
            same = (
                (lambda old: layout.tag_of(old) == self.tag)
                if self.tag
                else (lambda old: not layout.tag_of(old) and old.get("digest") == entry["digest"])
            )
            index["manifests"] = [old for old in known if not same(old)] + [entry]
            store.write_text(os.path.join(self.path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}', 0o644)
            store.write_text(path, fastjson.dumps(index), 0o644)


class DirTarget(_Files):
    """One image as files in a directory, as skopeo's and Podman's dir: transport has it."""

    def __init__(self, text: str, compress: bool = False) -> None:
        super().__init__(text, f"dir:{text}")
        self.default_kind = "gzip" if compress else ""
        try:
            os.makedirs(text, exist_ok=True)
            names = os.listdir(text)
            if names and "version" not in names:
                raise PymanError(f"cannot write {self.label}", "the directory is not empty and holds no image", "name a new directory")
            for name in names:
                if _OURS.match(name):
                    os.unlink(os.path.join(text, name))
        except OSError as err:
            raise StorageError(f"cannot write {self.label}", f"{err.filename}: {err.strerror}", errno=err.errno or 0) from err

    def put_manifest(self, data: bytes, media_type: str, *, top: bool = True) -> None:
        """The image's manifest, or that of one image of an index. StorageError."""
        self._write("manifest.json" if top else hashlib.sha256(data).hexdigest() + ".manifest.json", data)

    def finish(self) -> None:
        """Say what the directory is."""
        self._write("version", b"Directory Transport Version: 1.1\n")

"""Artifacts on disk: graphroot/artifacts, an OCI image layout of its own whose entries have names. CLI process, slow path.

Blobs are written to files without names and get them under the lock, with the index that names them: a killed command leaves nothing.
"""

from __future__ import annotations

import hashlib
import os

from pyman import paths, stages
from pyman.errors import ImageError, NoSuchObject, PymanError, StateError, StorageError
from pyman.state import fastjson, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

REF = "org.opencontainers.image.ref.name"
_LIMIT = 4 << 20  # bytes of a manifest


class Artifact:
    """One artifact: its name, the hex digits of its manifest's digest, the manifest as bytes and as a value."""

    __slots__ = ("data", "digest", "name", "value")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.digest = hashlib.sha256(data).hexdigest()
        self.value: dict[str, Any] = fastjson.loads(data)

    def blobs(self) -> list[dict[str, Any]]:
        """The descriptors of its files."""
        return list(self.value.get("layers") or [])

    def size(self) -> int:
        """Bytes of all files."""
        return sum(int(blob["size"]) for blob in self.blobs())


class Blob:
    """A file without a name that is going to be a blob: write to it, then `seal`."""

    __slots__ = ("_hash", "digest", "fd", "size")

    def __init__(self) -> None:
        try:
            os.makedirs(os.path.join(_directory(), "blobs/sha256"), 0o700, exist_ok=True)
            self.fd = os.open(_directory(), os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
            os.fchmod(self.fd, 0o644)  # the directory is private; a container's users are to read what is mounted
        except OSError as err:
            raise StorageError("cannot store an artifact", err.strerror or str(err), errno=err.errno or 0) from err
        self._hash = hashlib.sha256()
        self.size = 0
        self.digest = ""

    def write(self, data: bytes) -> None:
        """Add bytes. StorageError."""
        self._hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.fd, view) :]
        except OSError as err:
            hint = "free some disk space" if err.errno == 28 else ""
            raise StorageError("cannot store an artifact", err.strerror or str(err), hint, errno=err.errno or 0) from err

    def seal(self) -> Blob:
        """It is complete."""
        self.digest = self._hash.hexdigest()
        return self

    def place(self) -> None:
        """Give it its name. The caller holds the lock."""
        links = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fdatasync(self.fd)
            os.link(str(self.fd), path(self.digest), src_dir_fd=links, follow_symlinks=True)
        except FileExistsError:
            pass
        finally:
            os.close(links)

    def close(self) -> None:
        """Forget it, if it has no name."""
        os.close(self.fd)


def _directory() -> str:
    return os.path.join(paths.graphroot(), "artifacts")


def path(digest_hex: str) -> str:
    """Where a blob lies."""
    return os.path.join(_directory(), "blobs/sha256", digest_hex)


def load() -> list[Artifact]:
    """All artifacts. StorageError, ImageError."""
    index = store.read_json(os.path.join(_directory(), "index.json"))
    return [_read(entry) for entry in (index or {}).get("manifests") or []]


def _read(entry: dict[str, Any]) -> Artifact:
    name = str((entry.get("annotations") or {}).get(REF) or "")
    digest = str(entry["digest"]).removeprefix("sha256:")
    try:
        with open(path(digest), "rb") as file:
            data = file.read(_LIMIT)
    except OSError as err:
        raise ImageError(
            f"damaged artifact {name}", f"its manifest: {err.strerror}", f"pyman artifact rm {name}, and pull it again"
        ) from err
    if hashlib.sha256(data).hexdigest() != digest:
        raise ImageError(f"damaged artifact {name}", "its manifest has another digest", f"pyman artifact rm {name}, and pull it again")
    return Artifact(name, data)


def find(artifacts: list[Artifact], name: str) -> Artifact:
    """The artifact with this name, or the digest that begins so. NoSuchObject, StateError."""
    for known in artifacts:
        if known.name == name or known.name == f"{name}:latest":
            return known
    prefix = name.removeprefix("sha256:")
    if len(prefix) >= 3 and not prefix.strip("0123456789abcdef"):
        found = {known.digest: known for known in artifacts if known.digest.startswith(prefix)}
        if len(found) > 1:
            raise StateError(f"cannot choose an artifact for {name}", "several digests begin so", "give more of it")
        if found:
            return next(iter(found.values()))
    raise NoSuchObject(f"{name}: artifact does not exist", "", "pyman artifact ls")


def change(action: Callable[[list[Artifact]], Any], blobs: list[Blob] | None = None) -> Any:
    """Let `action` change the list of artifacts under the lock, with `blobs` in place; what it returns. Blobs nobody names any more go."""
    paths.ensure_private(paths.graphroot())
    os.makedirs(os.path.join(_directory(), "blobs/sha256"), 0o700, exist_ok=True)
    with Lock(_directory()):
        artifacts = load()
        result = action(artifacts)
        for blob in blobs or []:
            blob.place()
        stages.reach("artifact:blobs")
        entries = []
        for known in artifacts:
            made = Blob()
            made.write(known.data)
            made.seal().place()
            made.close()
            entry = {"mediaType": known.value.get("mediaType") or "", "digest": f"sha256:{known.digest}", "size": len(known.data)}
            entries.append({**entry, "annotations": {REF: known.name}})
        store.write_text(os.path.join(_directory(), "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
        store.write_json(os.path.join(_directory(), "index.json"), {"schemaVersion": 2, "manifests": entries}, sync=True)
        stages.reach("artifact:index")
        _collect(artifacts)
        return result


def _collect(artifacts: list[Artifact]) -> None:
    used = {known.digest for known in artifacts}
    for known in artifacts:
        used.update(str(blob["digest"])[7:] for blob in [*known.blobs(), known.value["config"]])
    base = os.path.join(_directory(), "blobs/sha256")
    for name in os.listdir(base):
        if name not in used:
            os.unlink(os.path.join(base, name))


def pieces(digest_hex: str) -> Iterator[bytes]:
    """A blob's bytes. ImageError."""
    try:
        fd = os.open(path(digest_hex), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise ImageError("damaged artifact", f"the blob {digest_hex[:12]}: {err.strerror}", "pull or add it again") from err
    try:
        while data := os.read(fd, 1 << 20):
            yield data
    finally:
        os.close(fd)


def survey() -> Iterator[tuple[str, list[str], str]]:
    """(name, digests of its blobs, what is wrong) of every artifact; an index that cannot be read is one, too."""
    try:
        index = store.read_json(os.path.join(_directory(), "index.json"))
        entries = list((index or {}).get("manifests") or [])
    except (StorageError, TypeError) as err:
        yield "index.json", [], str(err)
        return
    for entry in entries:
        try:
            known = _read(entry)
            digests = [str(blob["digest"]).removeprefix("sha256:") for blob in [*known.blobs(), known.value["config"]]]
            yield known.name, digests, ""
        except ImageError as err:
            yield str((entry.get("annotations") or {}).get(REF) or ""), [], err.why
        except (ValueError, KeyError, TypeError, AttributeError):
            yield str(entry)[:80], [], "its entry in the index, or its manifest, is damaged"


def blob_problem(digest_hex: str) -> str:
    """What is wrong with a blob; empty if its bytes have that digest."""
    digest = hashlib.sha256()
    try:
        for piece in pieces(digest_hex):
            digest.update(piece)
    except ImageError as err:
        return err.why
    return "" if digest.hexdigest() == digest_hex else f"the blob {digest_hex[:12]} is damaged"


def drop_damaged(names: set[str]) -> None:
    """Take artifacts out of the index by name, without reading them; blobs nobody names any more go. StorageError."""
    with Lock(_directory()):
        place = os.path.join(_directory(), "index.json")
        try:
            entries = list((store.read_json(place) or {}).get("manifests") or [])
        except (StorageError, TypeError):
            entries = []
        kept = []
        for entry in entries:
            try:
                if str((entry.get("annotations") or {}).get(REF) or "") not in names:
                    kept.append(_read(entry))
            except (PymanError, ValueError, KeyError, TypeError, AttributeError):
                continue
        known = {artifact.digest for artifact in kept}
        left = [entry for entry in entries if str(entry.get("digest", "")).removeprefix("sha256:") in known]
        store.write_json(place, {"schemaVersion": 2, "manifests": left}, sync=True)
        _collect(kept)

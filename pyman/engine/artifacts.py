"""Artifacts in the store: add files, extract them, look, remove. CLI process, slow path."""

from __future__ import annotations

import os
import time

from pyman.errors import ImageError, NameInUse, NoSuchObject, StateError, StorageError, UsageError
from pyman.image import indexes, reference
from pyman.image import manifest as formats
from pyman.state import events
from pyman.storage import artifacts
from pyman.storage.artifacts import Artifact, Blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLE, CREATED = "org.opencontainers.image.title", "org.opencontainers.image.created"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_SNIFFED = (
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"\0asm", "application/wasm"),
    (b"<?xml", "text/xml; charset=utf-8"),
    (b"<html", "text/html; charset=utf-8"),
    (b"<!doctype html", "text/html; charset=utf-8"),
)


def check_name(name: str) -> str:
    """A name for an artifact, as it was given. UsageError."""
    parsed = reference.parse(f"localhost/{name}" if reference.is_short(name) else name)
    if parsed.digest:
        raise UsageError(f"invalid artifact name {name!r}", "a name given to an artifact cannot have a digest")
    return name


def _media_type(head: bytes) -> str:
    for magic, kind in _SNIFFED:
        if head.lstrip()[: len(magic)].lower() == magic.lower() or head.startswith(magic):
            return kind
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return "application/octet-stream"
    return "text/plain; charset=utf-8"


def _store_file(path: str) -> tuple[Blob, bytes]:
    """(the file's bytes as a blob, its first ones). UsageError, StorageError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as err:
        raise UsageError(f"cannot add {path}", err.strerror or str(err)) from err
    blob = Blob()
    head = b""
    try:
        while data := os.read(fd, 1 << 20):
            head = head or data[:512]
            blob.write(data)
    except OSError as err:
        blob.close()
        raise UsageError(f"cannot add {path}", err.strerror or str(err)) from err
    finally:
        os.close(fd)
    return blob.seal(), head


def add(name: str, files: list[str], opts: dict[str, Any]) -> str:
    """Make an artifact of files, or add files to one; its digest. opts: annotation, append, file_type, replace, type.

    UsageError, NameInUse, NoSuchObject, StorageError.
    """
    check_name(name)
    if opts["append"] and (opts["type"] or opts["replace"]):
        raise UsageError(
            f"cannot use --append together with --{'type' if opts['type'] else 'replace'}", "the artifact is there and keeps its type"
        )
    notes = indexes.pairs(opts["annotation"], "--annotation")
    blobs: list[Blob] = []
    layers = []
    try:
        for path in files:
            blob, head = _store_file(path)
            blobs.append(blob)
            kind = opts["file_type"] or _media_type(head)
            made = {"mediaType": kind, "digest": f"sha256:{blob.digest}", "size": blob.size}
            layers.append({**made, "annotations": {TITLE: os.path.basename(path), **notes}})
        config = Blob()
        blobs.append(config)
        config.write(b"{}")
        config.seal()
        change = _appended if opts["append"] else _added
        digest = str(artifacts.change(lambda known: change(known, name, layers, config.digest, notes, opts), blobs))
    finally:
        for blob in blobs:
            blob.close()
    events.emit("artifact", "add", digest, name)
    return digest


def _added(known: list[Artifact], name: str, layers: list[dict[str, Any]], config: str, notes: dict[str, str], opts: dict[str, Any]) -> str:
    old = next((one for one in known if one.name == name), None)
    if old and not opts["replace"]:
        raise NameInUse(f"{name}: artifact already exists", "", "--replace, or --append to add the files to it")
    _no_doubles(layers)
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": formats.MANIFESTS[0]}
    if opts["type"]:
        value["artifactType"] = opts["type"]
    value["config"] = {"mediaType": _EMPTY_TYPE, "digest": f"sha256:{config}", "size": 2, "data": "e30="}
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e9):09d}Z"
    value.update(layers=layers, annotations={**notes, CREATED: moment})
    made = Artifact(name, indexes.dump(value))
    known[:] = [one for one in known if one is not old] + [made]
    return made.digest


def _appended(
    known: list[Artifact], name: str, layers: list[dict[str, Any]], config: str, notes: dict[str, str], opts: dict[str, Any]
) -> str:
    old = artifacts.find(known, name)
    value = {**old.value, "layers": [*old.blobs(), *layers]}
    _no_doubles(value["layers"])
    made = Artifact(old.name, indexes.dump(value))
    known[:] = [made if one is old else one for one in known]
    return made.digest


def _no_doubles(layers: list[dict[str, Any]]) -> None:
    titles = [title_of(layer) for layer in layers if title_of(layer)]
    for title in titles:
        if titles.count(title) > 1:
            raise NameInUse(f"{title}: file already exists in artifact", "", "rename one of them")


def created(one: Artifact) -> float:
    """When an artifact was made, in seconds since 1970; 0 if it does not say."""
    from pyman.image import pull

    notes = one.value.get("annotations")
    return pull.epoch(str(notes.get(CREATED) or "")) if isinstance(notes, dict) else 0.0


def title_of(blob: dict[str, Any]) -> str:
    """The file name that a blob has; empty if it has none."""
    notes = blob.get("annotations")
    value = notes.get(TITLE) if isinstance(notes, dict) else ""
    return value if isinstance(value, str) else ""


def remove(names: list[str], *, everything: bool = False, ignore: bool = False) -> list[str]:
    """Remove artifacts; their digests. NoSuchObject, before anything is removed."""

    def action(known: list[Artifact]) -> list[Artifact]:
        gone = list(known) if everything else []
        for name in names:
            try:
                gone.append(artifacts.find(known, name))
            except NoSuchObject:
                if not ignore:
                    raise
        known[:] = [one for one in known if one not in gone]
        return list(dict.fromkeys(gone))

    gone: list[Artifact] = artifacts.change(action)
    for one in gone:
        events.emit("artifact", "remove", one.digest, one.name)
    return [one.digest for one in gone]


def extract(name: str, path: str, *, digest: str = "", title: str = "") -> None:
    """Write an artifact's files into the directory `path`, or one of them to the file `path`. NoSuchObject, StateError, ImageError, StorageError."""
    if digest and title:
        raise UsageError("cannot use --digest together with --title", "each of them says which file is meant")
    found = artifacts.find(artifacts.load(), name)
    blobs = choose(found, digest, title)
    if os.path.isdir(path):
        base = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for blob in blobs:
                _write(blob, file_name(blob, found.name), base)
        finally:
            os.close(base)
        return
    if len(blobs) != 1:
        raise StateError(
            "the artifact consists of several blobs",
            f'the target "{path}" is not a directory and neither digest or title was specified to only copy a single blob',
            "--title NAME, or a directory",
        )
    _write(blobs[0], path, None)


def choose(found: Artifact, digest: str, title: str) -> list[dict[str, Any]]:
    """The blob with a digest or title; all of them without. NoSuchObject."""
    blobs = found.blobs()
    if not digest and not title:
        return blobs
    chosen = [blob for blob in blobs if (blob["digest"] in (digest, f"sha256:{digest}") if digest else title_of(blob) == title)]
    if len(chosen) != 1:
        what = f"digest {digest}" if digest else f'title "{title}"'
        raise NoSuchObject(f"{'several blobs' if chosen else 'no blob'} with the {what}", f"the artifact is {found.name}")
    return chosen


def file_name(blob: dict[str, Any], artifact: str) -> str:
    """What a blob's file is called: a name that a stranger chose never leads out of the directory. ImageError."""
    title = title_of(blob) or str(blob["digest"])[7:]
    if "/" in title or "\0" in title or title in (".", "..") or len(os.fsencode(title)) > 255:
        raise ImageError(
            f"refused artifact {artifact}", f"one of its files is called {title[:200]!r}", "--title and a file's path choose another name"
        )
    return title


def _write(blob: dict[str, Any], name: str, base: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | (os.O_NOFOLLOW if base is not None else 0)
    try:
        fd = os.open(name, flags, 0o644, dir_fd=base)
        try:
            for data in artifacts.pieces(str(blob["digest"])[7:]):
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
    except OSError as err:
        raise StorageError(f"cannot write {name}", err.strerror or str(err), errno=err.errno or 0) from err

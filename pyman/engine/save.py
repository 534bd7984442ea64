"""Save images to an archive, a directory or stdout. CLI process, slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers
from pyman.errors import StorageError, UsageError
from pyman.image import reference
from pyman.linux import fs
from pyman.state import events
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMATS = ("docker-archive", "oci-archive", "oci-dir", "docker-dir")


def save(
    names: list[str],
    *,
    path: str = "",
    fd: int = -1,
    kind: str = "docker-archive",
    several: bool = False,
    compress: bool = False,
    uncompressed: bool = False,
    reporter: Any = None,
    conf: dict[str, Any] | None = None,
) -> None:
    """Write images to `path` (or the descriptor `fd`). several: each name is an image, else the further ones are names for the first.

    UsageError, NoSuchImage, ImageError, StorageError.
    """
    _check(names, path, kind, several, compress, uncompressed)
    from pyman.image import policy
    from pyman.image import push as pushing

    policy.check("containers-storage", [""], f"image {names[0]}")

    index = images.load()
    chosen = [index.resolve(name) for name in (names if several else names[:1])]
    labels = [_label(record, name) for record, name in zip(chosen, names)]
    extra = [] if several else [reference.normalise_tag(name) for name in names[1:]]
    paths.ensure_private(paths.graphroot())
    target = _target(kind, path, fd, labels[0] or next(iter(extra), ""), compress)
    choice = pushing.Choice(
        format={"docker-dir": "v2s2", "oci-dir": "oci", "oci-archive": "oci"}.get(kind, ""),
        kind="" if uncompressed else None,
        force=uncompressed,
    )
    parallel = containers.parallel_copies(conf)
    try:
        for record, label in zip(chosen, labels):
            if kind == "docker-archive":
                target.names = [*([label] if label else []), *extra]
            pushing.push(record, target, choice, reporter=reporter, parallel=parallel)
        target.finish()
    except StorageError as err:
        place = path and (path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path)))
        if err.errno in (fs.ENOSPC, fs.EDQUOT) and fs.free(place or fd) < fs.SHORT:  # else it is the store, where it is put together
            err.what, err.room = f"cannot write {path or 'stdout'}", fs.room(place or fd)
        raise
    finally:
        target.close()
    for record, label in zip(chosen, labels):
        events.emit("image", "save", record["id"], label or record["id"])


def _check(names: list[str], path: str, kind: str, several: bool, compress: bool, uncompressed: bool) -> None:
    if kind not in FORMATS:
        raise UsageError(f"invalid value {kind!r} for --format", "it must be one of " + ", ".join(FORMATS))
    if kind.endswith("-dir") and not path:
        raise UsageError(f"cannot save as {kind}", "a directory cannot go to stdout", "--output DIRECTORY")
    if compress and kind != "docker-dir":
        raise UsageError("cannot use --compress", "it is for --format docker-dir alone")
    if several and kind != "docker-archive" and len(names) > 1:
        raise UsageError("cannot save several images", f"the format {kind} holds one", "--format docker-archive")
    if len(names) > 1 and not several and kind != "docker-archive":
        raise UsageError("too many names", f"the format {kind} holds one image with one name", "--format docker-archive")


def _label(record: dict[str, Any], name: str) -> str:
    """The full name by which the image was asked for; empty if it was an id."""
    for candidate in [name, *images.candidates(name.removeprefix("docker://"))]:
        if candidate in record["names"]:
            return candidate
    found = [full for full in record["names"] if full.endswith("/" + name) or full.endswith(f"/{name}:latest")]
    return found[0] if found else ""


def _target(kind: str, path: str, fd: int, name: str, compress: bool) -> Any:
    from pyman.image import archives, directories, output

    if kind == "oci-dir":
        return directories.LayoutTarget(path, name)
    if kind == "docker-dir":
        return directories.DirTarget(path, compress)
    out = output.Output(path, fd)
    label = path or "stdout"
    return archives.OciArchiveTarget(out, name, label) if kind == "oci-archive" else archives.DockerArchiveTarget(out, label)

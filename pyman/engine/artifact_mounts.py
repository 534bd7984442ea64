"""`--mount type=artifact`: where the files of an artifact go, read-only. Process C, with such a mount only."""

from __future__ import annotations

import os
import stat

from pyman.engine import artifacts
from pyman.errors import UsageError
from pyman.linux import libc
from pyman.storage import artifacts as store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.mounts import Mount


def place(entries: list[dict[str, Any]], mount: Mount, rootfs: str) -> None:
    """Put a bind mount for each file in the place of the artifact's in `entries`. NoSuchObject, ImageError, UsageError.

    A directory of the image gets the files under their titles; a file, or a place where nothing is, becomes the only one.
    """
    made = mount.made
    found = store.find(store.load(), made["artifact"])
    blobs = artifacts.choose(found, made.get("digest", ""), made.get("title", ""))
    destination = mount.entry["destination"]
    kind = _kind(rootfs, destination)
    if kind == "file" and len(blobs) > 1:
        raise UsageError(
            f"cannot mount artifact {found.name} at {destination}",
            f"it has {len(blobs)} files, and the image has one there",
            "choose one with title= or digest=, or name a directory",
        )
    alone = kind == "file" or (not kind and len(blobs) == 1)
    at = entries.index(mount.entry)
    entries[at : at + 1] = [
        {**mount.entry, "source": store.path(str(blob["digest"])[7:]), "destination": destination if alone else f"{destination}/{name}"}
        for blob, name in zip(blobs, _names(found, blobs, made.get("name", "")))
    ]


def _names(found: store.Artifact, blobs: list[dict[str, Any]], name: str) -> list[str]:
    if name:
        return [name] if len(blobs) == 1 else [f"{name}-{number}" for number in range(len(blobs))]
    return [artifacts.file_name(blob, found.name) for blob in blobs]


def _kind(rootfs: str, path: str) -> str:
    """What the image has there: "file", "directory", or nothing."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = libc.openat2(root, path.lstrip("/"), os.O_PATH)
    except OSError:
        return ""
    finally:
        os.close(root)
    try:
        return "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
    finally:
        os.close(fd)

"""Load images from an archive or directory of any format, from stdin or from the web. CLI process, slow path."""

from __future__ import annotations

import os

from pyman import paths, stages
from pyman.state import events
from pyman.storage import images, intents, layers, partial, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Loaded:
    """One image that was loaded: record, the names it was given, and those that were another image's until now (name, its id)."""

    __slots__ = ("moved", "names", "record")

    def __init__(self, record: dict[str, Any], names: list[str], moved: list[tuple[str, str]]) -> None:
        self.record = record
        self.names = names
        self.moved = moved


def load(path: str, *, names: bool = True, reporter: Any = None, conf: dict[str, Any] | None = None) -> list[Loaded]:
    """Bring all images of the archive `path` ("-": stdin; an address) into the store, under the names that stand in it unless `names` is false.

    NoSuchImage, ImageError, RegistryError, StorageError.
    """
    from pyman.image import archive, download, policy

    for place in (paths.graphroot(), paths.runroot()):
        paths.ensure_private(place)
    layers.first_use()
    trash.sweep()
    intents.collect()
    partial.sweep()
    label = "the archive on stdin" if path == "-" else path
    spooled = -1
    try:
        where = path
        if download.is_url(path):
            spooled = download.download(path, reporter)
            where = f"/proc/self/fd/{spooled}"
        sources = archive.everything(where, label)
    finally:
        if spooled >= 0:
            os.close(spooled)
    loaded = []
    try:
        for source in sources:
            policy.check(source.transport, policy.path_scopes(path), f"image {label}")
            with intents.Pending(keep=False) as pending, layers.storing():
                loaded.append(_one(source, names, reporter, conf or {}, pending))
    finally:
        for source in sources:
            source.close()
    events.emit("image", "loadfromarchive", loaded[0].record["id"] if loaded else "", path)
    return loaded


def _one(source: Any, named: bool, reporter: Any, conf: dict[str, Any], pending: intents.Pending) -> Loaded:
    from pyman.image import pull

    record, names = pull.fetch(source, "", reporter, conf, pending)
    names = names if named else []
    moved = []
    index = images.load()
    for name in names:
        other = index.by_name(name)
        if other and other["id"] != record["id"]:
            moved.append((name, str(other["id"])))
    added = images.add(record, names)
    stages.reach("load:record")
    return Loaded(added, names, moved)

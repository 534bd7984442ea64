"""Take away what killed and failed commands have left in the store: layers and blobs no image has, parts of layers, trash. CLI process."""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.engine import commit
from pyman.engine.container import all_ids
from pyman.engine.container_list import list_containers
from pyman.storage import images, layers, partial, trash

_ENDING = 2.0  # seconds: a command that was killed a moment ago keeps its lock until the kernel has taken it apart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.storage.images import ImageIndex


def leftovers() -> bool:
    """Delete it all; false if layers and blobs had to stay, since another command is just putting an image into the store."""
    containers = list_containers()  # takes away what is left of containers too
    commit.collect(0)
    partial.sweep(0)
    _half_written()
    in_containers = {diff_id for container in containers for diff_id in container.config["layers"]}
    done = _unreferenced(in_containers, len(containers), patience=_ENDING)
    trash.sweep()
    return done


def unreferenced(only: set[str]) -> bool:
    """Delete those of the layers and blobs at the paths `only` that nobody needs; false as for `leftovers`."""
    containers = list_containers()
    done = _unreferenced({diff_id for container in containers for diff_id in container.config["layers"]}, len(containers), only)
    trash.sweep_trash()
    return done


def _unreferenced(in_containers: set[str], containers: int, only: set[str] | None = None, patience: float = 0) -> bool:
    """Move to the trash whatever no image and no container needs; `only`: paths, where not all of it.

    patience: seconds to wait for other commands that put something into the store.
    """
    os.makedirs(layers.layers_dir(), 0o700, exist_ok=True)
    guard = layers.storing()
    guard.shared = False
    deadline = time.monotonic() + patience
    while not guard.try_acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    if len(all_ids()) > containers:  # a container that is just being made may have layers of any image
        guard.release()
        return False

    def action(index: ImageIndex) -> None:
        records = index.records.values()
        kept = {"layers": in_containers.union(*(record["layers"] for record in records)), "blobs": set[str]()}
        kept["blobs"].update(blob for record in records for blob in images.blobs_of(record))
        for kind, place in (("layers", layers.layers_dir()), ("blobs", os.path.join(paths.graphroot(), "blobs", "sha256"))):
            for name in os.listdir(place) if os.path.isdir(place) else []:
                if name not in kept[kind] and (only is None or os.path.join(place, name) in only):
                    trash.put(os.path.join(place, name))

    try:
        images.change(action, room=lambda index: trash.sweep_trash())
    finally:
        guard.release()
    return True


def _half_written() -> None:
    """Delete files that a killed command was about to put in the place of others (state/store.py)."""
    root = paths.graphroot()
    for place in (root, *(os.path.join(root, name) for name in ("artifacts", "secrets", "networks"))):
        for name in os.listdir(place) if os.path.isdir(place) else []:
            parts = name.rsplit(".", 2)
            if len(parts) == 3 and parts[2] == "tmp" and parts[1].isdigit() and not os.path.exists(f"/proc/{parts[1]}"):
                try:
                    os.unlink(os.path.join(place, name))
                except OSError:
                    continue

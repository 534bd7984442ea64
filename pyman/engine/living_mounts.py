"""Which volumes a container that runs has mounted, by the kernel's lists: for one whose records have gone. CLI process, such containers only."""

from __future__ import annotations

import os

from pyman import paths
from pyman.engine import volumes as volume_store
from pyman.engine.container import Container
from pyman.linux import fs, process
from pyman.storage.driver import FUSE

_OVERLAYS = ("overlay", f"fuse.{FUSE}")


def volumes(container: Container, monitor: int, init: int) -> dict[str, str] | None:
    """Path in the container -> the volume there; None if it cannot be known.

    One that is a file system of its own is mounted at its place in the store in the monitor's mount namespace, one below an overlay (:O) is
    named in the options of that; all others are parts of the store's file system.
    """
    top = os.path.realpath(os.path.join(paths.graphroot(), "volumes"))
    try:
        seen, around = fs.mounts(init), fs.mounts(monitor)
        device, inside = _on_its_file_system(top)
    except (OSError, ValueError):
        return None
    found: dict[str, str] = {}
    own = {(row[0], row[1]): name for row in around if (name := _volume_of(row[2], top))}
    for at, root, place, kind, options in seen:
        name = own.get((at, root), "") or (_volume_of(root, inside) if at == device else "")
        if kind in _OVERLAYS and not name:
            name = _below(options)
        if name:
            found[place] = name
    for name in [*own.values(), *_below_daemons(container, top)]:
        if name not in found.values():
            found[volume_store.data_path(name)] = name  # where in the container is not known
    return found


def _on_its_file_system(path: str) -> tuple[str, str]:
    """(device, path from the root of its file system) of a directory. OSError, ValueError."""
    rows = [row for row in fs.mounts() if path == row[2] or path.startswith(row[2].rstrip("/") + "/")]
    device, root, place = max(reversed(rows), key=lambda row: len(row[2]))[:3]  # the latest of those at one place
    return device, os.path.normpath(os.path.join(root, path[len(place) :].lstrip("/")))


def _volume_of(path: str, top: str) -> str:
    """The volume whose files lie at `path`, if it is below `top`; else empty."""
    name, _, rest = path[len(top) + 1 :].partition("/") if path.startswith(top + "/") else ("", "", "")
    return name if rest.split("/")[0] == "_data" and volume_store.exists(name) else ""


def _below(options: str) -> str:
    """The volume that an overlay lies on: its lowest layer, from the directory of volumes on."""
    for option in options.split(","):
        key, _, value = option.partition("=")
        words = value.split(":")[-1].split("/")
        if key in ("lowerdir", "lowerdir+") and words[1:2] == ["_data"] and volume_store.exists(words[0]):
            return words[0]
    return ""


def _below_daemons(container: Container, top: str) -> list[str]:
    """The volumes below the overlays of a container that are a program's, which does not tell the kernel of its layers."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        words = process.words(int(entry))
        if words[:1] == [FUSE] and f"{container.dir}/" in words[-1]:
            lowers = [part for option in words[2].split(",") if option.startswith("lowerdir=") for part in option[9:].split(":")]
            found += [name for lower in lowers if (name := _volume_of(os.path.realpath(lower), top))]
    return found

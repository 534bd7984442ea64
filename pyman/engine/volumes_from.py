"""--volumes-from: the volumes and bind mounts of another container, whatever its state. CLI process."""

from __future__ import annotations

from pyman.engine import mount_plan
from pyman.engine.container import lookup
from pyman.engine.mounts import Mount
from pyman.engine.plan import VolumeStore
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_MODES = ("ro", "rw", "z", "Z")


def records(specs: list[str]) -> list[dict[str, Any]]:
    """What config.json keeps of CONTAINER[:ro|rw|z] specifications: the mounts, whatever becomes of that container. UsageError."""
    return [
        {"entry": mount.entry, "volume": mount.volume, "copy_up": mount.copy_up, "made": mount.made, "relabel": mount.relabel}
        for mount in _mounts(specs).values()
    ]


def _mounts(specs: list[str]) -> dict[str, Mount]:
    """By destination; the first one that has a place wins."""
    found: dict[str, Mount] = {}
    for spec in specs:
        name, colon, text = spec.partition(":")
        modes = text.split(",") if colon else []
        if len({"ro", "rw"} & set(modes)) > 1 or len(modes) > len(set(modes)):
            raise UsageError(f"invalid options in --volumes-from {spec!r}", "ro or rw, and z or Z, can be said once only")
        for mode in modes:
            if mode not in _MODES:
                raise UsageError(f"invalid option {mode!r} in --volumes-from {spec!r}", "known are ro, rw, z and Z")
        for destination, mount in _of(name).items():
            if destination not in found:
                found[destination] = _with_mode(mount, modes)
    return found


def _of(name: str) -> dict[str, Mount]:
    container = lookup(name)
    with container:
        return mounts_of(container)[0]


def mounts_of(container: Container) -> tuple[dict[str, Mount], VolumeStore]:
    """(the volumes and bind mounts of a container, by destination; its volumes): see `all_of`."""
    wanted, store = all_of(container)
    return {destination: mount for destination, mount in wanted.items() if mount.entry["type"] == "bind"}, store


def all_of(container: Container) -> tuple[dict[str, Mount], VolumeStore]:
    """(all mounts that a container was made with, by destination; its volumes). UsageError for a source that has gone.

    The caller holds its lock. Volumes that do not exist any more are made again.
    """
    config = container.config
    store = VolumeStore(container.state)
    wanted = mount_plan.chosen(config["options"], config["image_config"], store)
    if store.used != (container.state.get("volume_at") or {}):
        # Made by an older release and never started: its anonymous volumes exist from now on, and are its own.
        container.state.update(anonymous_volumes=store.anonymous, volume_at=store.used)
        container.save()
    return wanted, store


def _with_mode(mount: Mount, modes: list[str]) -> Mount:
    options = [option for option in mount.entry["options"] if option not in ("ro", "rw", "rro") or not {"ro", "rw"} & set(modes)]
    if "ro" in modes:
        options += ["ro", "rro"] if "rbind" in options else ["ro"]
    relabel = "Z" if "Z" in modes else "z" if "z" in modes else ""
    return Mount({**mount.entry, "options": options}, mount.volume, mount.copy_up, made=mount.made, relabel=relabel)

"""Remove everything unused: containers, volumes, images, networks, and what failed commands have left. CLI process."""

from __future__ import annotations

from pyman.engine import disk_usage, images, networks, prune, sweep, volume_remove
from pyman.errors import PymanError, UsageError

FILTERS = ("label", "label!", "until")


class Pruned:
    """What was removed (`removed`: heading -> ids or names), what went wrong, and the bytes that the store has shrunk by.

    complete: false if layers that nothing needs had to stay, for another command was making an image or a container.
    """

    __slots__ = ("complete", "errors", "freed", "removed")

    def __init__(self) -> None:
        self.removed: dict[str, list[str]] = {"Containers": [], "Volumes": [], "Images": [], "Networks": []}
        self.errors: list[PymanError] = []
        self.freed = 0
        self.complete = True


def check(filters: list[str]) -> None:
    """UsageError for a filter other than label, label! and until."""
    for item in filters:
        key, equals, _ = item.partition("=")
        if not equals or key not in FILTERS:
            raise UsageError(f"invalid filter {item!r}", "known are label, label! and until")


def everything(filters: list[str], *, all_images: bool, volumes: bool) -> Pruned:
    """Remove what is unused and passes the filters; volumes only if asked for, images with a name only with all_images."""
    check(filters)
    found = Pruned()
    before = disk_usage.total()
    for result in prune.prune(filters):
        if isinstance(result, PymanError):
            found.errors.append(result)
        else:
            found.removed["Containers"].append(result)
    if volumes:
        found.removed["Volumes"], failed = volume_remove.prune(volume_remove.candidates(filters))
        found.errors += failed
    found.removed["Images"] = images.prune(all_images, filters)
    found.removed["Networks"] = networks.prune(filters)
    found.complete = sweep.leftovers()
    found.freed = max(0, before - disk_usage.total())
    return found

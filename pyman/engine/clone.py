"""A new container like another one: the same options, with changes. CLI process."""

from __future__ import annotations

from pyman.digits import is_whole
from pyman.engine import create, names
from pyman.engine.container import Container, lookup
from pyman.errors import NoSuchContainer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What a clone may be given anew.
LIMITS = (
    *("blkio_weight", "blkio_weight_device", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset_cpus", "cpuset_mems"),
    *("device_read_bps", "device_write_bps", "memory", "memory_reservation", "memory_swap"),
)
_OWN = ("name", "cidfile", "replace", "volumes_from", "pidfile", "conmon_pidfile")  # they belong to the original alone


class _Options(dict):  # type: ignore[type-arg]
    """Options as the command line gives them: with those that were `given`."""

    __slots__ = ("given",)

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.given: set[str] = set(self.pop("_given", []))


def clone_container(
    container: Container, name: str, image: str, changes: dict[str, Any], reporter: Callable[[], Any] | None = None
) -> Container:
    """Create a copy of a container. name: empty for a free one, ORIGINAL-clone; image: another image, or empty; changes: limits, see LIMITS.

    NameInUse, NoSuchImage, UsageError, StorageError.
    """
    config = container.config
    opts = _Options(config["options"])
    for key in _OWN:
        opts.pop(key, None)
        opts.given.discard(key)
    if "cpus" in changes:
        for key in ("cpu_period", "cpu_quota"):
            opts.pop(key, None)
    elif {"cpu_period", "cpu_quota"} & set(changes):
        opts.pop("cpus", None)
    opts.update(changes)
    opts["name"] = name or _free_name(container.name)
    opts["pull"] = "missing"
    opts["_argv"] = list(config.get("create_command") or [])[1:]
    if config["rootfs"] and not image:
        first = config["rootfs"] + (":O" if config.get("rootfs_overlay") else "")
    else:
        opts.pop("rootfs", None) if image else None
        first = image or _same_image(config["image"])
    return create.create_container(opts, [first, *config["command"]], reporter)


def _same_image(image: dict[str, Any]) -> str:
    """The image's name if that still means the same image, else its id."""
    from pyman.errors import PymanError
    from pyman.storage import images

    try:
        if images.load().resolve(image["name"])["id"] == image["id"]:
            return str(image["name"])
    except PymanError:
        pass  # the name has gone
    return str(image["id"])


def _free_name(original: str) -> str:
    """ORIGINAL-clone; where that is taken, or the original is a clone itself, a number counts them."""
    first, clone, last = original.rpartition("-clone")
    counted = bool(first and clone) and (not last or is_whole(last, 6))
    wanted, start = (first + clone, int(last or 0) + 1) if counted else (f"{original}-clone", 0)
    names.check(wanted)
    for number in range(start, start + 1000):
        name = f"{wanted}{number or ''}"
        try:
            lookup(name)
        except NoSuchContainer:
            return name
    return wanted

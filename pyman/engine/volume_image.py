"""Volumes of images (`volume create --driver image`): an image's files, and what is written over them, which lasts.

The volume's directory holds the upper layer; the overlay is mounted as other volumes that are file systems of their own are
(engine/volume_mounts.py). An image stays as long as it has a volume. CLI process; `mount`: process C, in U1.
"""

from __future__ import annotations

import os
import stat

from pyman.engine import volume_discard, volumes
from pyman.errors import NoSuchImage, StateError, StorageError, UsageError
from pyman.linux import libc
from pyman.state.lock import Lock
from pyman.storage import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def resolve(name: str, items: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """(options, {id, layers} of the image) from --opt of a volume of an image. UsageError, NoSuchImage, ImageError."""
    options = dict(item.partition("=")[::2] for item in items)
    for key in options:
        if key != "image":
            raise UsageError(f"cannot create volume {name}", f"invalid mount option {key} for driver 'image'", "known is image")
    if not options.get("image"):
        raise UsageError(f"cannot create volume {name}", "must provide an image name with the driver image", "add --opt image=NAME")
    record = images.load().resolve(options["image"])
    images.read_config(record)  # a list of images has no files
    return options, {"id": record["id"], "layers": list(record["layers"])}


def settle(name: str, image_id: str) -> None:
    """Once the volume exists: whoever removes the image looks for volumes under this lock. NoSuchImage; then there is no volume."""
    with images.reading():
        if image_id in images.load().records:
            return
    volume_discard.remove(name)
    raise NoSuchImage(f"cannot create volume {name}", "the image was removed meanwhile", "pull it again")


def users(image_id: str) -> list[str]:
    """The names of the volumes of this image."""
    return [record["name"] for record in volumes.every()[0] if (record.get("image") or {}).get("id") == image_id]


def refuse_removal(record: dict[str, Any]) -> None:
    """StateError if the image has a volume: what was written in it is worth nothing without the image."""
    found = users(str(record["id"]))
    if found:
        raise StateError(
            f"cannot remove image {(record['names'] or [record['id'][:12]])[0]}",
            f"image is in use by volume {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else ""),
            f"remove it first: pyman volume rm {found[0]}",
        )


def mount(record: dict[str, Any]) -> None:
    """Mount the volume at its _data. StorageError (also where the kernel's overlay is not in use), OSError."""
    from pyman.config import containers as containers_conf
    from pyman.storage import driver, overlay

    name, chosen = record["name"], driver.choose_driver(containers_conf.load())
    if chosen.name != driver.OVERLAY:
        # Its process would keep the mount namespace, and so itself, alive after the last container.
        raise StorageError(
            f"cannot mount volume {name}", f"volumes of images need the kernel's overlay; {chosen.name} is {chosen.reason}", "pyman info"
        )
    lowers = [layers.layer_path(diff_id) for diff_id in record["image"]["layers"]]
    upper, work = (os.path.join(volumes.directory(name), part) for part in ("upper", "work"))
    with Lock(volumes.directory(name)):
        if not os.path.isdir(work):  # it is made last, so it tells that the upper directory is complete
            _make_upper(upper, lowers, record["owner"])
            os.mkdir(work, 0o700)
    target = volumes.data_path(name)
    overlay.mount_rootfs(chosen, lowers, upper, work, target, volatile=False)
    libc.mount_setattr(libc.AT_FDCWD, target, 0, attr_set=libc.MS_NOSUID | libc.MS_NODEV)


def _make_upper(upper: str, lowers: list[str], owner: list[int] | None) -> None:
    """The top directory: as the image's own, or its owner's."""
    os.makedirs(upper, 0o755, exist_ok=True)
    info = os.stat(lowers[-1]) if lowers and os.path.isdir(lowers[-1]) else os.stat(upper)
    os.chown(upper, *(owner or (info.st_uid, info.st_gid)))
    os.chmod(upper, stat.S_IMODE(info.st_mode))

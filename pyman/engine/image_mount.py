"""Mount images' files in the mount namespace of `pyman unshare`, read-only. CLI process, which is uid 0 of the user namespace there.

As with containers, what is mounted is read from the kernel's own list, and ends with the last process of that namespace.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import StateError
from pyman.linux import fs, libc
from pyman.state import events
from pyman.storage import driver, images, layers, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _place(record: dict[str, Any]) -> str:
    return os.path.join(paths.runroot(), "images", str(record["id"]), "merged")


def mounted() -> list[dict[str, Any]]:
    """The records of all images that are mounted here."""
    here = fs.mounted_places()
    return [record for record in images.load().records.values() if os.path.realpath(_place(record)) in here]


def all_images() -> list[dict[str, Any]]:
    """The records of all images that have files."""
    return [record for record in images.load().records.values() if "list" not in record]


def mount_image(record: dict[str, Any], conf: dict[str, Any]) -> str:
    """Mount an image and return where; one that is mounted here stays as it is. ImageError, StorageError."""
    images.read_config(record)  # a list of images has no files
    path = _place(record)
    if os.path.realpath(path) in fs.mounted_places():
        return path
    os.makedirs(path, 0o700, exist_ok=True)
    lowers = [layers.layer_path(diff_id) for diff_id in record["layers"]]
    upper = os.path.join(os.path.dirname(path), "upper")
    overlay.mount_rootfs(driver.choose_driver(conf), lowers, upper, "", path, read_only=True)
    events.emit("image", "mount", record["id"], title(record))
    return path


def unmount_image(record: dict[str, Any], *, force: bool = False) -> bool:
    """Unmount an image; false if it is not mounted here. StateError if something is in use there."""
    path = _place(record)
    if os.path.realpath(path) not in fs.mounted_places():
        return False
    try:
        libc.umount2(path, libc.MNT_DETACH if force else 0)
    except OSError as err:
        raise StateError(
            f"cannot unmount image {title(record)}", f"{path}: {os.strerror(err.errno or 0)}", "leave its directories, or use --force"
        ) from err
    events.emit("image", "unmount", record["id"], title(record))
    return True


def title(record: dict[str, Any]) -> str:
    """The image's first name, or its id."""
    return str((record["names"] or [record["id"]])[0])


def described(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As Podman's JSON lists them."""
    return [
        {"id": record["id"], "Names": [record["digest"]], "Repositories": record["names"], "mountpoint": _place(record)}
        for record in records
    ]

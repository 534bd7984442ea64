"""What the store takes on the disk, by image, container and volume; what `system prune` could free. CLI process; counts in U1.

Sizes are blocks, as du counts them, and a file that lies in several layers counts once. Nothing is believed that was written down before.
"""

from __future__ import annotations

import os
import stat

from pyman import paths
from pyman.engine import volumes
from pyman.engine.container import RUNNING, Container, containers_dir
from pyman.engine.container_list import list_containers
from pyman.errors import NoSuchContainer, StorageError
from pyman.linux import trees
from pyman.rootless import userns
from pyman.storage import artifacts, images, layers, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LEFT = ("trash", "partial", "intents")  # what killed and failed commands have left


class Usage:
    """`images`, `containers`, `volumes`, `artifacts`: rows for -v; `summary`: one row for each of them; `left`: bytes that nothing needs;
    `other`: the store's own files (secrets, events, networks, index), by name."""

    __slots__ = ("artifacts", "containers", "images", "left", "other", "summary", "volumes")

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.containers: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.summary: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.other: dict[str, int] = {}
        self.left = 0


def _layers(container: Container) -> list[str]:
    """A container's layers; none where its configuration is damaged."""
    try:
        return [str(diff_id) for diff_id in container.config["layers"]]
    except (StorageError, NoSuchContainer):
        return []


def gather() -> Usage:
    """Count everything. RootlessError, StorageError."""
    found = Usage()
    running = list_containers()  # takes away what killed commands have left of containers
    index = images.own()
    sizes = _measure()
    containers = {container.id: container for container in running}
    needed = {diff_id for container in running for diff_id in _layers(container)}
    needed_blobs: set[str] = set()
    sharers: dict[str, int] = {}
    for record in index.records.values():
        for diff_id in set(record["layers"]):
            sharers[diff_id] = sharers.get(diff_id, 0) + 1
    for record in index.records.values():
        users = [container for container in running if container.state["image_id"] == record["id"]]
        if users:
            needed_blobs.update(images.blobs_of(record))
        own = sum(sizes["layers"].get(diff_id, 0) for diff_id in set(record["layers"]) if sharers[diff_id] == 1)
        own += sum(sizes["blobs"].get(blob, 0) for blob in set(images.blobs_of(record)))
        shared = sum(sizes["layers"].get(diff_id, 0) for diff_id in set(record["layers"]) if sharers[diff_id] > 1)
        for name in record["names"] or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            found.images.append(
                {"record": record, "repository": repository, "tag": tag, "unique": own, "shared": shared, "containers": len(users)}
            )
    used_blobs = {blob for record in index.records.values() for blob in images.blobs_of(record)}
    found.left = sum(sizes["left"].values())
    found.left += sum(size for diff_id, size in sizes["layers"].items() if diff_id not in sharers and diff_id not in needed)
    found.left += sum(size for blob, size in sizes["blobs"].items() if blob not in used_blobs)
    found.other = sizes["other"]
    total = sum(sum(sizes[kind].values()) for kind in ("layers", "blobs", "left", "other"))
    kept = (
        sum(found.other.values())
        + sum(sizes["layers"].get(diff_id, 0) for diff_id in needed)
        + sum(sizes["blobs"].get(blob, 0) for blob in needed_blobs)
    )
    active = len({row["record"]["id"] for row in found.images if row["containers"]})
    found.summary.append(_row("Images", len(found.images), active, total, total - kept))
    for key, size in sizes["containers"].items():
        if key in containers:
            found.containers.append({"state": containers[key].state, "size": size})
    idle = sum(row["size"] for row in found.containers if row["state"]["status"] not in RUNNING)
    busy = sum(row["state"]["status"] == "running" for row in found.containers)
    found.summary.append(_row("Containers", len(found.containers), busy, sum(row["size"] for row in found.containers), idle))
    used = volumes.used_by()
    sizes["volumes"] = {name: size for name, size in sizes["volumes"].items() if volumes.exists(name)}
    found.volumes = [{"name": name, "size": size, "links": len(used.get(name, []))} for name, size in sorted(sizes["volumes"].items())]
    free = sum(row["size"] for row in found.volumes if not row["links"])
    links = sum(row["links"] for row in found.volumes)
    found.summary.append(_row("Local Volumes", len(found.volumes), links, sum(row["size"] for row in found.volumes), free))
    size = sum(sizes["artifacts"].values())
    if size:  # Podman has no such row: without artifacts there is none here either
        found.artifacts = [
            {"name": name, "size": sum(os.stat(artifacts.path(digest)).st_blocks * 512 for digest in set(digests) if not problem)}
            for name, digests, problem in artifacts.survey()
        ]
        found.summary.append(_row("Artifacts", len(found.artifacts), 0, size, 0))
    return found


def total() -> int:
    """Bytes that images, containers and volumes take, with what is left of failed commands."""
    return sum(sum(sizes.values()) for kind, sizes in _measure().items() if kind != "other")


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    return {"Type": kind, "Total": total, "Active": active, "RawSize": size, "RawReclaimable": reclaimable}


def _measure() -> dict[str, dict[str, int]]:
    """Kind -> name -> bytes, for layers, blobs, containers, volumes, artifacts, left, other: all that du finds, and each file once."""
    root = paths.graphroot()
    places = {
        "layers": layers.layers_dir(),
        "blobs": os.path.join(root, "blobs", "sha256"),
        "containers": containers_dir(),
        "volumes": os.path.join(root, "volumes"),
        "artifacts": os.path.join(root, "artifacts"),
    }
    idle = trash.unlocked()

    def body() -> dict[str, dict[str, int]]:
        seen: set[tuple[int, int]] = set()
        found = {kind: {name: blocks(os.path.join(place, name), seen) for name in _listed(place)} for kind, place in places.items()}
        kept = [os.path.join(root, name) for name in _LEFT]  # the directories themselves stay
        found["left"] = {os.path.basename(place): blocks(place, seen) - _own_blocks(place) for place in kept}
        found["left"].update({name: blocks(os.path.join(root, "tmp", name), seen) for name in idle})
        others = [name for name in _listed(root) if name not in (*_LEFT, *places, "tmp")]
        found["other"] = {name: blocks(os.path.join(root, name), seen) for name in others if name != "blobs"}
        found["other"]["tmp"] = sum(
            blocks(os.path.join(root, "tmp", name), seen) for name in _listed(os.path.join(root, "tmp")) if name not in idle
        )
        found["other"]["directories"] = sum(
            _own_blocks(place) for place in (root, os.path.join(root, "tmp"), os.path.join(root, "blobs"), *places.values(), *kept)
        )
        return found

    return dict(userns.call_in_userns(body))


def _own_blocks(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _listed(place: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(place) if not name.startswith("."))
    except FileNotFoundError:
        return []


def blocks(path: str, seen: set[tuple[int, int]]) -> int:
    """Bytes on disk of a file or tree, without what is mounted in it or was `seen` before. Missing ones take none; in U1."""
    try:
        top = os.lstat(path)
        if not stat.S_ISDIR(top.st_mode):
            return top.st_blocks * 512
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return 0

    def counts(info: os.stat_result) -> bool:
        return info.st_dev == top.st_dev and not (info.st_nlink > 1 and (info.st_dev, info.st_ino) in seen)

    total = top.st_blocks * 512
    try:
        for info in trees.survey(fd, counts):
            total += info.st_blocks * 512
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                seen.add((info.st_dev, info.st_ino))
    finally:
        os.close(fd)
    return total

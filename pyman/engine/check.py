"""Find what is damaged in the store: layers, images, artifacts, containers, what nobody needs. CLI process; layers are read in U1.

Nothing is changed here, and what runs is not disturbed: layers never change, and containers' own directories are left alone.
"""

from __future__ import annotations

import os
import time

from pyman.engine import container_list
from pyman.engine.container import RUNNING, Container, all_ids
from pyman.errors import NoSuchContainer, PymanError, StorageError
from pyman.rootless import idmap
from pyman.storage import additional, artifacts, images, layers, skeleton, verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_AGE = 24 * 3600.0  # seconds that a layer nobody uses may be old: it may belong to a pull that goes on


class Found:
    """What is damaged: `layers`, `images`, `containers`, `artifacts`: id or name -> what is wrong; `store`: what is wrong with the index itself.

    leftovers: layers and blobs nobody uses, as paths; notes: what could not be verified; whole: damaged layers that can be made again
    from themselves; using: damaged layer -> names of the images and containers that have it; unreadable: containers whose files are damaged;
    unsound: images whose record in the index is.
    """

    __slots__ = ("artifacts", "containers", "images", "layers", "leftovers", "notes", "store", "unreadable", "unsound", "using", "whole")

    def __init__(self) -> None:
        self.layers: dict[str, list[str]] = {}
        self.images: dict[str, list[str]] = {}
        self.containers: dict[str, list[str]] = {}
        self.artifacts: dict[str, list[str]] = {}
        self.store: list[str] = []
        self.leftovers: list[str] = []
        self.notes: list[str] = []
        self.whole: set[str] = set()
        self.unreadable: set[str] = set()
        self.unsound: set[str] = set()
        self.using: dict[str, list[str]] = {}

    @property
    def errors(self) -> bool:
        """Whether there is any damage."""
        return bool(self.layers or self.images or self.containers or self.artifacts or self.store or self.leftovers)


def find(*, quick: bool = False, max_age: float | None = MAX_AGE, only: set[str] | None = None, reporter: Any = None) -> Found:
    """Look at everything. RootlessError, StorageError.

    quick: do not read layers' files; max_age: seconds from which on a layer nobody uses counts as damage, None: never;
    only: layers to be read, if not all.
    """
    found = Found()
    # A layer that vanishes while we read was removed by another command: what is needed is looked up after.
    for diff_id in _on_disk():
        problem = _shape(diff_id)
        if problem:
            found.layers[diff_id] = [problem]
    if not quick:
        read = [diff_id for diff_id in _on_disk() if diff_id not in found.layers and (only is None or diff_id in only)]
        _read_layers(found, read, reporter)
    index = _index(found)
    known = readable(found)
    present = set(_on_disk())
    found.layers = {diff_id: texts for diff_id, texts in found.layers.items() if diff_id in present}
    for record in index.records.values():
        _image(found, record, present)
        if record.get("store") and record["id"] in found.images:
            found.images[record["id"]].append(f"it lies in the store {record['store']}, which is never written: mend it there")
    for container in known:
        _container(found, container, present)
    _artifacts(found)
    if max_age is not None:
        _leftovers(found, index, known, present, max_age)
    return found


def _on_disk() -> list[str]:
    try:
        return sorted(os.listdir(layers.layers_dir()))
    except FileNotFoundError:
        return []


def _shape(diff_id: str) -> str:
    """What is wrong with a layer's directory at first sight."""
    base = os.path.join(layers.layers_dir(), diff_id)
    if len(diff_id) != 64 or diff_id.strip("0123456789abcdef"):
        return "its name is no digest"
    try:
        info = layers.read_info(diff_id)
    except StorageError as err:
        return err.why or str(err)
    if not info:
        return "it is not complete: layer.json is missing"
    if info.get("diff_id") != diff_id:
        return "its layer.json is another layer's"
    if os.path.islink(os.path.join(base, "diff")) or not os.path.isdir(os.path.join(base, "diff")):
        return "its files are missing"
    return ""


def _read_layers(found: Found, diff_ids: list[str], reporter: Any) -> None:
    """Compare layers with their diff ids, as many at a time as there are processors."""
    from pyman.image import lanes

    if not diff_ids:
        return
    single = idmap.load_idmap().single
    pool = verify.Verifier(max(1, min(len(os.sched_getaffinity(0)), len(diff_ids), 8)))

    def one(worker: Any, diff_id: str) -> None:
        if reporter:
            info = layers.read_info(diff_id)
            reporter.start(diff_id, f"layer {diff_id[:12]}", int(info.get("plain_size") or info.get("size") or 0))
        try:
            answer = verify.check(worker, diff_id, single, (lambda done: reporter.update(diff_id, done)) if reporter else None)
        except PymanError as err:
            if skeleton.exists(os.path.join(layers.layers_dir(), diff_id)) and err.errno in (28, 122, 12):
                raise  # no room, no memory: that says nothing about the layer
            answer = {"problems": [err.why or str(err)], "note": "", "whole": False}
        if answer["problems"]:
            found.layers[diff_id] = list(answer["problems"])
            if answer["whole"]:
                found.whole.add(diff_id)
        elif answer["note"]:
            found.notes.append(f"layer {diff_id[:12]} was not verified: {answer['note']}")
        if reporter:
            reporter.finish(diff_id, "damaged" if answer["problems"] else (answer["note"] and "not verified") or "good")

    try:
        lanes.run(pool.workers, diff_ids, one)
    finally:
        pool.close()


def _index(found: Found) -> images.ImageIndex:
    """The index of images; its damage is noted, and records that make no sense are left out."""
    try:
        index = images.load()
        found.notes += additional.problems()
    except PymanError as err:
        found.store.append(f"the index of images: {err.why}")
        return images.ImageIndex({})
    good = {}
    for key, record in index.records.items():
        if additional.sound(key, record):
            good[key] = record
        else:
            found.images[key] = ["its record in the index is damaged"]
            found.unsound.add(key)
    return images.ImageIndex(good)


def _blob_problem(digest_hex: str) -> str:
    try:
        images.read_blob(digest_hex, "image")
    except PymanError as err:
        return err.why
    except OSError as err:
        return f"the blob {digest_hex[:12]}: {err.strerror}"
    return ""


def _layer_problems(found: Found, diff_ids: list[str], present: set[str], user: str) -> list[str]:
    problems = []
    for diff_id in dict.fromkeys(diff_ids):
        if diff_id in found.layers or (diff_id not in present and not layers.has_layer(diff_id)):
            problems.append(f"layer {diff_id[:12]} is {'damaged' if diff_id in found.layers else 'missing'}")
            found.using.setdefault(diff_id, []).append(user)
    return problems


def _image(found: Found, record: dict[str, Any], present: set[str]) -> None:
    problems = [text for text in map(_blob_problem, dict.fromkeys(images.blobs_of(record))) if text]
    if not problems and "list" not in record:
        rootfs = images.read_config(record).get("rootfs")
        named = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if named != [f"sha256:{diff_id}" for diff_id in record["layers"]] or record["config"] != record["id"]:
            problems.append("its record does not agree with its configuration")
    problems += _layer_problems(found, record["layers"], present, f"image {title(record)}")
    if problems:
        found.images[record["id"]] = problems


def title(record: dict[str, Any]) -> str:
    """How an image is called for the user."""
    return str(record["names"][0]) if record["names"] else str(record["id"])[:12]


def readable(found: Found) -> list[Container]:
    """All containers that can be read; the damage of the others is noted."""
    good = []
    entries = all_ids()
    for entry in [*entries, *container_list.brought_back(entries)]:
        container = Container(entry)
        try:
            container.sync()
            if container.name and container.config["layers"] is not None and container.state["image_id"] is not None:
                good.append(container)
        except NoSuchContainer:
            continue  # being made, or left by a killed command, which the next command takes away
        except (PymanError, KeyError, TypeError) as err:
            found.containers[entry] = [str(err) if isinstance(err, PymanError) else "its files lack what every container has"]
            found.unreadable.add(entry)
    return good


def _container(found: Found, container: Container, present: set[str]) -> None:
    problems = _layer_problems(found, container.config["layers"], present, f"container {container.name}")
    if problems:
        found.containers[container.id] = problems


def _artifacts(found: Found) -> None:
    for name, digests, problem in artifacts.survey():
        if not problem:
            problem = next((text for text in map(artifacts.blob_problem, digests) if text), "")
        if problem:
            found.artifacts[name] = [problem]


def _leftovers(found: Found, index: images.ImageIndex, known: list[Container], present: set[str], max_age: float) -> None:
    """Layers and blobs nobody has, older than `max_age` seconds: a canceled pull has left them."""
    if found.store:
        return  # who has what is not known
    needed = {diff_id for container in known for diff_id in container.config["layers"]}
    needed.update(diff_id for record in index.records.values() for diff_id in record["layers"])
    blobs = {blob for record in index.records.values() for blob in images.blobs_of(record)}
    places = [os.path.join(layers.layers_dir(), diff_id) for diff_id in sorted(present - needed)]
    base = os.path.dirname(images.blob_path("x"))
    if os.path.isdir(base):
        places += [os.path.join(base, name) for name in sorted(os.listdir(base)) if name not in blobs]
    before = time.time() - max_age
    for place in places:
        try:
            if os.lstat(place).st_ctime <= before:
                found.leftovers.append(place)
        except FileNotFoundError:
            continue
        found.layers.pop(os.path.basename(place), None)


def busy_layers() -> dict[str, list[Container]]:
    """Layers that lie below a container with processes -> these containers."""
    busy: dict[str, list[Container]] = {}
    for container in readable(Found()):
        if container.state["status"] in RUNNING:
            for diff_id in container.config["layers"]:
                busy.setdefault(diff_id, []).append(container)
    return busy

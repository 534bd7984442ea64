"""Mend what `check` has found: layers made again from themselves, images pulled again, the rest removed. CLI process, slow path.

Layers below a container with processes are left as they are: its files would be taken away under it. A damaged layer is moved aside while
it is pulled, and put back where that fails, unless its image may go.
"""

from __future__ import annotations

import os

from pyman.engine import check, commit, remove, repair_index
from pyman.engine import images as image_engine
from pyman.engine.container import Container
from pyman.errors import PymanError
from pyman.image import known, reference
from pyman.rootless import idmap
from pyman.state import events
from pyman.storage import artifacts, images, intents, layers, trash, verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.check import Found


class Mended:
    """What was done: `healed` (layer or image id -> how), `layers`, `images` (id -> names), `containers` (id -> name) and `artifacts` that
    were removed, and `notes`: what was tried in vain, what has to be left."""

    __slots__ = ("artifacts", "containers", "healed", "images", "layers", "notes")

    def __init__(self) -> None:
        self.healed: dict[str, str] = {}
        self.layers: list[str] = []
        self.images: dict[str, list[str]] = {}
        self.containers: dict[str, str] = {}
        self.artifacts: list[str] = []
        self.notes: list[str] = []


def mend(found: Found, *, force: bool = False, reporter: Any = None, conf: dict[str, Any] | None = None) -> Mended:
    """Heal what can be healed and remove the rest, also what killed commands have left. force: containers that depend on damage that stays are removed too."""
    done = Mended()
    trash.sweep()
    if found.store:
        repair_index.make(found, done)
    commit.collect()
    if not found.errors:
        return done
    repair_index.mend_records(found, done)
    if force:
        for container_id in sorted(found.unreadable):
            _discard(container_id, done)
    busy = check.busy_layers()
    bad = set(found.layers) | (set(found.using) - set(layers.all_layers()))
    if force:
        for container in {user.id: user for diff_id in bad for user in busy.get(diff_id, [])}.values():
            _remove_container(container, done)
        busy = check.busy_layers()
    for diff_id in bad & set(busy):
        names = ", ".join(container.name for container in busy[diff_id])
        done.notes.append(f"layer {diff_id[:12]} is left as it is: {names} runs on it; stop it and repair again, or use --force")
    bad -= set(busy)
    _rebuild(found, bad, done)
    for record in list(images.own().records.values()):
        problems = found.images.get(record["id"])
        if problems and (bad & set(record["layers"]) or any("blob" in text for text in problems)) and not set(record["layers"]) & set(busy):
            _pull_again(record, bad, done, reporter, conf or {})
    _remove_damaged(found, bad, force, done)
    _remove_leftovers(found, done)
    if found.artifacts:
        artifacts.drop_damaged(set(found.artifacts))
        done.artifacts += sorted(found.artifacts)
    return done


def _rebuild(found: Found, bad: set[str], done: Mended) -> None:
    """Make layers again whose contents are right and whose attributes are not."""
    todo = sorted(found.whole & bad)
    if not todo:
        return
    pool = verify.Verifier(1)
    try:
        for diff_id in todo:
            try:
                verify.rebuild(pool.workers[0], diff_id, idmap.load_idmap().single)
            except PymanError as err:
                done.notes.append(f"layer {diff_id[:12]} could not be made again: {err.why or err.what}")
                continue
            bad.discard(diff_id)
            found.layers.pop(diff_id, None)
            done.healed[diff_id] = "made again from its own contents"
    finally:
        pool.close()


def _sources(record: dict[str, Any]) -> list[str]:
    """Where an image may be had again: by digest at each place it has a name of, then by its names."""
    names = [name for name in images.history(record) if not name.startswith("localhost/") and "@" not in name]
    places = [place for place in known.places(record) if not place.startswith("localhost/")]
    digests = dict.fromkeys([record["digest"], *record["digests"]])
    return [f"docker://{place}@{digest}" for place in places for digest in digests] + [f"docker://{name}" for name in names]


def _pull_again(record: dict[str, Any], bad: set[str], done: Mended, reporter: Any, conf: dict[str, Any]) -> None:
    """Pull an image's damaged parts from where it came; `bad` loses the layers that are good again."""
    wanted = [diff_id for diff_id in dict.fromkeys(record["layers"]) if diff_id in bad]
    damaged_blobs = [blob for blob in images.blobs_of(record) if not images.good_blob(blob)]
    if not wanted and not damaged_blobs:
        done.healed[record["id"]] = "its layers are good again"
        return
    if "list" in record or not _sources(record):
        return
    problem = ""
    with intents.Pending(keep=False) as pending, layers.storing(), layers.Aside(wanted):
        for blob in damaged_blobs:
            trash.put(images.blob_path(blob))
        for name in _sources(record):
            try:
                _fetch(name, record, reporter, conf, pending)
            except PymanError as err:
                problem = str(err)
                continue
            bad.difference_update(wanted)
            done.healed[record["id"]] = f"pulled again from {name.removeprefix('docker://')}"
            events.emit("image", "pull", record["id"], check.title(record))
            return
    done.notes.append(f"image {check.title(record)} could not be pulled again: {problem}")


def _fetch(name: str, record: dict[str, Any], reporter: Any, conf: dict[str, Any], pending: intents.Pending) -> None:
    """Bring the missing parts of exactly this image from `name`. RegistryError, ImageError: also if another image lies there now."""
    from pyman.errors import ImageError
    from pyman.image import manifest, pull

    reference.parse(name.removeprefix("docker://"))
    platform = "/".join(part for part in (record["os"], record["architecture"], record.get("variant") or "") if part)
    platform = platform if record["architecture"] else ""
    for make in pull.sources(name):  # what is signed is verified by fetch
        source = make()
        try:
            data, media_type, _ = source.manifest()
            value = manifest.loads(data, source.label, manifest.MAX_MANIFEST)
            if manifest.kind_of(value, media_type, source.label) == "index":
                data, _, _ = source.manifest(manifest.choose(value, platform, source.label))
                value = manifest.loads(data, source.label, manifest.MAX_MANIFEST)
            if manifest.parse_manifest(value, source.label)[0]["hex"] != record["id"]:
                raise ImageError(f"cannot heal from {source.label}", "another image lies there now")
            fetched, _ = pull.fetch(source, platform, reporter, conf, pending)
            images.add({**record, **{key: fetched[key] for key in ("manifest", "digest", "digests")}}, [])
            return
        finally:
            source.close()


def _remove_damaged(found: Found, bad: set[str], force: bool, done: Mended) -> None:
    """Remove images that are still damaged, unless containers use them and have to stay; then containers that lack layers, if asked for."""
    present = set(layers.all_layers())

    def broken(diff_ids: list[str]) -> bool:
        return any(diff_id in bad or diff_id not in present for diff_id in diff_ids)

    if force:
        for container in check.readable(check.Found()):
            if broken(container.config["layers"]):
                _remove_container(container, done)
    for record in list(images.own().records.values()):
        if record["id"] not in found.images or record["id"] in done.healed:
            continue
        if not broken(record["layers"]) and all(images.good_blob(blob) for blob in images.blobs_of(record)):
            done.healed[record["id"]] = "its layers are good again"
            continue
        users = image_engine.users(record["id"])
        if users and not force:
            done.notes.append(f"image {check.title(record)} is left: {len(users)} containers are made from it; --force removes them, too")
            continue
        try:
            image_engine.remove(record["id"], force=True)
            done.images[record["id"]] = list(record["names"])
        except PymanError as err:
            done.notes.append(str(err))
    used = {diff_id for record in images.load().records.values() for diff_id in record["layers"]}
    for container in check.readable(check.Found()):
        used.update(container.config["layers"])
    for diff_id in found.layers:
        if diff_id not in used and diff_id not in done.healed:
            trash.discard(os.path.join(layers.layers_dir(), diff_id))
            done.layers.append(diff_id)


def _remove_container(container: Container, done: Mended) -> None:
    try:
        name = container.name
        remove.remove_container(container, force=True, depend=True)
        done.containers[container.id] = name
    except PymanError as err:
        done.notes.append(f"container {container.id[:12]} could not be removed: {err}")


def _discard(container_id: str, done: Mended) -> None:
    """Take away a container whose files cannot be read. What of it still runs is ended."""
    from pyman.engine import lost_removal

    try:
        if lost_removal.clear(Container(container_id)):
            done.containers[container_id] = ""
        else:
            done.notes.append(f"container {container_id[:12]} is left: another command is at work on it")
    except (PymanError, OSError) as err:
        done.notes.append(f"container {container_id[:12]} could not be removed: {err}")


def _remove_leftovers(found: Found, done: Mended) -> None:
    """Take away what nobody needs, unless another command is just putting an image into the store."""
    from pyman.engine import sweep

    if found.leftovers and sweep.unreferenced(set(found.leftovers)):
        done.layers += [os.path.basename(place) for place in found.leftovers if os.path.dirname(place) == layers.layers_dir()]

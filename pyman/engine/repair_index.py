"""A damaged index of images, made again: from its copy, the manifests, the containers and the log of events. CLI process, slow path."""

from __future__ import annotations

import os
import time

from pyman.engine import check
from pyman.errors import PymanError
from pyman.image import reference
from pyman.state import eventlog, store
from pyman.storage import additional, image_config, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.check import Found
    from pyman.engine.repair import Mended
    from pyman.storage.images import ImageIndex

    Records = dict[str, dict[str, Any]]


def make(found: Found, done: Mended) -> None:
    """Write the index anew; the damaged one is kept beside it. `done.notes` says what may be lost."""
    where = images.path()
    with images.locked():
        records, names_of = _copied(), ""
        if records:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.stat(where + ".copy").st_mtime))
            names_of = f"; their names are those of its copy, written {when}"
        for key, record in _from_manifests().items():
            if key not in records:
                records[key] = record
                record["names"] = _names(key, {name for other in records.values() for name in other["names"]})
                record["history"] = list(record["names"])
        damaged = os.path.lexists(where)
        if damaged:
            os.rename(where, where + ".damaged")
        images.save(images.ImageIndex(records))
    found.store.clear()
    kept = f"; the old one is {where}.damaged" if damaged else ""
    done.notes.append(f"the index of images was written anew with {len(records)} images{names_of}{kept}")
    nameless = [key[:12] for key, record in records.items() if not record["names"]]
    if nameless:
        done.notes.append(f"without a name, or names that could not be found again: {', '.join(nameless)}; pyman tag gives them one")
    if not names_of:
        done.notes.append(
            "its copy could not be used: lists of images are lost, and names that neither a container nor the log of events tells"
        )


def mend_records(found: Found, done: Mended) -> None:
    """Replace records that make no sense: from the copy of the index, or from the image's manifest. What cannot be replaced is taken out."""
    if not found.unsound:
        return
    copied, made = _copied(), _from_manifests()

    def action(index: ImageIndex) -> None:
        for key in sorted(found.unsound):
            broken = index.records.pop(key, None)
            taken = {name for other in index.records.values() if isinstance(other, dict) for name in _texts(other.get("names"))}
            record, how = copied.get(key), "its record was taken from the copy of the index"
            if record is None:
                record, how = made.get(key), "its record was made again from its manifest"
            if record is None:
                done.images[key] = []
                continue
            told = _texts(broken.get("names")) if isinstance(broken, dict) and key not in copied else record["names"]
            record["names"] = [name for name in told if name not in taken] or _names(key, taken)
            index.records[key] = record
            done.healed[key] = how

    images.change(action)
    for key in found.unsound & set(done.healed):
        del found.images[key]


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _copied() -> Records:
    """The sound records of the index's copy of which something is still there: an image that was removed since does not come back."""
    try:
        value = (store.read_json(images.path() + ".copy") or {}).get("images")
    except PymanError:
        return {}
    found = value.items() if isinstance(value, dict) else ()
    unseen = bool(additional.problems())  # an image may lie in a store that cannot be read just now
    return {
        key: record
        for key, record in found
        if additional.sound(key, record) and (unseen or os.path.exists(images.readable(record["manifest"])))
    }


def _from_manifests() -> Records:
    """A record without names for each manifest whose configuration and layers are there."""
    from pyman.image import manifest, pull

    base = os.path.dirname(images.blob_path("x"))
    records: Records = {}
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        try:
            value = manifest.loads(images.read_blob(name, "manifest"), "manifest", manifest.MAX_MANIFEST)
            if "layers" not in value or "config" not in value:
                continue
            config, descriptors = manifest.parse_manifest(value, "manifest")
            document, diff_ids = manifest.parse_config(images.read_blob(config["hex"], "image"), len(descriptors), "image")
        except PymanError:
            continue  # a configuration, or damaged
        facts: dict[str, Any] = {"size": layers.sizes(diff_ids), "created": pull.epoch(document.get("created") or "")}
        record = image_config.new_record(document, config=config["hex"], manifest=name, layers=diff_ids, **facts)
        records[record["id"]] = record
    return records


def _names(image_id: str, taken: set[str]) -> list[str]:
    """What containers and the log of events call an image, without what others are called."""
    found = [str(container.state["image"]) for container in check.readable(check.Found()) if container.state["image_id"] == image_id]
    owners: dict[str, str] = {}
    for event in eventlog.read():
        name = event["Name"].removeprefix("docker://")
        if event["Type"] != "image" or not _full(name):
            continue
        if event["Status"] in ("pull", "tag", "import"):
            owners[name] = event["ID"]
        elif event["Status"] in ("untag", "remove"):
            owners.pop(name, None)
    found += [name for name, owner in owners.items() if owner == image_id]
    return [name for name in dict.fromkeys(found) if name not in taken and _full(name)]


def _full(name: str) -> bool:
    """Whether it is a name with registry and tag: events may tell short ones, ids, and places of other transports."""
    try:
        return "@" not in name and not reference.is_short(name) and reference.parse(name).name() == name
    except PymanError:
        return False

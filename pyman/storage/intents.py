"""What a command is about to put into the store before an image's record names it, or to delete after. CLI process and its children.

An intent is a directory of graphroot/intents, locked by its maker. One that nobody holds was left by a killed command: what it
names, and no image or container has, is garbage.
"""

from __future__ import annotations

import os
import time

from pyman import paths, stages
from pyman.errors import StorageError
from pyman.state import store
from pyman.state.lock import Lock
from pyman.storage import images, layers, partial, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container


def _directory() -> str:
    return os.path.join(paths.graphroot(), "intents")


class Intent:
    """One intent, locked as long as this process (or a child with its descriptor) lives."""

    __slots__ = ("_lock", "path")

    def __init__(self) -> None:
        os.makedirs(_directory(), 0o700, exist_ok=True)
        self.path = os.path.join(_directory(), os.urandom(8).hex())
        with Lock(_directory(), shared=True):  # no sweep between the directory and its lock
            os.mkdir(self.path, 0o700)
            self._lock = Lock(self.path)
            self._lock.acquire()

    @property
    def fd(self) -> int:
        """The lock's descriptor, for children."""
        return self._lock.fd

    def note(self, layer_ids: list[str], blobs: list[str], sync: bool = True, keep: bool = False) -> None:
        """Write down all diff ids and blob digests (hex) that are going to be in the store, or to leave it. StorageError.

        keep: what a killed command leaves of it is of use to the next, and stays for partial.KEPT seconds.
        """
        value = {"layers": layer_ids, "blobs": blobs, **({"keep": True} if keep else {})}
        store.write_json(os.path.join(self.path, "intent.json"), value, sync=sync)

    def release(self) -> None:
        """It failed: the next sweep deletes what was put there."""
        self._lock.release()

    def done(self) -> None:
        """A record names everything."""
        _remove(self.path)
        self._lock.release()


class Pending:
    """`with Pending(keep) as pending, layers.storing():` an intent for an image that comes from elsewhere, made when `note` is called.

    At the end it is done, or after a failure what it names is deleted. keep: as for Intent.note; a pull that was broken off goes on where it was.
    """

    __slots__ = ("_intent", "_keep")

    def __init__(self, keep: bool) -> None:
        self._intent: Intent | None = None
        self._keep = keep

    def note(self, layer_ids: list[str], blobs: list[str]) -> None:
        """See Intent.note. Not synced: what it names is synced later, or not there after a power failure either."""
        intent = Intent()
        try:
            intent.note(layer_ids, blobs, sync=False, keep=self._keep)
        except BaseException:
            intent.done()  # there is nothing yet that it could name
            raise
        self._intent = intent

    def __enter__(self) -> Pending:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._intent and kind is None:
            self._intent.done()
        elif self._intent:
            self._intent.release()
            collect()


def _remove(path: str) -> None:
    try:
        for entry in os.listdir(path):
            os.unlink(os.path.join(path, entry))
        os.rmdir(path)
    except FileNotFoundError:
        pass


def collect(oldest: float = partial.KEPT) -> None:
    """Delete what killed commands have put into the store, or were about to delete, and nobody uses; cheap when there is nothing.

    oldest: seconds for which the layers of a pull that was broken off are kept.

    Nothing is done while another command is putting an image into the store, or making a container: the next command will do.
    """
    guard = Lock(_directory())
    sweepless = layers.storing()
    sweepless.shared = False
    try:
        if not os.listdir(_directory()) or not guard.try_acquire() or not sweepless.try_acquire():
            return
        used: tuple[set[str], set[str]] | None = None
        for entry in os.listdir(_directory()):
            lock = Lock(os.path.join(_directory(), entry))
            if lock.try_acquire():
                if _is_kept(lock.path, oldest):
                    lock.release()
                    continue
                used = used or _used()
                if used is None:
                    lock.release()
                    return
                _finish(lock.path, *used)
            lock.release()
    except FileNotFoundError:
        pass
    finally:
        sweepless.release()
        guard.release()


def _is_kept(path: str, oldest: float) -> bool:
    file = os.path.join(path, "intent.json")
    try:
        return bool((store.read_json(file) or {}).get("keep")) and time.time() - os.stat(file).st_mtime < oldest
    except (StorageError, OSError):
        return False


def _finish(path: str, used_layers: Container[str], used_blobs: Container[str]) -> None:
    """Delete what one intent names and nobody uses, then the intent."""
    try:
        found = store.read_json(os.path.join(path, "intent.json")) or {}
    except StorageError:
        found = {}  # written just before a power failure
    for diff_id in found.get("layers") or []:
        if diff_id not in used_layers:
            layers.remove_layer(diff_id)
            stages.reach("collect:layer")
    for digest in found.get("blobs") or []:
        if digest not in used_blobs:
            trash.discard(images.blob_path(digest))
    _remove(path)


def _used() -> tuple[set[str], set[str]] | None:
    """(layers, blobs) that images and containers need; None if there is a container of which that is not known (yet)."""
    records = images.own().records.values()
    needed = {diff_id for record in records for diff_id in record["layers"]}
    base = os.path.join(paths.graphroot(), "containers")
    for entry in os.listdir(base) if os.path.isdir(base) else []:
        try:
            config = store.read_json(os.path.join(base, entry, "config.json"))
        except StorageError:
            return None
        if config is None:
            if os.path.isdir(os.path.join(base, entry)):
                return None
            continue  # removed just now
        needed.update(config["layers"])
    return needed, {blob for record in records for blob in images.blobs_of(record)}

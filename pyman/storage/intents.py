"""What a command is about to put into the store, before an image's record names it. CLI process and its children.

An intent is a directory of graphroot/intents, locked by its maker. One that nobody holds was left by a killed command: what it
names, and no image or container has, is garbage.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.state import store
from pyman.state.lock import Lock
from pyman.storage import images, layers, trash

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

    def note(self, layer_ids: list[str], blobs: list[str]) -> None:
        """Write down all diff ids and blob digests (hex) that are going to be in the store. StorageError."""
        store.write_json(os.path.join(self.path, "intent.json"), {"layers": layer_ids, "blobs": blobs}, sync=True)

    def release(self) -> None:
        """It failed: the next sweep deletes what was put there."""
        self._lock.release()

    def done(self) -> None:
        """A record names everything."""
        _remove(self.path)
        self._lock.release()


def _remove(path: str) -> None:
    try:
        for entry in os.listdir(path):
            os.unlink(os.path.join(path, entry))
        os.rmdir(path)
    except FileNotFoundError:
        pass


def sweep(used_layers: Container[str], used_blobs: Container[str]) -> None:
    """Delete what killed commands have put into the store and nobody uses; cheap when there is nothing."""
    guard = Lock(_directory())
    try:
        if not guard.try_acquire():
            return
        for entry in os.listdir(_directory()):
            lock = Lock(os.path.join(_directory(), entry))
            if lock.try_acquire():
                found = store.read_json(os.path.join(lock.path, "intent.json")) or {}
                for diff_id in found.get("layers") or []:
                    if diff_id not in used_layers:
                        layers.remove_layer(diff_id)
                for digest in found.get("blobs") or []:
                    if digest not in used_blobs:
                        trash.discard(images.blob_path(digest))
                _remove(lock.path)
            lock.release()
    except FileNotFoundError:
        pass
    finally:
        guard.release()

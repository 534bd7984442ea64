"""Layers on disk: layers/<diff id>/diff, independent of their parents. CLI process and unpack workers.

A layer exists when its directory has been renamed into place; until then it is an unfinished entry of tmp/, locked by
its maker, and garbage once the maker is gone.
"""

from __future__ import annotations

import os

from pyman import paths, stages
from pyman.errors import StorageError
from pyman.linux import fs
from pyman.state import store
from pyman.state.lock import Lock
from pyman.storage import additional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def layers_dir() -> str:
    """graphroot/layers."""
    return os.path.join(paths.graphroot(), "layers")


def place(diff_id: str) -> str:
    """The directory of layer `diff_id` (64 hex digits): in the store, or in an additional one that has it."""
    own = os.path.join(layers_dir(), diff_id)
    if additional.stores() and not os.path.exists(own):
        found = additional.find("layers", diff_id, "layer.json")
        return os.path.dirname(found) if found else own
    return own


def layer_path(diff_id: str) -> str:
    """The tree of layer `diff_id` (64 hex digits)."""
    return os.path.join(place(diff_id), "diff")


def has_layer(diff_id: str) -> bool:
    """Whether the layer is complete in the store, or in an additional one."""
    return os.path.exists(os.path.join(place(diff_id), "layer.json"))


def read_info(diff_id: str) -> dict[str, Any]:
    """{"diff_id", "digest", "size" (bytes of the files), "compressed_size", "entries", "single" (owners not kept)}; empty if unknown."""
    return store.read_json(os.path.join(place(diff_id), "layer.json")) or {}


class Staging:
    """A layer being made, in tmp/ under lock; `diff` is where its files go."""

    __slots__ = ("_lock", "diff", "path")

    def __init__(self) -> None:
        base = os.path.join(paths.graphroot(), "tmp")
        os.makedirs(base, 0o700, exist_ok=True)
        self.path = os.path.join(base, f"layer-{os.urandom(8).hex()}")
        with Lock(base, shared=True):  # no sweep between the directory and its lock
            os.mkdir(self.path, 0o700)
            self._lock = Lock(self.path, shared=True)  # a worker that writes into it holds another share
            self._lock.acquire()
        self.diff = os.path.join(self.path, "diff")
        os.mkdir(self.diff, 0o755)

    def __enter__(self) -> Staging:
        """For `with`: a layer that was not committed is thrown away when an exception leaves the block."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None and os.path.exists(self.path):
            self.abandon()

    def commit(self, diff_id: str, info: dict[str, Any]) -> None:
        """See `commit`."""
        for lost in commit([(self, diff_id, info)]):
            lost.abandon()

    def release(self) -> None:
        """Leave the directory to whoever sweeps, if it is not a layer by now."""
        self._lock.release()

    def abandon(self) -> None:
        """Throw the unfinished layer away."""
        from pyman.storage import trash

        self._lock.release()
        trash.discard(self.path)


def commit(made: list[tuple[Staging, str, dict[str, Any]]]) -> list[Staging]:
    """Data of complete layers (with diff ids and infos) to disk by one syncfs, then the renames that make them exist. StorageError.

    Somebody else's equal layer wins: those returned have lost and are to be abandoned.
    """
    lost = []
    try:
        for staging, diff_id, info in made:
            store.write_json(os.path.join(staging.path, "layer.json"), {**info, "diff_id": diff_id})
        fs.syncfs(made[0][0].path)
        stages.reach("pull:commit")
        os.makedirs(layers_dir(), 0o700, exist_ok=True)
        for staging, diff_id, _ in made:
            try:
                os.rename(staging.path, os.path.join(layers_dir(), diff_id))
            except OSError:
                if not has_layer(diff_id):
                    raise
                lost.append(staging)
    except OSError as err:
        raise StorageError(
            f"cannot store layer {made[0][1][:12]}",
            err.strerror or str(err),
            "free some disk space" if err.errno == 28 else "",
            errno=err.errno or 0,
        ) from err
    finally:
        for staging, _, _ in made:
            staging.release()
    return lost


def sizes(diff_ids: list[str]) -> int:
    """Bytes of the files in these layers together."""
    return sum(int(read_info(diff_id).get("size", 0)) for diff_id in diff_ids)


def storing() -> Lock:
    """A lock to be held (shared) from the first layer or blob that is put into the store until a record names it: nobody sweeps then."""
    try:
        os.mkdir(layers_dir(), 0o700)
    except FileExistsError:
        pass
    return Lock(layers_dir(), shared=True)


def first_use() -> None:
    """Before anything is put into a store: find out whether its file system can hold it, if it is new. StorageError, RootlessError."""
    if not os.path.isdir(layers_dir()):
        from pyman.storage import suitable

        suitable.require(paths.graphroot())


class Aside:
    """Damaged layers moved aside, into tmp/ under lock, while others take their place; what a killed command leaves there, the next one sweeps.

    `with Aside(ids):` puts back, at the end, those that nothing has taken the place of, and deletes the others.
    """

    __slots__ = ("_ids", "_staging")

    def __init__(self, diff_ids: list[str]) -> None:
        self._staging = Staging()
        self._ids = diff_ids

    def __enter__(self) -> Aside:
        for diff_id in self._ids:
            self._move(os.path.join(layers_dir(), diff_id), os.path.join(self._staging.path, diff_id))
        return self

    def __exit__(self, *_: object) -> None:
        for diff_id in self._ids:
            if not os.path.lexists(os.path.join(layers_dir(), diff_id)):
                self._move(os.path.join(self._staging.path, diff_id), os.path.join(layers_dir(), diff_id))
        self._staging.abandon()

    def _move(self, source: str, target: str) -> None:
        try:
            os.rename(source, target)
        except FileNotFoundError:
            pass  # it was missing from the start
        except OSError as err:
            raise StorageError("cannot replace a damaged layer", err.strerror or str(err), errno=err.errno or 0) from err


def remove_layer(diff_id: str) -> None:
    """Delete a layer no image needs."""
    from pyman.storage import trash

    trash.discard(os.path.join(layers_dir(), diff_id))


def all_layers() -> list[str]:
    """The diff ids of all complete layers."""
    try:
        return [entry for entry in os.listdir(layers_dir()) if has_layer(entry)]
    except FileNotFoundError:
        return []


def open_newest(most: int) -> list[int]:
    """Descriptors of the trees of the newest complete layers, `most` of them, the newest first."""
    found: list[tuple[float, int]] = []
    for diff_id in all_layers():
        try:
            fd = os.open(layer_path(diff_id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        found.append((-os.fstat(fd).st_ctime, fd))
    found.sort()
    for _, fd in found[most:]:
        os.close(fd)
    return [fd for _, fd in found[:most]]

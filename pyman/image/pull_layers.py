"""The layers of a pull: downloaded and unpacked, several at a time. CLI process, slow path.

Unpack workers are forked before any thread exists. Everything is verified while it streams. A thread brings complete layers to the disk, all
that wait for it at once, while the workers have the next ones: nobody waits for a disk but the end of the pull.
"""

from __future__ import annotations

import os
import threading

from pyman import stages
from pyman.errors import ImageError, PymanError, RegistryError, StorageError
from pyman.image import lanes, pull_chunked
from pyman.linux import fs
from pyman.storage import layers, partial
from pyman.storage.unpacker import Unpacker

_PIPE = 1 << 18  # bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def fetch(source: Any, missing: dict[str, dict[str, Any]], reporter: Any, parallel: int) -> None:
    """Download and unpack all missing layers; the first error ends the others."""
    count = max(1, min(parallel, len(missing), 8))
    unpacker = Unpacker(count)
    try:
        with _Commits() as commits:
            lanes.run(unpacker.workers, list(missing.items()), lambda worker, item: _one_layer(source, worker, commits, *item, reporter))
    finally:
        unpacker.close()


class _Commits:
    """Complete layers on their way to the disk. Leaving `with` waits for all of them, and raises what has gone wrong."""

    def __init__(self) -> None:
        self._waiting: list[tuple[layers.Staging, str, dict[str, Any]]] = []
        self._lost: list[layers.Staging] = []
        self._failures: list[BaseException] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def add(self, staging: layers.Staging, diff_id: str, info: dict[str, Any]) -> None:
        """A layer is complete in its staging directory."""
        with self._changed:
            self._waiting.append((staging, diff_id, info))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                made, self._waiting = self._waiting, []
            if not made:
                return
            try:
                self._lost += layers.commit(made)
            except BaseException as err:  # handed to the main thread, which raises it
                self._failures.append(err)
                self._lost += [staging for staging, _, _ in made if os.path.exists(staging.path)]

    def __enter__(self) -> _Commits:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for staging in self._lost:  # here, for it may take a child, and there are no threads any more
            staging.abandon()
        for failure in self._failures:
            if kind is None:
                raise failure


def _one_layer(source: Any, worker: Any, commits: _Commits, diff_id: str, layer: dict[str, Any], reporter: Any) -> None:
    """One layer into the store; from a registry, beginning with what a broken pull has left of it."""
    key = layer["hex"]
    if reporter:
        reporter.start(key, f"layer {key[:12]}", layer["size"])
    found = pull_chunked.fetch(source, worker, diff_id, layer, reporter) if source.remote and not partial.begun(key) else None
    if found:
        commits.add(found[0], diff_id, found[1])
    while not found:
        kept = partial.open_partial(key, layer["size"]) if source.remote else None
        reused = kept.size if kept else 0
        try:
            made = _transfer(source, worker, diff_id, layer, reporter, kept)
        except RegistryError:
            raise  # the bytes that came are good as far as anybody knows
        except PymanError as err:
            if kept:
                kept.discard()  # wrong bytes, or a full disk that needs their room
            if reused and isinstance(err, ImageError):
                continue  # perhaps only the old bytes were wrong: once more, from the registry alone
            err.what = err.what.replace("layer", f"layer {key[:12]} of {source.label}", 1)
            raise
        else:
            if kept:
                kept.discard()
            commits.add(made[0], diff_id, made[1])
            break
        finally:
            if kept:
                kept.close()
    if reporter:
        reporter.finish(key, "done")


def _transfer(
    source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any, kept: partial.Partial | None
) -> tuple[layers.Staging, dict[str, Any]]:
    """A layer from its source into a staging directory; (that, what is known of the layer)."""
    try:
        staging = layers.Staging()
    except OSError as err:
        hint = "free some disk space" if err.errno == 28 else ""
        raise StorageError("cannot unpack layer", err.strerror or str(err), hint, errno=err.errno or 0) from err
    read_end, write_end = os.pipe()
    fs.widen_pipe(write_end, _PIPE)
    download_error: list[BaseException] = []

    def arrived(data: bytes) -> None:
        if kept:
            kept.append(data)
        stages.reach("pull:download")

    def download() -> None:
        try:
            if kept:
                kept.replay(write_end)
            if source.remote:
                source.copy_blob(layer, write_end, kept.size if kept else 0, arrived)
                if kept:
                    kept.discard()  # before the layer's files are synced: these bytes would go to the disk with them
            else:
                source.copy_blob(layer, write_end)
        except BaseException as err:  # handed over: the unpacker will report a truncated layer, this is why
            download_error.append(err)
        finally:
            os.close(write_end)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    complete = False
    job = {"path": staging.path, "media_type": layer["mediaType"], "digest": layer["hex"], "size": layer["size"], "diff_id": diff_id}
    try:
        info = worker.unpack(read_end, job, (lambda done: reporter.update(layer["hex"], done)) if reporter else None)
        complete = True
    except PymanError:
        os.close(read_end)
        read_end = -1
        thread.join()
        # A refused layer closes the pipe under the download; only a download's own failure is the cause.
        causes = [err for err in download_error if isinstance(err, PymanError)]
        if causes:
            raise causes[0] from None
        raise
    finally:
        if not complete:
            staging.release()
        if read_end >= 0:
            os.close(read_end)
    thread.join()
    return staging, info

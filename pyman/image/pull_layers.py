"""The layers of a pull: downloaded and unpacked, several at a time. CLI process, slow path.

Unpack workers are forked before any thread exists. Everything is verified while it streams.
"""

from __future__ import annotations

import os
import threading

from pyman import stages
from pyman.errors import ImageError, PymanError, RegistryError
from pyman.image import lanes
from pyman.storage import partial
from pyman.storage.unpacker import Unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def fetch(source: Any, missing: dict[str, dict[str, Any]], reporter: Any, parallel: int) -> None:
    """Download and unpack all missing layers; the first error ends the others."""
    count = max(1, min(parallel, len(missing), 8))
    unpacker = Unpacker(count)
    try:
        lanes.run(unpacker.workers, list(missing.items()), lambda worker, item: _one_layer(source, worker, *item, reporter))
    finally:
        unpacker.close()


def _one_layer(source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any) -> None:
    """One layer into the store; from a registry, beginning with what a broken pull has left of it."""
    key = layer["hex"]
    if reporter:
        reporter.start(key, f"layer {key[:12]}", layer["size"])
    while True:
        kept = partial.open_partial(key, layer["size"]) if source.remote else None
        reused = kept.size if kept else 0
        try:
            _transfer(source, worker, diff_id, layer, reporter, kept)
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
            break
        finally:
            if kept:
                kept.close()
    if reporter:
        reporter.finish(key, "done")


def _transfer(source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any, kept: partial.Partial | None) -> None:
    read_end, write_end = os.pipe()
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
    job = {"media_type": layer["mediaType"], "digest": layer["hex"], "size": layer["size"], "diff_id": diff_id}
    try:
        worker.unpack(read_end, job, (lambda done: reporter.update(layer["hex"], done)) if reporter else None)
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
        if read_end >= 0:
            os.close(read_end)
    thread.join()

"""A zstd:chunked layer of which the store has most files already: its table of contents, then what is missing. CLI process, slow path.

The worker (storage/assemble.py) reads the table, looks into the layers of the store and says which bytes it lacks; they are fetched by ranges.
The result counts if its digest is the diff id. Whatever goes wrong, the layer is fetched as a whole.
"""

from __future__ import annotations

import errno
import os
import threading

from pyman.config import containers
from pyman.errors import ImageError, PymanError, StorageError
from pyman.image import ranges
from pyman.storage import layers
from pyman.storage.chunk_table import MAX_PACKED
from pyman.storage.compress import CHUNKED_NOTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.registry import Connection

SMALLEST = 1 << 20  # bytes: a smaller layer is fetched as quickly
_PART = 0.6  # of a layer that may be fetched by ranges


def table_of(layer: dict[str, Any]) -> dict[str, Any] | None:
    """Where the layer's table is, by its annotations ("notes"); None for a layer that is to be fetched as a whole."""
    notes = layer["notes"]
    try:
        at, size, plain, kind = map(int, notes[f"{CHUNKED_NOTES}manifest-position"].split(":"))
        behind, split, _ = map(int, notes[f"{CHUNKED_NOTES}tarsplit-position"].split(":"))
        checksum = notes[f"{CHUNKED_NOTES}manifest-checksum"]
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    good = isinstance(checksum, str) and 0 < size <= MAX_PACKED and 0 < split <= MAX_PACKED and kind == 1 and plain > 0
    if layer["size"] < SMALLEST or not good or not 0 <= at < at + size <= behind < behind + split <= layer["size"]:
        return None
    return {
        "at": at,
        "table": size,
        "plain": plain,
        "behind": behind,
        "split": split,
        "checksum": checksum,
        "end": at,
        "size": layer["size"],
    }


def fetch(source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any) -> tuple[layers.Staging, dict[str, Any]] | None:
    """A layer in a staging directory, and what is known of it; None if it is to be fetched as a whole. StorageError."""
    table = table_of(layer)
    if not table or not _worth_it(source) or not layers.all_layers():
        return None
    staging = layers.Staging()
    lane = _Lane(source, layer, table, reporter)
    try:
        job = {"path": staging.path, "media_type": "", "diff_id": diff_id, "chunked": table}
        info = worker.unpack(lane.read_end, job, None, lane.wanted)
    except PymanError as err:
        staging.release()
        if isinstance(err, StorageError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return None
    finally:
        lane.close()
    if reporter:
        reporter.message(f"layer {layer['hex'][:12]}: {lane.fetched >> 10} of {layer['size'] >> 10} KiB fetched, the rest was there")
    # The digest of the compressed layer is not known: nobody has seen all of it.
    return staging, {
        **{key: value for key, value in info.items() if key != "digest"},
        "compressed_size": layer["size"],
    }


def _worth_it(source: Any) -> bool:
    """Whether the network is slower than what this costs more of the processor (docs/decisions/0010), or the user wants it."""
    how = containers.load()["storage"].get("partial_pulls") or "auto"
    host = source.reference.registry.rpartition(":")[0] or source.reference.registry
    return how == "always" or (how == "auto" and host not in ("localhost", "[::1]") and not host.startswith("127."))


class _Lane:
    """The thread that fetches, and the pipe that takes what it fetches to the worker."""

    def __init__(self, source: Any, layer: dict[str, Any], table: dict[str, Any], reporter: Any) -> None:
        self._source, self._layer, self._table, self._reporter = source, layer, table, reporter
        self._ranges: list[tuple[int, int]] = []
        self._asked = threading.Event()
        self.fetched = self._at = 0
        self.read_end, self._write_end = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wanted(self, found: list[list[int]], more: bool) -> None:
        """The worker's ranges."""
        self._ranges += [(begin, end) for begin, end in found]
        if not more:
            self._asked.set()

    def close(self) -> None:
        """Have the thread end."""
        self._asked.set()
        os.close(self.read_end)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._source.parts(self._layer, self._bring)
        except (PymanError, OSError, ranges.Unsupported):
            pass  # the worker finds the pipe at its end
        finally:
            os.close(self._write_end)

    def _bring(self, connection: Connection) -> None:
        table, path = self._table, f"blobs/{self._layer['digest']}"
        if self._at:
            raise ImageError("cannot fetch parts of a layer", "another mirror was asked for them before")
        first = [(table["at"], table["at"] + table["table"]), (table["behind"], table["behind"] + table["split"])]
        ranges.copy(connection, path, first, self._out, MAX_PACKED)
        self._asked.wait()
        needed = sum(end - begin for begin, end in self._ranges)
        most = int(_PART * self._layer["size"])
        if ranges.cost(self._ranges) <= most and needed:
            ranges.copy(connection, path, self._ranges, self._out, most)

    def _out(self, data: bytes) -> None:
        self.fetched += len(data)
        self._at += len(data)
        if self._reporter:
            self._reporter.update(self._layer["hex"], self.fetched)
        view = memoryview(data)
        while view:
            view = view[os.write(self._write_end, view) :]

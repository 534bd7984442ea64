"""Workers that make an unpacked layer into its tar again, compressed as asked for. Pack workers, forked by the CLI process.

What they write is believed only if the tar has the layer's diff id: a store that was tampered with is noticed before anything is pushed.
"""

from __future__ import annotations

import hashlib
import os

from pyman import stages
from pyman.errors import ImageError
from pyman.storage import additional, compress, layers, skeleton
from pyman.storage.workers import Worker, several

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BATCH = 1 << 18  # bytes collected before they are hashed and compressed: most files are small
_STEP = 1 << 20  # bytes between two progress messages


class Packer:
    """A pool of workers."""

    __slots__ = ("workers",)

    def __init__(self, count: int) -> None:
        self.workers = several(count, lambda fd: Worker(_pack, "pack a layer", _places, fd))

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()


def pack(
    worker: Worker, fd: int, diff_id: str, kind: str = "", level: int | None = None, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Write the layer's tar to `fd`, compressed; {"digest", "size", "plain_size"} of what was written, "annotations" for its descriptor.

    ImageError if the store's copy is damaged; the bytes written then must not be used. Blocks; call it from a thread of its own.
    """
    return worker.ask(fd, {"diff_id": diff_id, "kind": kind, "level": level}, progress)


def _places() -> tuple[list[str], list[str]]:
    return [layers.layers_dir(), *(os.path.join(place, "layers") for place in additional.stores())], []


def _batches(diff_id: str) -> Any:
    parts: list[bytes] = []
    have = 0
    for piece in skeleton.plain(layers.place(diff_id)):
        parts.append(piece)
        have += len(piece)
        if have >= _BATCH:
            yield b"".join(parts)
            parts.clear()
            have = 0
    yield b"".join(parts)


def _pack(fd: int, job: dict[str, Any], sock: Any) -> dict[str, Any]:
    from pyman.state import fastjson

    diff_id = str(job["diff_id"])
    plain = hashlib.sha256()
    packed = hashlib.sha256() if job["kind"] else plain  # what is not compressed need not be hashed twice
    plain_size = size = told = 0

    def out(data: bytes) -> None:
        nonlocal size
        if packed is not plain:
            packed.update(data)
        size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def went(batch: bytes) -> None:
        nonlocal plain_size, told
        plain.update(batch)
        plain_size += len(batch)
        stages.reach("push:packed")
        if plain_size - told >= _STEP:
            told = plain_size
            sock.send(fastjson.dumps({"progress": plain_size}).encode())

    annotations: dict[str, str] = {}
    if job["kind"] == compress.CHUNKED:
        from pyman.storage import chunked  # rare

        annotations = chunked.pack(layers.place(diff_id), job["level"], went, out)
    else:
        engine = compress.engine(job["kind"], job["level"])
        for batch in _batches(diff_id):
            went(batch)
            out(engine.compress(batch))
        out(engine.flush())
    if plain.hexdigest() != diff_id:
        raise ImageError(
            f"damaged layer {diff_id[:12]} in the store",
            "its files do not make up the tar that it came from",
            "remove the image and pull it again",
        )
    return {"digest": packed.hexdigest(), "size": size, "plain_size": plain_size, "annotations": annotations}

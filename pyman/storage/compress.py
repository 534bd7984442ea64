"""Streaming compression of layers: gzip, zstd or none. Pack workers."""

from __future__ import annotations

from pyman.errors import UsageError
from pyman.storage.decompress import GZIP, PLAIN, ZSTD, fast_zlib, zstd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHUNKED = "zstd:chunked"  # zstd with a table of contents: see chunked.py
CHUNKED_NOTES = "io.github.containers.zstd-chunked."  # what the annotations that say where the table is begin with
FORMATS = (GZIP, ZSTD, CHUNKED)
_LEVELS = {GZIP: (1, 9), ZSTD: (1, 20), CHUNKED: (1, 20)}
_FAST = 2  # isal's best level: as small as zlib's level 1, ten times as fast


class _Plain:
    """No compression, with the methods of an engine."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def check_level(kind: str, level: int | None) -> None:
    """UsageError if the format does not have this level."""
    lowest, highest = _LEVELS.get(kind, (0, 0))
    if level is not None and not lowest <= level <= highest:
        raise UsageError(f"invalid value {level} for --compression-level", f"{kind or 'no compression'} has levels {lowest} to {highest}")


def engine(kind: str, level: int | None) -> Any:
    """An object with compress(data) and flush(); level None: the one that is fastest for its size."""
    if kind == PLAIN:
        return _Plain()
    if kind == ZSTD:
        return zstd().ZstdCompressor(level=3 if level is None else level).compressobj()
    fast = fast_zlib()
    if level is None and fast.__name__ != "zlib":
        return fast.compressobj(_FAST, wbits=31)
    import zlib  # its levels are those that users know

    return zlib.compressobj(6 if level is None else level, wbits=31)

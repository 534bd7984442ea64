"""Streaming decompression: gzip by isal (two to three times zlib's speed), zstd, plain. Unpack workers.

The door of isal and zstandard: nothing else imports them.
"""

from __future__ import annotations

from pyman.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GZIP, ZSTD, PLAIN = "gzip", "zstd", ""


def kind_of(media_type: str, head: bytes) -> str:
    """The compression: what the first bytes say. ImageError if the media type says otherwise."""
    found = GZIP if head[:2] == b"\x1f\x8b" else ZSTD if head[:4] == b"\x28\xb5\x2f\xfd" else PLAIN
    if media_type.endswith("+zstd") and found != ZSTD:
        raise ImageError("damaged layer", "its media type says zstd, its content does not")
    return found


class Decompressor:
    """feed(compressed) -> plain bytes, in pieces bounded by `limit` through repeated calls of `more`."""

    __slots__ = ("_engine", "_kind", "_tail")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._tail = b""
        self._engine: Any = self._new()

    def _new(self) -> Any:
        if self._kind == GZIP:
            try:
                from isal import isal_zlib as zlib
            except ImportError:  # no wheel for this platform
                import zlib  # type: ignore[no-redef]
            return zlib.decompressobj(31)
        if self._kind == ZSTD:
            import zstandard

            # The window bounds the memory whatever the frame asks for: 8 MiB is what encoders use at most by default.
            return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        return None

    def feed(self, data: bytes, limit: int = 1 << 20) -> list[bytes]:
        """Decompress `data` completely; a list of pieces (gzip pieces of at most `limit` bytes). ImageError if damaged."""
        if self._engine is None:
            return [data]
        pieces: list[bytes] = []
        try:
            if self._kind == ZSTD:
                # Small inputs keep the outputs small: zstd expands at most 2^17-fold per block of 128 KiB.
                for at in range(0, len(data), 4096):
                    self._feed_zstd(data[at : at + 4096], pieces)
                return pieces
            while data:
                if self._engine.eof:  # members may follow one another
                    if not data.strip(b"\0"):
                        return pieces
                    self._engine = self._new()
                pieces.append(self._engine.decompress(data, limit))
                data = self._engine.unconsumed_tail or (self._engine.unused_data if self._engine.eof else b"")
            return pieces
        except ImageError:
            raise
        except Exception as err:  # isal, zlib and zstandard have error classes of their own
            raise ImageError("damaged layer", f"it cannot be decompressed: {err}") from err

    def _feed_zstd(self, data: bytes, pieces: list[bytes]) -> None:
        while data:
            if getattr(self._engine, "eof", False):
                self._engine = self._new()
            pieces.append(self._engine.decompress(data))
            data = self._engine.unused_data if getattr(self._engine, "eof", False) else b""

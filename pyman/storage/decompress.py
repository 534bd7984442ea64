"""Streaming decompression: gzip by isal (two to three times zlib's speed), zstd, xz, bzip2, plain. Unpack workers.

The door of isal and zstandard: others get them here (`fast_zlib`, `zstd`). Pieces are pulled, at most PIECE bytes each, so that no input,
however it is made, takes more memory than that.
"""

from __future__ import annotations

from pyman.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

GZIP, ZSTD, XZ, BZIP2, PLAIN = "gzip", "zstd", "xz", "bzip2", ""
_MAGIC = {GZIP: b"\x1f\x8b", ZSTD: b"\x28\xb5\x2f\xfd", XZ: b"\xfd7zXZ\0", BZIP2: b"BZh"}
_SKIPPABLE = b"\x2a\x4d\x18"  # behind 0x50 to 0x5f: a frame of zstd that holds something else, such as a table of contents
PIECE = 1 << 20
_CHUNK = 1 << 17
_ZSTD_WINDOW = 1 << 25  # bytes
_XZ_MEMORY = 160 << 20  # bytes that xz -9 needs twice over: for archives of the user's own choice
_XZ_LAYER = 24 << 20  # bytes for a layer of a registry: xz -7


def prepare() -> None:
    """Make the packages importable; before workers are forked, for a confined one cannot look for them."""
    try:
        import isal  # noqa: F401
    except ImportError:
        import site  # the launcher starts without site-packages

        site.main()


def fast_zlib() -> Any:
    """isal's zlib, or the standard library's where there is no wheel for the platform."""
    try:
        from isal import isal_zlib

        return isal_zlib
    except ImportError:
        import zlib

        return zlib


def zstd() -> Any:
    """The zstandard package."""
    import zstandard

    return zstandard


def kind_of(media_type: str, head: bytes) -> str:
    """The compression: what the first bytes say. ImageError if the media type says otherwise."""
    found = next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), PLAIN)
    if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
        found = ZSTD
    if media_type.endswith("+zstd") and found != ZSTD:
        raise ImageError("damaged layer", "its media type says zstd, its content does not")
    return found


class Decompressor:
    """Plain bytes from compressed ones; `source(n)` returns up to n compressed bytes, empty at the end."""

    __slots__ = ("_data", "_engine", "_foreign", "_kind", "_source")

    def __init__(self, media_type: str, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._foreign = bool(media_type)  # a descriptor of a registry or a layout names it
        self._data = source(_CHUNK)
        self._kind = kind_of(media_type, self._data)
        self._engine: Any = self._new()

    @property
    def plain(self) -> bool:
        """Whether the data is not compressed at all."""
        return self._kind == PLAIN

    def _new(self) -> Any:
        if self._kind == GZIP:
            return fast_zlib().decompressobj(31)
        if self._kind == XZ:
            import lzma

            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_LAYER if self._foreign else _XZ_MEMORY)
        if self._kind == BZIP2:
            import bz2

            return bz2.BZ2Decompressor()
        if self._kind == ZSTD:
            # The window bounds the memory whatever the frame asks for: encoders use 8 MiB by default, 32 at most in practice.
            engine = zstd().ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
            reader: Any = _Pushback(self._data, self._source)
            return engine.stream_reader(reader, read_across_frames=True)
        return None

    def read(self) -> bytes:
        """The next piece of at most PIECE bytes; empty at the end. ImageError if the data is damaged."""
        try:
            if self._kind == ZSTD:
                return bytes(self._engine.read(PIECE))
            if self._kind == GZIP:
                return self._read_gzip()
            if self._kind in (XZ, BZIP2):
                return self._read_members()
        except ImageError:
            raise
        except Exception as err:  # isal, zlib and zstandard have error classes of their own
            if "too much memory" in str(err):
                raise ImageError(
                    "refused layer",
                    f"its zstd frames need a window of more than {_ZSTD_WINDOW >> 20} MiB of memory",
                    "compress it again without --ultra, and with --long=25 at most",
                ) from err
            raise ImageError("damaged layer", f"it cannot be decompressed: {err}") from err
        data, self._data = self._data or self._source(PIECE), b""
        return data

    def _read_gzip(self) -> bytes:
        while True:
            if not self._data:
                self._data = self._source(_CHUNK)
                if not self._data:
                    if not self._engine.eof:
                        raise ImageError("damaged layer", "it ends in the middle: the download was cut short or the layer is truncated")
                    return b""
            if self._engine.eof:  # members may follow one another, and zeros may pad the end
                self._data = self._data.lstrip(b"\0")
                if not self._data:
                    continue
                self._engine = self._new()
            piece = bytes(self._engine.decompress(self._data, PIECE))
            self._data = self._engine.unused_data if self._engine.eof else self._engine.unconsumed_tail
            if piece:
                return piece

    def _read_members(self) -> bytes:
        """xz and bzip2: the engine keeps what it was given and not yet used."""
        while True:
            if self._engine.eof:  # streams may follow one another
                self._data = self._engine.unused_data.lstrip(b"\0") or self._source(_CHUNK)
                if not self._data.strip(b"\0"):
                    return b""
                self._engine = self._new()
            elif self._engine.needs_input and not self._data:
                self._data = self._source(_CHUNK)
                if not self._data:
                    raise ImageError("damaged layer", "it ends in the middle: the download was cut short or the layer is truncated")
            data, self._data = self._data, b""
            piece = bytes(self._engine.decompress(data, PIECE))
            if piece:
                return piece


class _Pushback:
    """A file-like object for zstandard: the bytes read already, then the source."""

    __slots__ = ("_head", "_source")

    def __init__(self, head: bytes, source: Callable[[int], bytes]) -> None:
        self._head = head
        self._source = source

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._source(size)

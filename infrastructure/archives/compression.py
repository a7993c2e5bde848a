"""Compression of chunks: five algorithms behind two functions, imported when used, bounded when inflating."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from backstory.domain.errors import ConfigError, shown
from backstory.infrastructure.archives.layout import MAX_CHUNK_BYTES

__all__ = ["ALGORITHMS", "Codec", "InflateError", "codec"]

_GZIP_FORMAT: Final = 31


class InflateError(Exception):
    """Compressed bytes are no such bytes, or inflate to more or less than was said."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One algorithm at one level."""

    name: str
    compress: Callable[[bytes], bytes]
    #: Takes a bound, and stops there (brotli: at twice the bound) whatever the bytes would inflate to.
    _inflate: Callable[[bytes, int], bytes]

    def inflate(self, stored: bytes, raw_bytes: int) -> bytes:
        """Return the raw bytes, of which there must be exactly so many; raises `InflateError`."""
        try:
            raw = self._inflate(stored, raw_bytes + 1)
        # Five libraries, each with errors of its own; what they mean is the same.
        except Exception as error:
            raise InflateError(f"no {self.name} data: {error}") from error
        if len(raw) != raw_bytes:
            raise InflateError(f"does not inflate to the {raw_bytes} bytes stated")
        return raw


def codec(name: str, level: int | None = None) -> Codec:
    """Return an algorithm by name, at a level or its usual one.

    Raises `ConfigError` for an unknown name, a level that the algorithm has not, and a library that is not installed.
    """
    known = ALGORITHMS.get(name) if isinstance(name, str) else None
    if known is None:
        raise ConfigError(
            f"unknown compression: {shown(name)}", key="compression", hint=f"Known: {', '.join(ALGORITHMS)}."
        )
    if level is not None and (isinstance(level, bool) or level not in known.levels):
        raise ConfigError(
            f"{name} has no level {shown(level)}", key="level", hint=f"Give {_spelled(known.levels)}, or no level."
        )
    try:
        return known.make(known.usual if level is None else level)
    except ImportError as error:
        raise ConfigError(
            f"compression {name} needs a package that is not installed: {error.name}",
            key="compression",
            hint="Install it: pip install backstory[backups].",
        ) from error


def _spelled(levels: range) -> str:
    return f"one of {levels.start} to {levels.stop - 1}" if levels else "none"


def _zstd(level: int) -> Codec:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level)
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_CHUNK_BYTES)

    # Not decompress(): it believes the size that the data states, and allocates it.
    def inflate(stored: bytes, bound: int) -> bytes:
        with decompressor.stream_reader(stored) as reader:
            return reader.read(bound)

    return Codec("zstd", compressor.compress, inflate)


def _gzip(level: int) -> Codec:
    def inflate(stored: bytes, bound: int) -> bytes:
        return zlib.decompressobj(wbits=_GZIP_FORMAT).decompress(stored, bound)

    return Codec("gzip", lambda raw: zlib.compress(raw, level, wbits=_GZIP_FORMAT), inflate)


def _lz4(level: int) -> Codec:
    import lz4.frame  # type: ignore[import-untyped] # has none

    frame: Any = lz4.frame

    def inflate(stored: bytes, bound: int) -> bytes:
        inflated: bytes = frame.LZ4FrameDecompressor().decompress(stored, max_length=bound)
        return inflated

    return Codec("lz4", lambda raw: frame.compress(raw, compression_level=level), inflate)


def _brotli(level: int) -> Codec:
    import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore] # has none

    library: Any = brotli

    def inflate(stored: bytes, bound: int) -> bytes:
        inflated: bytes = library.Decompressor().process(stored, output_buffer_limit=bound)
        return inflated

    return Codec("brotli", lambda raw: library.compress(raw, quality=level), inflate)


def _none(_: int) -> Codec:
    return Codec("none", lambda raw: raw, lambda stored, bound: stored[:bound])


@dataclass(frozen=True, slots=True)
class _Algorithm:
    make: Callable[[int], Codec]
    levels: range
    usual: int


ALGORITHMS: Final = {
    "zstd": _Algorithm(_zstd, range(1, 23), 3),
    "gzip": _Algorithm(_gzip, range(1, 10), 6),
    "lz4": _Algorithm(_lz4, range(17), 0),
    # Its own default, 11, takes a second a megabyte.
    "brotli": _Algorithm(_brotli, range(12), 5),
    "none": _Algorithm(_none, range(0), 0),
}

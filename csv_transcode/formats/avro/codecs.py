"""Compression of Avro blocks (specification, "Required Codecs" and "Optional Codecs").

Levels are stated: the bytes depend on them. Every call makes its own compressor, so threads may share a codec.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import pyarrow as pa
from msgspec import Struct

from csv_transcode.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

Payload: TypeAlias = "bytes | memoryview | pa.Buffer"

DEFLATE_LEVEL: Final = 6
ZSTANDARD_LEVEL: Final = 3
RAW_DEFLATE: Final = -15  # the largest window, no zlib header, no checksum
CHECKSUM_BYTES: Final = 4


def _arrow_has(compression: str) -> bool:
    return bool(pa.Codec.is_available(compression))  # type: ignore[arg-type]  # the stubs want a literal


class Codec(Protocol):
    """A compression that Avro names ``name`` in the header."""

    @property
    def name(self) -> str:
        """What the header calls it."""
        ...

    def compress(self, payload: Payload) -> Payload:
        """Return the data of an Avro block whose records are ``payload``."""
        ...


def codec(name: str, is_available: Callable[[str], bool] = _arrow_has) -> Codec:
    """Return the codec that Avro calls ``name``.

    SettingsError if there is none of that name, or the installed Arrow (``is_available``) was built without it; the
    message names those that there are.
    """
    there = {known.name: known for known in _CODECS if known.needs is None or is_available(known.needs)}
    if name not in there:
        message = f"AVRO_CODEC={name!r}: the Avro codecs here are {', '.join(there)}"
        raise SettingsError(message)
    return there[name]


class _Null(Struct, frozen=True):
    name: str = "null"
    needs: str | None = None

    def compress(self, payload: Payload) -> Payload:
        return payload


class _Deflate(Struct, frozen=True):
    name: str = "deflate"
    needs: str | None = None

    def compress(self, payload: Payload) -> Payload:
        compressor = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, RAW_DEFLATE)
        return compressor.compress(payload) + compressor.flush()


class _Snappy(Struct, frozen=True):
    """Raw snappy, and behind it the CRC32 of the uncompressed records, highest byte first."""

    name: str = "snappy"
    needs: str | None = "snappy"

    def compress(self, payload: Payload) -> Payload:
        checksum = zlib.crc32(payload).to_bytes(CHECKSUM_BYTES, "big")
        return b"".join((pa.Codec("snappy").compress(payload), checksum))


class _Zstandard(Struct, frozen=True):
    name: str = "zstandard"
    needs: str | None = "zstd"

    def compress(self, payload: Payload) -> Payload:
        return pa.Codec("zstd", compression_level=ZSTANDARD_LEVEL).compress(payload)


_CODECS: Final = (_Null(), _Deflate(), _Snappy(), _Zstandard())

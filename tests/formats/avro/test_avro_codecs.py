"""Codecs, each undone by a library that did not make it."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final

import cramjam
import pyarrow as pa
import pytest

from csv_transcode.errors import SettingsError
from csv_transcode.formats.avro.codecs import codec

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS: Final = b"carefully final deposits " * 400


def _whole_raw_deflate(data: bytes) -> bytes:
    decompressor = zlib.decompressobj(-15)
    records = decompressor.decompress(data) + decompressor.flush()
    assert decompressor.eof
    assert decompressor.unused_data == b""
    return records


def _snappy_and_checksum(data: bytes) -> bytes:
    records = bytes(cramjam.snappy.decompress_raw(data[:-4]))
    assert data[-4:] == zlib.crc32(records).to_bytes(4, "big")
    return records


UNDO: Final[dict[str, Callable[[bytes], bytes]]] = {
    "null": bytes,
    "deflate": _whole_raw_deflate,
    "snappy": _snappy_and_checksum,
    "zstandard": zstd.decompress,
}


@pytest.mark.parametrize("name", UNDO)
@pytest.mark.parametrize("records", [RECORDS, b"\x02\x00", b""], ids=["much", "little", "none"])
@pytest.mark.parametrize("given_as", [bytes, memoryview, pa.py_buffer])
def test_what_is_compressed_comes_back(name: str, records: bytes, given_as: Callable[[bytes], bytes]) -> None:
    found = codec(name)
    assert found.name == name
    assert UNDO[name](bytes(memoryview(found.compress(given_as(records))))) == records


@pytest.mark.parametrize(
    ("name", "without", "there"),
    [
        ("zstandard", "zstd", "null, deflate, snappy$"),
        ("snappy", "snappy", "null, deflate, zstandard$"),
        ("gzip", "", "null, deflate, snappy, zstandard$"),
        ("", "", "null, deflate, snappy, zstandard$"),
    ],
)
def test_a_codec_that_is_not_there_is_refused_with_those_that_are(name: str, without: str, there: str) -> None:
    with pytest.raises(SettingsError, match=there):
        codec(name, is_available=lambda compression: compression != without)

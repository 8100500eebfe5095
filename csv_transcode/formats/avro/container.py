"""Avro object container files (specification, "Object Container Files").

    header   "Obj" 1, metadata (avro.codec, avro.schema), sync marker
    block    record count, byte count, compressed records, sync marker
    …

Encoding, which is work, is apart from writing, which is order: any number of threads may share an :class:`AvroEncoder`,
and one :class:`AvroContainer` puts what they return one after the other. Nothing is random: the sync marker is a digest
of schema, codec and the first block's data, so the same batches give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from csv_transcode.formats.avro.codecs import codec
from csv_transcode.formats.avro.encoder import RecordEncoder
from csv_transcode.formats.avro.schema import record_schema
from csv_transcode.formats.avro.varint import varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    import pyarrow as pa

    from csv_transcode.formats.avro.codecs import Codec, Payload
    from csv_transcode.formats.avro.layout import EncodedRows

AVRO_BLOCK_ROWS_MAX: Final = 8192
AVRO_BLOCK_BYTES_MAX: Final = 1 << 20  # before compression; a record that is larger is an Avro block of its own
MAGIC: Final = b"Obj\x01"
SYNC_BYTES: Final = 16


class AvroBlock(Struct, frozen=True):
    """Some records, compressed."""

    record_count: int
    payload: Payload


class EncodedBatch(Struct, frozen=True):
    """The Avro blocks of one record batch, in order."""

    blocks: tuple[AvroBlock, ...]

    @property
    def record_count(self) -> int:
        """The number of records in all blocks."""
        return sum(block.record_count for block in self.blocks)


class AvroEncoder(Struct, frozen=True):
    """Record batches of one schema → Avro blocks. It has no state, and threads may share it."""

    schema_json: str
    codec: Codec
    records: RecordEncoder

    @classmethod
    def plan(cls, schema: pa.Schema, codec_name: str) -> AvroEncoder:
        """Return the encoder for ``schema``.

        FrameError, naming the column, for a type that Avro cannot hold; SettingsError for an unknown codec.
        """
        schema_json = json.dumps(record_schema(schema), ensure_ascii=False, separators=(",", ":"))
        return cls(schema_json, codec(codec_name), RecordEncoder.plan(schema))

    def encode(self, batch: pa.RecordBatch) -> EncodedBatch:
        """Return the Avro blocks of ``batch``: none if it has no rows.

        An Avro block ends after ``AVRO_BLOCK_ROWS_MAX`` records or before ``AVRO_BLOCK_BYTES_MAX`` bytes, with a chunk
        of the record encoder, and with the batch: slicing, offsets and the buffers' sizes decide no byte.
        """
        chunks = self.records.encode_chunks(batch)
        return EncodedBatch(tuple(block for chunk in chunks for block in self._blocks(chunk)))

    def _blocks(self, rows: EncodedRows) -> Iterator[AvroBlock]:
        records = memoryview(rows.payload)
        first_row = first_byte = 0
        for last_row in _block_ends(rows.ends):
            last_byte = int(rows.ends[last_row - 1])
            yield AvroBlock(last_row - first_row, self.codec.compress(records[first_byte:last_byte]))
            first_row, first_byte = last_row, last_byte


class AvroContainer:
    """Writes encoded batches, in the order in which they are appended, as one Avro file."""

    def __init__(self, encoder: AvroEncoder, write: Callable[[Payload], object]) -> None:
        """``write`` is called with every next piece of the file, and takes all of it."""
        self.record_count = 0
        self._encoder = encoder
        self._write = write
        self._sync = b""

    def append(self, encoded: EncodedBatch) -> None:
        """Write the blocks of ``encoded``."""
        for block in encoded.blocks:
            if not self._sync:
                self._begin(block.payload)
            size = memoryview(block.payload).nbytes
            self._write(varint(block.record_count) + varint(size))
            self._write(block.payload)
            self._write(self._sync)
            self.record_count += block.record_count

    def close(self) -> None:
        """Finish the file: one that got no record is a header alone."""
        if not self._sync:
            self._begin(b"")

    def _begin(self, first_payload: Payload) -> None:
        self._sync = _sync_marker(self._encoder, first_payload)
        self._write(_header(self._encoder, self._sync))


def _block_ends(ends: npt.NDArray[np.int64]) -> Iterator[int]:
    """Yield the row (the next block's first) where each Avro block ends; row i ends before byte ``ends[i]``."""
    row = begin = 0
    while row < len(ends):
        fitting = int(np.searchsorted(ends, begin + AVRO_BLOCK_BYTES_MAX, "right"))
        row = min(max(fitting, row + 1), row + AVRO_BLOCK_ROWS_MAX, len(ends))
        begin = int(ends[row - 1])
        yield row


def _sync_marker(encoder: AvroEncoder, first_payload: Payload) -> bytes:
    digest = hashlib.sha256()
    for part in (encoder.schema_json.encode(), encoder.codec.name.encode(), first_payload):
        digest.update(varint(memoryview(part).nbytes))
        digest.update(part)
    return digest.digest()[:SYNC_BYTES]


def _header(encoder: AvroEncoder, sync: bytes) -> bytes:
    metadata = {"avro.codec": encoder.codec.name, "avro.schema": encoder.schema_json}
    entries = [_string(key) + _string(value) for key, value in metadata.items()]
    return b"".join((MAGIC, varint(len(entries)), *entries, varint(0), sync))


def _string(text: str) -> bytes:
    encoded = text.encode()
    return varint(len(encoded)) + encoded

"""Record batches to Avro's binary encoding, a column at a time.

The map of this package:

    schema.py     what Avro calls the columns and their types
    encoder.py    plan once per schema: how the cells of each column are made; loop per batch
    varint.py     a column of integers → zig-zag varints, as words
    cells.py      a column of any type → its cells, each the branch of the union and the value
    layout.py     the cells of all columns → records, one after the other, joined by Arrow
    container.py  records → Avro blocks, header, sync markers; compressed by codecs.py

Why not a library's writer: `fastavro.writer` over `to_dict("records")` takes 20 microseconds for a record of TPC-H
lineitem, and holds the interpreter's lock for all of them; Polars' writer, in Rust, takes 0.4, but has no decimals of
constant size, no local timestamps and no say in where blocks end. This takes 0.2 (`benchmarks/avro_encoder.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from msgspec import Struct

from csv_transcode import kernels
from csv_transcode.errors import FrameError
from csv_transcode.formats.avro.cells import column_encoder
from csv_transcode.formats.avro.layout import assemble
from csv_transcode.formats.avro.schema import record_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from csv_transcode.formats.avro.cells import Array, Cell, ColumnEncoder, Text
    from csv_transcode.formats.avro.layout import EncodedRows

CHUNK_ROWS_MAX: Final = 65_536
CHUNK_WORK_BYTES_MAX: Final = 48 << 20  # beside the text itself
_CELL_WORK_BYTES: Final = 40  # of one cell: a view, and its place in the matrix


class _Column(Struct, frozen=True):
    """How one column is encoded: in Arrow's ``given`` type it comes, in ``stored`` it is written."""

    name: str
    given: pa.DataType
    stored: pa.DataType
    encode: ColumnEncoder

    @classmethod
    def plan(cls, field: pa.Field[Any]) -> _Column:
        stored = _stored_type(field.type)
        return cls(field.name, field.type, stored, column_encoder(stored))

    def prepare(self, column: Array) -> Array:
        """Return ``column`` in the stored type; FrameError if it is not of the given type, or a value does not fit."""
        if column.type != self.given:
            message = f"column {self.name!r} is {column.type}, planned was {self.given}"
            raise FrameError(message)
        try:
            return _cast(column, self.stored)
        except pa.ArrowInvalid as error:
            message = f"column {self.name!r}: {error}"
            raise FrameError(message) from error

    def cells(self, column: Array) -> Iterator[Cell | Text]:
        """Yield the cells of a prepared column."""
        try:
            yield from self.encode(column)
        except FrameError as error:
            message = f"column {self.name!r}: {error}"
            raise FrameError(message) from error


class RecordEncoder(Struct, frozen=True):
    """Encodes batches of one schema; it has no state, and threads may share it.

    Rows are encoded in chunks of at most ``chunk_rows``, so that the work space is bounded: for text it is the text's
    size, for the rest ``CHUNK_WORK_BYTES_MAX``.
    """

    columns: tuple[_Column, ...]
    chunk_rows: int

    @classmethod
    def plan(cls, schema: pa.Schema) -> RecordEncoder:
        """Return the encoder of batches with ``schema``; FrameError, naming the column, for a type Avro cannot hold."""
        record_schema(schema)
        columns = tuple(_Column.plan(field) for field in schema)
        rows = CHUNK_WORK_BYTES_MAX // (_CELL_WORK_BYTES * max(len(columns), 1))
        return cls(columns, min(rows, CHUNK_ROWS_MAX))

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer:
        """Return all records of ``batch``, one after the other, in Avro's binary encoding."""
        payloads = [chunk.payload for chunk in self.encode_chunks(batch)]
        return payloads[0] if len(payloads) == 1 else pa.py_buffer(b"".join(payloads))

    def encode_chunks(self, batch: pa.RecordBatch) -> Iterator[EncodedRows]:
        """Yield the records of ``batch`` in chunks of nearly the same number of rows; none for a batch of no rows.

        Where chunks end follows from the schema and the number of rows. FrameError for a batch of another schema, or
        a value that the Avro type cannot hold.
        """
        prepared = [column.prepare(array) for column, array in zip(self.columns, batch.columns, strict=True)]
        count = -(-batch.num_rows // self.chunk_rows)
        for number in range(count):
            start, stop = (batch.num_rows * end // count for end in (number, number + 1))
            yield self._encode_rows([array.slice(start, stop - start) for array in prepared], stop - start)

    def _encode_rows(self, arrays: Sequence[Array], rows: int) -> EncodedRows:
        columns = zip(self.columns, arrays, strict=True)
        return assemble((cell for column, array in columns for cell in column.cells(array)), rows)


def _stored_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type that is written: values for dictionaries, and seconds and milliseconds in microseconds.

    A timestamp's zone says how to show an instant, and Arrow's values are UTC whatever it is: nothing is to be cast.
    """
    if pa.types.is_dictionary(arrow_type):
        return _stored_type(arrow_type.value_type)
    if pa.types.is_timestamp(arrow_type) and arrow_type.unit in {"s", "ms"}:
        return pa.timestamp("us", arrow_type.tz)
    return arrow_type


def _cast(column: Array, stored: pa.DataType) -> Array:
    values = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    return values if values.type == stored else kernels.cast(values, stored)

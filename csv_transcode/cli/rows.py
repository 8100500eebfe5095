"""The rows of an output, in order, as other people's readers find them: pyarrow for Parquet, fastavro for Avro.

Both read in bounded memory: a row group's column chunks, an Avro block. What they raise for bytes they cannot read is
anything at all; ``UnreadableError`` says so in one word.
"""

from __future__ import annotations

import io
import zlib
from contextlib import contextmanager
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import fastavro
import fastavro.read
import pyarrow as pa
import pyarrow.parquet as pq

from csv_transcode.errors import TranscodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_ROWS: Final = 20_000
CHECKSUM_BYTES: Final = 4
_VARINT_MORE: Final = 0x80


class UnreadableError(Exception):
    """An output that its reader cannot read, or that is not what outputs of this program are."""


class Rows(Protocol):
    """An output's rows; ``names`` and Arrow ``types`` are of its columns, ``taken`` counts the rows so far.

    ``originals`` are the names that the outputs' own could not be, where the format says them: None where it does not.
    """

    format: str
    names: list[str]
    originals: list[str | None] | None
    types: list[pa.DataType]
    taken: int

    def take(self, count: int) -> list[pa.Array[Any]]:
        """Return the next ``count`` rows, or all that are left, as columns; raises UnreadableError."""


def open_rows(file: IO[bytes]) -> Rows:
    """Return the rows of an output, of whichever format its first bytes say it is."""
    with _reading("it"):
        magic = file.read(4)
        file.seek(0)
    if magic == b"PAR1":
        return ParquetRows(file)
    if magic == b"Obj\x01":
        return AvroRows(file)
    message = f"it begins with {magic!r}: neither Parquet nor Avro"
    raise UnreadableError(message)


class ParquetRows:
    """What pyarrow reads, which holds every page against its checksum."""

    format = "parquet"
    originals: list[str | None] | None

    def __init__(self, file: IO[bytes]) -> None:
        with _reading("Parquet"):
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
            schema = self._file.schema_arrow
            self._batches = self._file.iter_batches(BATCH_ROWS)
        self.names = schema.names
        self.originals = None
        self.types = list(schema.types)
        self.taken = 0
        self._empty = pa.Table.from_batches([], schema)
        self._kept = self._empty

    def take(self, count: int) -> list[pa.Array[Any]]:
        """Return the next ``count`` rows, or all that are left, as columns."""
        with _reading("Parquet"):
            while self._kept.num_rows < count and (batch := next(self._batches, None)) is not None:
                self._kept = pa.concat_tables([self._kept, pa.Table.from_batches([batch], self._empty.schema)])
            taken, self._kept = self._kept.slice(0, count), self._kept.slice(count)
            self.taken += taken.num_rows
            return [_one(column) for column in taken.columns]


class AvroRows:
    """What fastavro reads, under the types of the schema in the object."""

    format = "avro"
    originals: list[str | None] | None

    def __init__(self, file: IO[bytes]) -> None:
        with _reading("Avro"):
            self._records: Any = fastavro.reader(file)
            schema: Any = self._records.writer_schema
            fields = schema["fields"]
            self.types = [_arrow_type(field["type"]) for field in fields]
        self.names = [field["name"] for field in fields]
        self.originals = [field.get("doc") for field in fields]
        self.taken = 0

    def take(self, count: int) -> list[pa.Array[Any]]:
        """Return the next ``count`` rows, or all that are left, as columns."""
        with _reading("Avro"):
            rows = list(islice(self._records, count))
            self.taken += len(rows)
            pairs = zip(self.names, self.types, strict=True)
            return [pa.array([row[name] for row in rows], kind) for name, kind in pairs]


def _one(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return combined.chunk(0) if combined.num_chunks else pa.array([], column.type)
    return combined


def _arrow_type(avro_type: object) -> pa.DataType:
    """Return the Arrow type of values that fastavro gives for an Avro type."""
    match avro_type:
        case ["null", other]:
            return _arrow_type(other)
        case {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            return pa.decimal128(precision, scale)
        case {"logicalType": str(name)} | str(name) if name in _ARROW_TYPES:
            return _ARROW_TYPES[name]
        case _:
            message = f"an Avro type that no column has: {avro_type}"
            raise UnreadableError(message)


_ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-micros": pa.timestamp("us"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-nanos": pa.timestamp("ns"),
}


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Raise UnreadableError for whatever a reader raises; the package's own errors, of S3, pass."""
    try:
        yield
    except (UnreadableError, TranscodeError):
        raise
    except Exception as error:
        message = f"{what} cannot be read: {type(error).__name__}: {error}"
        raise UnreadableError(message) from error


def teach_codecs() -> None:
    """Have fastavro unpack snappy and zstandard by Arrow where the libraries that it asks for are not installed."""
    for name, unpack in (("snappy", _snappy), ("zstandard", _zstandard)):
        if fastavro.read.BLOCK_READERS[name].__qualname__.startswith("missing"):
            fastavro.read.BLOCK_READERS[name] = unpack


def _snappy(file: IO[bytes]) -> io.BytesIO:
    data = file.read(_length(file))
    packed, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    size = _varint(io.BytesIO(packed))
    unpacked = pa.Codec("snappy").decompress(packed, size, asbytes=True)
    if zlib.crc32(unpacked) != int.from_bytes(checksum, "big"):
        message = "the checksum of an Avro block is another"
        raise UnreadableError(message)
    return io.BytesIO(unpacked)


def _zstandard(file: IO[bytes]) -> io.BytesIO:
    packed = pa.BufferReader(file.read(_length(file)))
    return io.BytesIO(pa.CompressedInputStream(packed, "zstd").read())


def _length(file: IO[bytes]) -> int:
    """Return an Avro long that is a length: zig-zag, and never less than 0."""
    return _varint(file) >> 1


def _varint(file: IO[bytes]) -> int:
    value = shift = 0
    while True:
        (byte,) = file.read(1)
        value |= (byte & ~_VARINT_MORE) << shift
        shift += 7
        if byte < _VARINT_MORE:
            return value

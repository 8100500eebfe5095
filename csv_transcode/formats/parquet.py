"""Typed record batches → one Parquet file, in bounded memory, with bytes that depend on the batches alone.

Row groups are cut by whole batches, once their values reach ROW_GROUP_BYTES; batches are cut by content (stripes), so
the chunks that Arrow sees, on which the bytes depend where a dictionary falls back, are always the same.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from csv_transcode import kernels

ROW_GROUP_BYTES: Final = 32 << 20  # of Arrow memory; 64 MiB wrote no faster, and cost 60 to 100 MB at the peak
PAGE_BYTES: Final = 1 << 20
DICTIONARY_BYTES_MAX: Final = 1 << 20
SAMPLE_RECORDS: Final = 32_768  # of the first batch, to tell which columns repeat themselves: dates of years, say
DISTINCT_SHARE_MAX: Final = 0.25  # a dictionary pays below, and is wasted work in a nearly unique column


class Write(Protocol):
    """Takes the next bytes of the file; may not keep a reference to them."""

    def __call__(self, data: Any, /) -> object:  # noqa: ANN401 -- any bytes-like object
        """Take ``data``."""


class _Sink:
    """The least of a file that Arrow writes to."""

    closed = False

    def __init__(self, write: Write) -> None:
        self._write: Write | None = write
        self._position = 0

    def silence(self) -> None:
        """Take what is written from now on, and pass nothing on."""
        self._write = None

    def write(self, data: Any) -> int:  # noqa: ANN401 -- bytes or a buffer
        if self._write is not None:
            self._write(data)
        size = memoryview(data).nbytes
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Do nothing: the target knows when to send."""

    def close(self) -> None:
        self.closed = True


class ParquetEncoder:
    """Writes one Parquet file through ``write``.

    ``append`` takes batches in order, and returns row groups that are ready for ``write_group``; the two may be called
    in different threads, but each only by one at a time. ``close`` writes the footer.
    """

    def __init__(self, schema: pa.Schema, compression: str, write: Write) -> None:
        self._schema = schema
        self._compression = compression
        self._sink = _Sink(write)
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = 0
        self._written: list[pq.FileMetaData] = []

    def append(self, batch: pa.RecordBatch) -> list[pa.RecordBatch] | None:
        """Take ``batch``; return the batches of a row group once there are enough of them."""
        if self._writer is None:
            self._writer = self._open(batch)
        if batch.num_rows:
            self._pending.append(batch)
            self._pending_bytes += value_bytes(batch)
        return self._take() if self._pending_bytes >= ROW_GROUP_BYTES else None

    def write_group(self, batches: list[pa.RecordBatch]) -> None:
        """Write one row group."""
        table = pa.Table.from_batches(batches, self._schema)
        self._require_writer().write_table(table, row_group_size=max(1, table.num_rows))

    def close(self) -> int:
        """Write what is left and the footer; return how many rows the footer says there are."""
        if self._writer is None:
            self._writer = self._open(self._schema.empty_table().to_batches()[:1])
        if self._pending:
            self.write_group(self._take())
        self._require_writer().close()
        return int(self._written[0].num_rows)

    def abort(self) -> None:
        """Write nothing any more: Arrow's writer would still write a footer when it is let go of."""
        self._sink.silence()
        self._pending = []

    def _take(self) -> list[pa.RecordBatch]:
        batches, self._pending, self._pending_bytes = self._pending, [], 0
        return batches

    def _require_writer(self) -> pq.ParquetWriter:
        assert self._writer is not None  # noqa: S101 -- append or close came first
        return self._writer

    def _open(self, first: Any) -> pq.ParquetWriter:  # noqa: ANN401 -- a batch, or an empty list of batches
        return pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),  # type: ignore[arg-type]
            self._schema,
            version="2.6",
            data_page_version="1.0",  # 2.0 is read by fewer, and says nothing more
            compression=self._compression,  # type: ignore[arg-type]
            use_dictionary=repeating_columns(first) if isinstance(first, pa.RecordBatch) else False,  # type: ignore[arg-type]
            dictionary_pagesize_limit=DICTIONARY_BYTES_MAX,
            data_page_size=PAGE_BYTES,
            write_statistics=True,
            write_page_index=True,
            write_page_checksum=True,
            store_schema=True,
            store_decimal_as_integer=True,
            use_deprecated_int96_timestamps=False,
            coerce_timestamps=None,
            use_compliant_nested_type=True,
            metadata_collector=self._written,
        )


def repeating_columns(batch: pa.RecordBatch) -> list[str]:
    """Return the names of the columns whose first values repeat often enough for a dictionary to pay."""
    sample = batch.slice(0, SAMPLE_RECORDS)
    most = max(1, int(sample.num_rows * DISTINCT_SHARE_MAX))
    return [
        name
        for name, column in zip(sample.schema.names, sample.columns, strict=True)
        if not pa.types.is_boolean(column.type) and kernels.distinct_count(column) <= most
    ]


def value_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of the batch's values, however it is sliced and whatever its buffers hold beside them."""
    return sum(_column_bytes(column) for column in batch.columns)


def _column_bytes(column: pa.Array[Any]) -> int:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return 4 * len(column) + kernels.bytes_of_texts(column)
    return len(column) * kind.bit_width // 8  # type: ignore[no-any-return]

"""One Parquet file: its layout, its bytes, and what an abandoned one writes; judged by pyarrow and DuckDB."""

from __future__ import annotations

import gc
from io import BytesIO
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csv_transcode.formats.parquet import ROW_GROUP_BYTES, ParquetEncoder, repeating_columns, value_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _written(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> bytes:
    target = BytesIO()
    encoder = ParquetEncoder(schema, "snappy", target.write)
    for batch in batches:
        group = encoder.append(batch)
        if group:
            encoder.write_group(group)
    assert encoder.close() == sum(batch.num_rows for batch in batches)
    return target.getvalue()


def _batch(rows: int = 10) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"number": list(range(rows)), "text": [None if row % 3 else "ä" for row in range(rows)], "a.b": ["x"] * rows}
    )


def test_pyarrow_and_duckdb_read_what_was_written(tmp_path: Path) -> None:
    batch = _batch()
    path = tmp_path / "one.parquet"
    path.write_bytes(_written([batch, batch], batch.schema))
    expected = pa.Table.from_batches([batch, batch])
    assert pq.ParquetFile(path, page_checksum_verification=True).read().equals(expected)
    assert duckdb.read_parquet(str(path)).fetchall() == [tuple(row.values()) for row in expected.to_pylist()]


def test_pages_have_checksums_columns_have_statistics_and_an_index() -> None:
    batch = _batch()
    metadata = pq.ParquetFile(BytesIO(_written([batch], batch.schema))).metadata
    column = metadata.row_group(0).column(0)
    assert metadata.format_version == "2.6"
    assert column.statistics is not None
    assert (column.statistics.min, column.statistics.max, column.has_offset_index) == (0, 9, True)


def test_a_flipped_byte_in_a_page_is_seen() -> None:
    batch = _batch(1000)
    data = bytearray(_written([batch], batch.schema))
    data[len(data) // 3] ^= 1
    with pytest.raises(OSError, match=r"CRC|checksum|Corrupt|snappy"):
        pq.ParquetFile(BytesIO(bytes(data)), page_checksum_verification=True).read()


def test_row_groups_are_cut_by_whole_batches_once_they_are_large_enough() -> None:
    rows = ROW_GROUP_BYTES // 8 // 2 + 1
    batch = pa.RecordBatch.from_pydict({"number": pa.repeat(1, rows)})
    metadata = pq.ParquetFile(BytesIO(_written([batch] * 3, batch.schema))).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [2 * rows, rows]


def test_a_bitmap_without_nulls_changes_no_byte() -> None:
    plain = pa.array([1, 2, 3, 4])
    mapped = pa.Array.from_buffers(pa.int64(), 4, [pa.py_buffer(b"\x0f"), plain.buffers()[1]])
    files = {
        _written([pa.RecordBatch.from_arrays([one], ["n"])], pa.schema([("n", pa.int64())])) for one in (plain, mapped)
    }
    assert len(files) == 1


def test_a_slice_has_the_bytes_of_a_copy() -> None:
    batch = _batch(20)
    copied = pa.RecordBatch.from_pydict(batch.slice(5, 10).to_pydict(), schema=batch.schema)
    assert _written([batch.slice(5, 10)], batch.schema) == _written([copied], batch.schema)
    assert value_bytes(batch.slice(5, 10)) == value_bytes(copied)


@pytest.mark.parametrize("columns", [1, 1000])
def test_no_rows_are_a_file_all_the_same(columns: int) -> None:
    schema = pa.schema([(f"c{index}", pa.int64()) for index in range(columns)])
    assert pq.read_table(BytesIO(_written([], schema))).schema.equals(schema)


def test_only_columns_that_repeat_themselves_have_a_dictionary() -> None:
    batch = pa.RecordBatch.from_pydict({"unique": list(range(100)), "same": ["x"] * 100})
    assert repeating_columns(batch) == ["same"]


def test_an_encoder_that_is_aborted_writes_nothing_any_more() -> None:
    target = BytesIO()
    encoder = ParquetEncoder(_batch().schema, "snappy", target.write)
    encoder.append(_batch())
    encoder.abort()
    before = target.getvalue()
    del encoder
    gc.collect()
    assert target.getvalue() == before

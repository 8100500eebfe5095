"""The records' binary encoding: what fastavro writes, over generated batches, and at every limit."""

from __future__ import annotations

import hashlib
import io
import os
from decimal import Decimal
from typing import Any, Final

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csv_transcode.errors import FrameError
from csv_transcode.formats.avro.cells import SPILL_BYTES_MAX, Text, column_encoder
from csv_transcode.formats.avro.encoder import RecordEncoder
from csv_transcode.formats.avro.schema import record_schema
from tests.formats.avro.avro_judges import written_by_fastavro
from tests.formats.avro.avro_tables import INT64, batch_of, batches, empty_records, shifted, with_nulls

MIB: Final = 2**20
GIB: Final = 2**30
GENERATED: Final = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(batch: pa.RecordBatch) -> bytes:
    return bytes(RecordEncoder.plan(batch.schema).encode(batch))


def judged(batch: pa.RecordBatch) -> bytes:
    return written_by_fastavro(batch, record_schema(batch.schema))


@given(batches())
@GENERATED
def test_generated_batches_are_encoded_as_fastavro_encodes_them(batch: pa.RecordBatch) -> None:
    assert encoded(batch) == judged(batch)


@pytest.mark.long
@given(batches(), st.integers(0, 20), st.integers(0, 20))
@GENERATED
def test_slices_give_the_bytes_of_the_rows_alone(batch: pa.RecordBatch, before: int, after: int) -> None:
    assert encoded(shifted(batch, before, after)) == encoded(batch)


@pytest.mark.long
@given(batches(), st.integers(1, 5))
@GENERATED
def test_chunks_joined_are_the_batch(batch: pa.RecordBatch, chunk_rows: int) -> None:
    whole = RecordEncoder.plan(batch.schema)
    chunks = list(RecordEncoder(whole.columns, chunk_rows).encode_chunks(batch))
    assert b"".join(bytes(chunk.payload) for chunk in chunks) == bytes(whole.encode(batch))
    assert sum(len(chunk.ends) for chunk in chunks) == batch.num_rows


@pytest.mark.long
@given(batches())
@GENERATED
def test_every_record_ends_where_it_says(batch: pa.RecordBatch) -> None:
    ends = [int(end) for chunk in RecordEncoder.plan(batch.schema).encode_chunks(batch) for end in chunk.ends]
    alone = [len(encoded(batch.slice(row, 1))) for row in range(batch.num_rows)]
    assert ends == list(np.cumsum(alone))


@pytest.mark.parametrize("low", [0, 6, 13, 20, 27, 34, 41, 48, 55, 62])
@pytest.mark.parametrize("high", [6, 13, 20, 27, 34, 41, 48, 55, 62, 63])
@pytest.mark.parametrize("sign", ["positive", "negative", "mixed"])
def test_integers_from_any_width_to_any_other(low: int, high: int, sign: str) -> None:
    sizes = [2**power + by for power in range(low, high + 1) for by in (-1, 0, 1)]
    values = {"positive": sizes, "negative": [-size for size in sizes], "mixed": [*sizes, *(-size for size in sizes)]}
    within = [value for value in values[sign] if INT64[0] <= value <= INT64[1]]
    batch = batch_of({"n": pa.array(within or [0], pa.int64()), "after": ["|"] * len(within or [0])})
    assert encoded(batch) == judged(batch)


LIMITS: Final = {
    "least and greatest int64": pa.array([INT64[0], INT64[1], 0, None]),
    "greatest uint32": pa.array([2**32 - 1, 0], pa.uint32()),
    "least int8": pa.array([-128, 127], pa.int8()),
    "least and greatest date": pa.array([-(2**31), 2**31 - 1], pa.date32()),
    "first and last microsecond": pa.array(INT64, pa.timestamp("us")),
    "first and last nanosecond": pa.array(INT64, pa.timestamp("ns", "UTC")),
    "eighteen nines": pa.array([Decimal(10**18 - 1), Decimal(1 - 10**18)], pa.decimal128(18, 0)),
    "thirty-eight nines": pa.array([Decimal(10**38 - 1), Decimal(1 - 10**38)], pa.decimal128(38, 0)),
    "a null and thirty-eight nines": pa.array([None, Decimal(10**38 - 1), None], pa.decimal128(38, 0)),
    "negative zero, infinities, least double": pa.array([-0.0, float("inf"), float("-inf"), 5e-324]),
    "63 bytes, and 64": pa.array(["x" * 63, "x" * 64]),
    "8191 bytes, and 8192": pa.array(["x" * 8191, "x" * 8192]),
    "non-ASCII": pa.array(["Zürich", "東京", "🜂", "", None]),
    "eight bytes in six letters": pa.array(["Zürïch", "a", None]),
    "empty strings only": pa.array(["", "", ""]),
    "nulls and empty strings": pa.array([None, "", None]),
    **{f"at most {most} bytes": pa.array(["x" * (row % (most + 1)) for row in range(20)]) for most in range(1, 15)},
    **{f"{even} bytes or null": pa.array(["x" * even, None] * 10) for even in range(1, 15)},
    **{f"{even} bytes": pa.array(["x" * even] * 20) for even in (*range(1, 15), 40, 63, 64)},
    "zero bytes": pa.array([b"\0", b"\0\0\0\0\0\0\0\0\0\0\0\0\0", b""]),
    "nothing but nulls": pa.nulls(3, pa.string()),
    "a null column": pa.nulls(3),
    "a dictionary with nulls on both sides": pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 2]), pa.array(["a", None, "bb"])
    ),
    "a dictionary of seconds": pa.array([1, None, 1], pa.timestamp("s")).dictionary_encode(),
    "a long run": pa.array([7] * 20_000),
    "a long run of nulls": pa.array([None] * 20_000 + [1], pa.int64()),
    "text in a long run": pa.array(["same"] * 20_000),
}


@pytest.mark.parametrize("column", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("beside", ["alone", "between"])
def test_limits(column: pa.Array[Any], beside: str) -> None:
    """Alone, and between columns that put it into any place of a record's layout."""
    alone = {"it": column}
    doubles = pa.array([1.5] * len(column))
    ragged = pa.array([10**number for number in range(17)] * (len(column) // 17 + 1)).slice(0, len(column))
    between = {"a": ragged, "b": doubles, "it": column, "c": ragged, "d": doubles, "e": doubles, "it again": column}
    batch = batch_of(alone if beside == "alone" else between)
    assert encoded(batch) == judged(batch)


@pytest.mark.parametrize("column_count", [1, 2, 999, 1000])
@pytest.mark.parametrize("kind", ["doubles", "integers", "nulls between", "text", "mixed"])
def test_many_columns(column_count: int, kind: str) -> None:
    kinds: dict[str, list[pa.Array[Any]]] = {
        "doubles": [pa.array([0.5, -1.5, 3.0])],
        "integers": [pa.array([1, 2**40, -5])],
        "nulls between": [pa.array([1.5, None, 2.5]), pa.array([None, True, None])],
        "text": [pa.array(["a", "longer than thirteen", None])],
        "mixed": [pa.array([1, 2**40, -5]), pa.array(["a", "b" * 20, ""]), pa.array([None, 0.5, None])],
    }
    made = kinds[kind]
    arrays = [made[number % len(made)] for number in range(column_count)]
    batch = pa.record_batch(arrays, names=[f"c{number}" for number in range(column_count)])
    assert encoded(batch) == judged(batch)


def test_no_columns_are_empty_records() -> None:
    batch = empty_records(3)
    (chunk,) = RecordEncoder.plan(batch.schema).encode_chunks(batch)
    assert (chunk.payload.size, list(chunk.ends)) == (0, [0, 0, 0])


def test_no_rows_are_no_bytes() -> None:
    kinds: list[pa.DataType] = [pa.int64(), pa.string(), pa.large_binary(), pa.bool_(), pa.null(), pa.decimal128(9, 2)]
    schema = pa.schema([(str(kind), kind) for kind in kinds])
    assert encoded(pa.RecordBatch.from_pylist([], schema)) == b""
    assert encoded(pa.RecordBatch.from_pylist([{"int64": 1}], schema).slice(1)) == b""


def test_zones_name_the_same_instant() -> None:
    instants = pa.array([0, 1_700_000_000_000_000, None])
    zones = [instants.cast(pa.timestamp("us", zone)) for zone in ("UTC", "Asia/Tokyo", "-03:00")]
    assert len({encoded(batch_of({"t": column})) for column in zones}) == 1


def test_text_whose_nulls_lie_over_gigabytes() -> None:
    """Places in an Arrow view have 32 bits, a large string's offsets 64: what is between goes by in two arrays.

    The gigabytes are zeros that nobody reads, so they take no memory.
    """
    gap = 12 * GIB // 10
    offsets = np.cumsum([0, 1, gap, 20, gap, 40], dtype=np.int64)
    data = np.zeros(int(offsets[-1]), np.uint8)
    for start, stop, letter in ((0, 1, b"a"), (offsets[2], offsets[3], b"b"), (offsets[4], offsets[5], b"c")):
        data[start:stop] = ord(letter)
    text = pa.Array.from_buffers(pa.large_string(), 5, [None, pa.py_buffer(offsets.data), pa.py_buffer(data.data)])
    batch = batch_of({"text": with_nulls(text, [True, False, True, False, True]), "n": [1, 2, 3, 4, 5]})
    assert encoded(batch) == judged(batch)


def test_a_value_that_no_arrow_view_can_name_is_refused() -> None:
    offsets = np.array([0, 2 * GIB], np.int64)
    data = np.zeros(2 * GIB, np.uint8)  # never read, never in memory
    text = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(offsets.data), pa.py_buffer(data.data)])
    batch = batch_of({"blob": text})
    with pytest.raises(FrameError, match=r"column 'blob'.* 2147483648 bytes"):
        RecordEncoder.plan(batch.schema).encode(batch)


@pytest.mark.skipif("CSV_TRANSCODE_TEST_HUGE" not in os.environ, reason="takes 4 GB: set CSV_TRANSCODE_TEST_HUGE")
@pytest.mark.parametrize("arrow_type", [pa.large_binary(), pa.binary()], ids=str)
def test_batches_of_more_than_two_gigabytes(arrow_type: pa.DataType) -> None:
    """One column with 2.2 GiB, or two columns with 1.1 GiB each, in six records."""
    length, rows = 11 * GIB // 60, 12 if arrow_type == pa.large_binary() else 6
    width = np.int64 if arrow_type == pa.large_binary() else np.int32
    offsets = (np.arange(rows + 1, dtype=np.int64) * length).astype(width)
    data = np.zeros(rows * length, np.uint8)
    data[:: 64 * MIB] = range(1, len(data[:: 64 * MIB]) + 1)
    text = pa.Array.from_buffers(arrow_type, rows, [None, pa.py_buffer(offsets.data), pa.py_buffer(data.data)])
    batch = pa.record_batch([text] * (12 // rows), names=["a", "b"][: 12 // rows])
    payload = RecordEncoder.plan(batch.schema).encode(batch)
    assert payload.size > 2 * GIB
    schema = fastavro.parse_schema(record_schema(batch.schema))
    records: Any = _Payload(payload)
    for row in range(rows):
        record: Any = fastavro.schemaless_reader(records, schema, None)
        source = hashlib.sha256(data[row * length : (row + 1) * length].data).digest()
        assert [hashlib.sha256(value).digest() for value in record.values()] == [source] * len(record)
    assert not records.read(1)


class _Payload(io.RawIOBase):
    """A file over a buffer, without a copy of it."""

    def __init__(self, payload: pa.Buffer) -> None:
        self._data = memoryview(payload)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        start, self._at = self._at, min(self._at + size, len(self._data))
        return bytes(self._data[start : self._at])


REFUSED: Final = {
    "seconds beyond microseconds": (pa.array([2**60], pa.timestamp("s")), "column 'when'"),
    "milliseconds before them": (pa.array([-(2**62)], pa.timestamp("ms", "UTC")), "column 'when'"),
}


@pytest.mark.parametrize(("column", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_values_that_avro_cannot_say_are_refused(column: pa.Array[Any], message: str) -> None:
    batch = batch_of({"when": column})
    with pytest.raises(FrameError, match=message):
        RecordEncoder.plan(batch.schema).encode(batch)


def test_a_batch_of_another_schema_is_refused() -> None:
    encoder = RecordEncoder.plan(pa.schema({"a": pa.int64()}))
    with pytest.raises(FrameError, match="column 'a' is double, planned was int64"):
        encoder.encode(batch_of({"a": [1.0]}))


@pytest.mark.parametrize("column", [*LIMITS.values()], ids=[*LIMITS.keys()])
def test_no_cell_spills_further_than_what_follows_covers(column: pa.Array[Any]) -> None:
    if not isinstance(column, pa.DictionaryArray):
        cells = list(column_encoder(column.type)(column))
        assert all(isinstance(cell, Text) or cell.reach - cell.width <= SPILL_BYTES_MAX for cell in cells)

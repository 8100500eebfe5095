"""Generated record batches: every type, values of every width, nulls in any pattern, over values that stay there."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INT64: Final = (-(2**63), 2**63 - 1)
MICROSECONDS: Final = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # the years 1 to 9999, all that datetime has
DAYS: Final = (-719_162, 2_932_896)
TEXT_LENGTHS: Final = ((0, 0), (1, 1), (2, 2), (7, 7), (36, 36), (0, 2), (0, 6), (0, 8), (60, 70), (0, 200))
EXACT: Final = Context(prec=40)


@st.composite
def integers(draw: st.DrawFn, arrow_type: pa.DataType, low: int, high: int) -> tuple[pa.DataType, Any]:
    """Integers of one magnitude, so that the narrow ways of writing a column come up as often as the wide ones."""
    size = 1 << draw(st.integers(0, 63))
    base = draw(st.sampled_from([0, low, high]))
    return arrow_type, st.integers(max(low, base - size), min(high, base + size))


@st.composite
def texts(draw: st.DrawFn, arrow_type: pa.DataType, of: Callable[..., Any]) -> tuple[pa.DataType, Any]:
    """Text of one length, of at most 8 bytes, of about 64 (where the length takes a second byte), or of any."""
    shortest, longest = draw(st.sampled_from(TEXT_LENGTHS))
    return arrow_type, of(min_size=shortest, max_size=longest)


@st.composite
def decimals(draw: st.DrawFn) -> tuple[pa.DataType, Any]:
    precision = draw(st.sampled_from([1, 9, 17, 18, 19, 20, 37, 38]))
    scale = draw(st.integers(0, precision))
    unscaled = st.integers(1 - 10**precision, 10**precision - 1)
    return pa.decimal128(precision, scale), unscaled.map(lambda value: Decimal(value).scaleb(-scale, EXACT))


# Timestamps and dates are those that a judge can show; the full range of the integers under them is that of int64.
TYPES: Final = st.one_of(
    integers(pa.int64(), *INT64),
    integers(pa.int32(), -(2**31), 2**31 - 1),
    integers(pa.int16(), -(2**15), 2**15 - 1),
    integers(pa.int8(), -128, 127),
    integers(pa.uint32(), 0, 2**32 - 1),
    integers(pa.uint16(), 0, 2**16 - 1),
    integers(pa.uint8(), 0, 255),
    integers(pa.date32(), *DAYS),
    integers(pa.timestamp("us"), *MICROSECONDS),
    integers(pa.timestamp("us", "UTC"), *MICROSECONDS),
    integers(pa.timestamp("us", "Asia/Tokyo"), *MICROSECONDS),
    integers(pa.timestamp("ns"), *INT64),
    integers(pa.timestamp("ns", "UTC"), *INT64),
    integers(pa.timestamp("s"), MICROSECONDS[0] // 10**6, MICROSECONDS[1] // 10**6),
    integers(pa.timestamp("ms", "UTC"), MICROSECONDS[0] // 10**3, MICROSECONDS[1] // 10**3),
    st.just((pa.float64(), st.floats())),
    st.just((pa.float32(), st.floats(width=32))),
    st.just((pa.bool_(), st.booleans())),
    st.just((pa.null(), st.none())),
    decimals(),
    texts(pa.string(), st.text),
    texts(pa.large_string(), st.text),
    texts(pa.binary(), st.binary),
    texts(pa.large_binary(), st.binary),
    texts(pa.dictionary(pa.int16(), pa.string()), st.text),
)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pa.Array[Any]:
    """A column whose nulls, if it has any, lie over values."""
    arrow_type, values = draw(TYPES)
    if arrow_type == pa.null():
        return pa.nulls(rows)
    column: pa.Array[Any] = pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), arrow_type)
    pattern = draw(st.sampled_from(["no nulls", "some", "all"]))
    if pattern == "no nulls":
        return column
    return with_nulls(column, [pattern == "some" and draw(st.booleans()) for _ in range(rows)])


@st.composite
def batches(draw: st.DrawFn, rows_max: int = 12) -> pa.RecordBatch:
    rows = draw(st.integers(0, rows_max))
    arrays = draw(st.lists(columns(rows), min_size=1, max_size=9))
    return pa.record_batch(arrays, names=[f"column {number}" for number in range(len(arrays))])


def batch_of(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Return a batch of arrays, or of what Arrow makes arrays of."""
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


def empty_records(count: int) -> pa.RecordBatch:
    """Return rows without columns."""
    nothing: Any = pa.array([{}] * count, pa.struct([]))
    return pa.RecordBatch.from_struct_array(nothing)


def with_nulls(column: pa.Array[Any], valid: Sequence[bool]) -> pa.Array[Any]:
    """Return ``column`` with nulls laid over it where ``valid`` is false: the values stay where they are."""
    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(with_nulls(column.indices, valid), column.dictionary)
    bitmap = pa.array(valid, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(column.type, len(column), [bitmap, *column.buffers()[1:]])


def shifted(batch: pa.RecordBatch, before: int, after: int) -> pa.RecordBatch:
    """Return the same rows as a slice out of the middle of longer arrays, whose other rows are of the same columns."""
    if not batch.num_rows:
        return batch
    arrays = []
    for column in batch.columns:
        rows = [number % len(column) for number in range(-before, len(column) + after)]
        arrays.append(column.take(pa.array(rows, pa.int64())).slice(before, len(column)))
    return pa.record_batch(arrays, schema=batch.schema)

"""DataFrames and Arrow, exactly: for people in a notebook."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.types as pt

from csv_transcode.errors import FrameError

if TYPE_CHECKING:
    import pandas as pd

# The same values in types that both formats know, and what stands for a column without any value.
_PLAIN: Final = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.null(): pa.string(),
}
_WRITABLE: Final = (
    *(pt.is_boolean, pt.is_integer, pt.is_floating, pt.is_decimal128, pt.is_decimal256, pt.is_string, pt.is_binary),
    *(pt.is_date32, pt.is_time, pt.is_timestamp, pt.is_duration),
)


def to_dataframe(table: pa.Table) -> pd.DataFrame:
    """Return ``table`` as a DataFrame with Arrow dtypes: nothing is converted, so nothing changes.

    Raises FrameError where pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 -- a third of a second that conversions do not need
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        message = (
            "there is no DataFrame without pandas, which is not installed here: install it, or deploy a package that"
            " was built without SLIM=1"
        )
        raise FrameError(message) from error
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def from_dataframe(frame: pd.DataFrame) -> pa.RecordBatch:
    """Return ``frame`` as one record batch that says the same; raises FrameError where none does.

    NaN and NaT are pandas' missing values and become null, except in Arrow dtypes, which tell them apart. Categories
    become their values, a column of nothing but missing values one of texts. Nanoseconds become microseconds where
    nothing is lost, for most readers know no others.
    """
    _require_plain(frame)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        message = (
            f"the DataFrame has a column whose values are of several types, or of none that Arrow has: {error.args[-1]}"
        )
        raise FrameError(message) from error
    columns = [_settled(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    for name, column in zip(table.column_names, columns, strict=True):
        _require_writable(name, column.type)
        _require_unchanged(name, frame[name], column)
    fields = [pa.field(name, column.type) for name, column in zip(table.column_names, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _require_plain(frame: pd.DataFrame) -> None:
    names = list(frame.columns)
    foreign = [name for name in names if not isinstance(name, str)]
    if foreign:
        message = f"column names must be strings, found {foreign[:5]!r}: rename them with frame.columns = [...]"
        raise FrameError(message)
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        message = f"column names are repeated: {repeated[:5]}: neither format can tell the columns apart"
        raise FrameError(message)
    if frame.index.name is not None or frame.index.nlevels > 1 or not _counts(frame):
        message = "the index holds data, and neither format has one: call frame.reset_index() (or drop=True)"
        raise FrameError(message)


def _counts(frame: pd.DataFrame) -> bool:
    """Whether the index only numbers rows, as one that was filtered or concatenated still does."""
    return frame.index.dtype.kind in "iu"


def _settled(name: str, column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return the column in one piece, without dictionary, and without nanoseconds that are not needed."""
    kind: Any = column.type.value_type if pt.is_dictionary(column.type) else column.type
    kind = _PLAIN.get(kind, kind)
    try:
        array: pa.Array[Any] = pa.concat_arrays(column.cast(kind).chunks or [pa.array([], kind)])
    except pa.ArrowInvalid as error:
        message = f"column {name!r} does not fit into one record batch, write the DataFrame in pieces: {error}"
        raise FrameError(message) from error
    if pt.is_timestamp(kind) and kind.unit != "us":
        with suppress(pa.ArrowInvalid):
            array = array.cast(pa.timestamp("us", kind.tz))
    return array


def _require_writable(name: str, kind: pa.DataType) -> None:
    if not any(is_kind(kind) for is_kind in _WRITABLE):
        message = f"column {name!r} is of type {kind}, which cannot be written exactly: cast it, or write it as text"
        raise FrameError(message)


def _require_unchanged(name: str, series: pd.Series[Any], array: pa.Array[Any]) -> None:
    """Raise FrameError where Arrow has made one type of Python objects by changing them, as datetimes among dates."""
    if series.dtype != object:
        return
    for before, after in zip(series.dropna().tolist(), array.drop_null().to_pylist(), strict=True):
        if before != after:
            message = f"column {name!r} holds values of several types: {before!r} would become {after!r}"
            raise FrameError(message)

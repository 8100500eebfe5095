"""DataFrames and Arrow, exactly: for people in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from csv_transcode.errors import FrameError

if TYPE_CHECKING:
    import pandas as pd


def to_dataframe(table: pa.Table) -> pd.DataFrame:
    """Return ``table`` as a DataFrame with Arrow dtypes: nothing is converted, so nothing changes."""
    import pandas as pd  # noqa: PLC0415 -- a third of a second that conversions do not need

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def from_dataframe(frame: pd.DataFrame) -> pa.RecordBatch:
    """Return ``frame`` as one record batch that says the same; raises FrameError where none does.

    NaN and NaT are pandas' missing values and become null, except in Arrow dtypes, which tell them apart. Categories
    become their values. Nanoseconds become microseconds where nothing is lost, for most readers know no others.
    """
    _require_plain(frame)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        message = (
            f"the DataFrame has a column whose values are of several types, or of none that Arrow has: {error.args[-1]}"
        )
        raise FrameError(message) from error
    columns = [_settled(column.combine_chunks()) for column in table.columns]
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


def _settled(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return the column in one piece, without dictionary, and without nanoseconds that are not needed."""
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    if pa.types.is_timestamp(array.type) and array.type.unit != "us":
        try:
            return pc.cast(array, pa.timestamp("us", array.type.tz))
        except pa.ArrowInvalid:
            return array
    return array

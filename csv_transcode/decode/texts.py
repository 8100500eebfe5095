"""One column of strings as NumPy sees it: byte positions, without a Python object a value."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from msgspec import Struct

from csv_transcode import kernels
from csv_transcode.decode import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Positions = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

_COMMA_FOR_POINT = bytes.maketrans(b",.", b".,")
SLICE_VALUES = 4096  # how many values become Python objects at a time where values are looked at one by one


class Texts(Struct, frozen=True, dict=True):
    """The values of a string column that are neither null nor empty.

    ``array`` holds them (n values, no nulls, all longer than 0), ``records`` their indices in the batch (ascending),
    or None where every record of the batch has one.
    """

    array: pa.Array[Any]
    records: Positions | None

    @classmethod
    def of(cls, column: pa.Array[Any]) -> Texts:
        """Return the non-empty values of ``column``."""
        places = offsets(column)
        mask = places[1:] > places[:-1]
        if column.null_count == 0 and mask.all():
            return cls(column, None)
        if column.null_count and (mask & ~arrays.validity_of(column)).any():  # bytes of a null, which no reader makes
            mask &= arrays.validity_of(column)
            return cls(kernels.filter_rows(column, arrays.boolean_array(mask)), np.flatnonzero(mask))
        # What is left out has no bytes, so the others' follow each other as they stand: a sixth of a filter's time.
        records = np.flatnonzero(mask)
        kept = np.append(places[records], places[-1])
        buffers = [None, pa.py_buffer(kept), column.buffers()[2]]  # type: ignore[arg-type]
        return cls(pa.Array.from_buffers(pa.string(), len(records), buffers), records)

    def __len__(self) -> int:
        """Return n."""
        return len(self.array)

    @cached_property
    def _offsets(self) -> npt.NDArray[np.int32]:
        return offsets(self.array)

    @cached_property
    def starts(self) -> Positions:
        """Where each value begins in ``data``."""
        return self._offsets[:-1].astype(np.int64)  # what NumPy takes by: narrower positions are widened every time

    @cached_property
    def ends(self) -> Positions:
        """Where each value ends in ``data`` (exclusive)."""
        return self._offsets[1:].astype(np.int64)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Bytes of each value."""
        return np.diff(self._offsets)

    def bytes_at(self, positions: Positions) -> npt.NDArray[np.uint8]:
        """Return the bytes at ``positions`` in ``data``, which lie within it."""
        return self.data.take(positions, mode="clip")  # half the time of an indexing that checks its bounds

    @cached_property
    def data(self) -> npt.NDArray[np.uint8]:
        """The bytes that ``starts`` and ``ends`` point into."""
        buffer = self.array.buffers()[2]
        return np.frombuffer(buffer, np.uint8) if buffer is not None else np.empty(0, np.uint8)  # type: ignore[call-overload]

    @cached_property
    def window(self) -> npt.NDArray[np.uint8]:
        """The bytes of all values, one after the other."""
        return self.data[self._offsets[0] : self._offsets[-1]]

    @cached_property
    def byte_range(self) -> tuple[int, int]:
        """The smallest and the largest byte of all values."""
        return int(self.window.min()), int(self.window.max())

    def record(self, index: int) -> int:
        """Return the index in the batch of the value at ``index``."""
        return index if self.records is None else int(self.records[index])

    def first(self, mask: Mask) -> int | None:
        """Return the record of the first value that ``mask`` marks, or None."""
        index = int(mask.argmax()) if len(mask) else 0
        return self.record(index) if len(mask) and mask[index] else None

    def subset(self, indices: Positions) -> Texts:
        """Return the values at ``indices`` (ascending), as a copy."""
        records = indices if self.records is None else self.records[indices]
        return Texts(kernels.take(self.array, arrays.index_array(indices)), records)

    def with_decimal_point(self) -> Texts:
        """Return the same values with every comma for a point, and every point for a comma."""
        offsets_buffer, held = self.array.buffers()[1:]
        swapped = (b"" if held is None else held.to_pybytes()).translate(_COMMA_FOR_POINT)
        buffers = [None, offsets_buffer, pa.py_buffer(swapped)]
        array = pa.Array.from_buffers(pa.string(), len(self.array), buffers, 0, self.array.offset)
        return Texts(array, self.records)

    def values(self) -> Iterator[tuple[int, str]]:
        """Yield (record, value) of every value, as Python objects: slow, for what a byte test leaves."""
        for start in range(0, len(self), SLICE_VALUES):
            for index, value in enumerate(self.array.slice(start, SLICE_VALUES).to_pylist(), start):
                yield self.record(index), value  # type: ignore[misc]

    def spread(self, typed: pa.Array[Any], record_count: int) -> pa.Array[Any]:
        """Return ``record_count`` values: ``typed`` (one a text) at this column's records, null elsewhere."""
        if self.records is None:
            return typed
        there = np.zeros(record_count, np.bool_)
        there[self.records] = True
        if pa.types.is_boolean(typed.type):
            return kernels.take(typed, arrays.index_array(np.cumsum(there) - 1, there))
        width = np.dtype((np.void, typed.type.bit_width // 8))
        values = np.zeros(record_count, width)
        values[self.records] = arrays.values_of(typed, width)
        held = pa.py_buffer(values)  # type: ignore[arg-type]
        return pa.Array.from_buffers(typed.type, record_count, [arrays.bitmap(there), held])


def offsets(column: pa.Array[Any]) -> npt.NDArray[np.int32]:
    """Return the n + 1 offsets of a string array of n values into its data buffer."""
    buffer = column.buffers()[1]
    if buffer is None or len(column) == 0:
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32)[column.offset : column.offset + len(column) + 1]  # type: ignore[call-overload, no-any-return]

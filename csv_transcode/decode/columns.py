"""The columns of a stripe as strings, however they were read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Columns(Protocol):
    """Columns of ``rows`` strings each, null where a cell is."""

    @property
    def rows(self) -> int:
        """How many strings a column has."""
        ...

    def texts(self, columns: Sequence[int]) -> pa.Array[Any]:
        """Return the columns with these numbers, one behind the other."""
        ...

    def as_batch(self) -> pa.RecordBatch:
        """Return all columns, called by their numbers."""
        ...


class ReadColumns(Struct, frozen=True):
    """Columns that have been made already."""

    batch: pa.RecordBatch

    @property
    def rows(self) -> int:
        """How many strings a column has."""
        return self.batch.num_rows

    def texts(self, columns: Sequence[int]) -> pa.Array[Any]:
        """Return the columns with these numbers, one behind the other."""
        found = [self.batch.column(number) for number in columns]
        return found[0] if len(found) == 1 else pa.concat_arrays(found)

    def as_batch(self) -> pa.RecordBatch:
        """Return all columns, called by their numbers."""
        return self.batch

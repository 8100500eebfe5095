"""The types a column can have, in the contract's words, and what they are in Arrow (leaf)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

DECIMAL_PRECISION_MAX: Final = 38
DECIMAL_PRECISION_SHORT: Final = 18  # what fits in 64 bits

SIMPLE_TYPES: Final = ("string", "int64", "double", "boolean", "date", "timestamp", "timestamp_utc")
_DECIMAL: Final = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")


class ColumnType(Struct, frozen=True):
    """One column's type: ``name`` is a word of contract section 4, the rest are its parameters."""

    name: str
    precision: int = 0
    scale: int = 0
    nanoseconds: bool = False

    @classmethod
    def parse(cls, text: str) -> ColumnType:
        """Return the type that ``text`` names, as ``int64`` or ``decimal(18,2)``; ValueError where it names none."""
        if text in SIMPLE_TYPES:
            return cls(text)
        match = _DECIMAL.fullmatch(text)
        if match and 1 <= int(match[1]) <= DECIMAL_PRECISION_MAX and int(match[2]) <= int(match[1]):
            return cls("decimal", int(match[1]), int(match[2]))
        message = f"{text!r} is none of {', '.join(SIMPLE_TYPES)}, decimal(p,s) with 1 <= p <= 38 and s <= p"
        raise ValueError(message)

    def __str__(self) -> str:
        """Return the contract's word."""
        return f"decimal({self.precision},{self.scale})" if self.name == "decimal" else self.name

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that holds the column's values."""
        unit: Any = "ns" if self.nanoseconds else "us"
        types: dict[str, pa.DataType] = {
            "string": pa.string(),
            "int64": pa.int64(),
            "double": pa.float64(),
            "decimal": pa.decimal128(max(self.precision, 1), self.scale),
            "boolean": pa.bool_(),
            "date": pa.date32(),
            "timestamp": pa.timestamp(unit),
            "timestamp_utc": pa.timestamp(unit, "UTC"),
        }
        return types[self.name]


class Column(Struct, frozen=True):
    """One column as the outputs have it.

    ``spelling`` is what, beside the type, is needed to write the source's text again (contract section 4);
    ``ruled_out`` names the next narrower type and the first record (from 1) that does not fit it.
    """

    name: str
    type: ColumnType
    spelling: Mapping[str, Any] | None = None
    ruled_out: Mapping[str, Any] | None = None


class Schema(Struct, frozen=True):
    """The columns of one object, in order."""

    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the outputs: every column nullable."""
        return pa.schema([pa.field(column.name, column.type.arrow) for column in self.columns])

    @property
    def types(self) -> tuple[ColumnType, ...]:
        """The columns' types, in order: the only part of the schema that decides the outputs' bytes."""
        return tuple(column.type for column in self.columns)

"""Arrow's compute kernels, called by name.

``pyarrow.compute`` is the usual way to them. It writes a documented Python function for each of some 280 kernels when
it is imported, and ``cast``, ``take`` and ``filter`` of Arrow's arrays import it: 50 ms of a cold start, for the twelve
functions that are needed here. What its functions do is what stands below; tests hold one against the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pyarrow._compute import (
    CastOptions,
    MatchSubstringOptions,
    ReplaceSubstringOptions,
    SetLookupOptions,
    TrimOptions,
    call_function,
)

if TYPE_CHECKING:
    import pyarrow as pa

    Array = pa.Array[Any]
    Rows = TypeVar("Rows", pa.Array[Any], pa.RecordBatch)


def cast(values: Array, to: pa.DataType) -> Array:
    """Return ``values`` as ``to``; ArrowInvalid where a value would change."""
    found: Array = call_function("cast", [values], CastOptions.safe(to))
    return found


def take(values: Array, indices: Array) -> Array:
    """Return the values at ``indices``; null where an index is null."""
    found: Array = call_function("take", [values, indices])
    return found


def filter_rows(rows: Rows, kept: Array) -> Rows:
    """Return the rows, or values, for which ``kept`` is true."""
    found: Rows = call_function("filter", [rows, kept])
    return found


def is_in(values: Array, those: Array) -> Array:
    """Say of each value whether it is one of ``those``."""
    found: Array = call_function("is_in", [values], SetLookupOptions(those))
    return found


def are_all(flags: Array) -> bool:
    """Say whether all flags are true; nulls are left out."""
    return bool(call_function("all", [flags]).as_py())


def contains(texts: Array, text: str) -> Array:
    """Say of each text whether ``text`` stands in it."""
    found: Array = call_function("match_substring", [texts], MatchSubstringOptions(text))
    return found


def trimmed_right(texts: Array, characters: str) -> Array:
    """Return the texts without any of ``characters`` at their ends."""
    found: Array = call_function("utf8_rtrim", [texts], TrimOptions(characters))
    return found


def replaced(texts: Array, text: str, by: str) -> Array:
    """Return the texts with ``by`` wherever ``text`` stands in them."""
    found: Array = call_function("replace_substring", [texts], ReplaceSubstringOptions(text, by))
    return found


def chosen(conditions: Array, where_true: Array, where_false: Array) -> Array:
    """Return a value of one or the other for each condition."""
    found: Array = call_function("if_else", [conditions, where_true, where_false])
    return found


def differ(these: Array, those: Array) -> Array:
    """Say of each pair whether it differs."""
    found: Array = call_function("not_equal", [these, those])
    return found


def distinct_count(values: Array | pa.ChunkedArray[Any]) -> int:
    """Return how many values there are, nulls left out."""
    return int(call_function("count_distinct", [values]).as_py())


def bytes_of_texts(texts: Array | pa.ChunkedArray[Any]) -> int:
    """Return how many bytes the texts have together."""
    return int(call_function("sum", [call_function("binary_length", [texts])]).as_py() or 0)

"""Strings → typed columns, where the evidence (or COLUMN_TYPES) says that every value fits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from csv_transcode import kernels
from csv_transcode.decode import arrays, grammar, inference
from csv_transcode.decode.evidence import NEVER, ColumnEvidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from csv_transcode.decode.texts import Texts
    from csv_transcode.schema import ColumnType

DEFAULT_RULES: Final = inference.TypeRules()
TRUE_TEXTS: Final = arrays.string_array([texts[0] for texts in grammar.BOOLEANS.values()])


def to_type(
    column: pa.Array[Any],
    texts: Texts,
    column_type: ColumnType,
    cast: pa.Array[Any] | None,
    rules: inference.TypeRules = DEFAULT_RULES,
) -> pa.Array[Any]:
    """Return ``column`` as ``column_type``: null where it is null, or empty and not a string column.

    ``texts`` are its non-empty values; ``cast`` is what they have been cast to already, if anything.
    Raises pyarrow.ArrowInvalid where a value is not of the type at all.
    """
    if column_type.name == "string":
        return column
    target = column_type.arrow
    if len(texts) == 0:
        return pa.nulls(len(column), target)  # type: ignore[call-overload, no-any-return]
    if cast is None or cast.type != target:
        cast = _cast(_written(texts, column_type, rules).array, target)
    return texts.spread(cast, len(column))


def _cast(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    if pa.types.is_boolean(target):
        return kernels.is_in(array, TRUE_TEXTS)
    return kernels.cast(array, target)


def unfit(texts: Texts, column_type: ColumnType, rules: inference.TypeRules) -> list[int]:
    """Return the records whose values do not fit the ``column_type`` that COLUMN_TYPES gives.

    A value fits where the type says it exactly, one value at a time: what a whole column must have in common to be
    inferred (one scale, one spelling) is not asked of a column whose owner names its type.
    """
    if len(texts) == 0 or column_type.name == "string" or _plainly_fits(texts, column_type, rules):
        return []
    fits = _fits(column_type)
    return [record for record, text in _written(texts, column_type, rules).values() if not fits(text)]


def _written(texts: Texts, column_type: ColumnType, rules: inference.TypeRules) -> Texts:
    """Return the values as a value of the type is written."""
    return rules.as_numbers(texts) if column_type.name in {"double", "decimal"} else texts


def _plainly_fits(texts: Texts, column_type: ColumnType, rules: inference.TypeRules) -> bool:
    """Whether inference, a column at a time, would find the same type (so that no value need be looked at)."""
    evidence = inference.observe(texts, ColumnEvidence(), rules).evidence
    ruling = inference.Ruling.of(evidence, rules)
    return column_type.name in {"int64", "double", "date", "boolean"} and getattr(ruling, column_type.name) == NEVER


def _fits(column_type: ColumnType) -> Callable[[str], bool]:
    if column_type.name == "decimal":
        return lambda text: _fits_decimal(text, column_type)
    return {
        "int64": grammar.is_int64,
        "double": _fits_double,
        "date": grammar.is_date,
        "boolean": lambda text: text in grammar.SPELLING_OF_BOOLEAN,
        "timestamp": lambda text: _fits_timestamp(text, utc=False),
        "timestamp_utc": lambda text: _fits_timestamp(text, utc=True),
    }[column_type.name]


def _fits_double(text: str) -> bool:
    if grammar.special_kind(text) is not None:
        return True
    return grammar.parse_number(text) is not None and grammar.is_exact_double(text)


def _fits_decimal(text: str, column_type: ColumnType) -> bool:
    number = grammar.parse_number(text)
    if number is None or number.exponent or not number.integer_part or grammar.is_negative_zero(text):
        return False
    limit = Decimal(10) ** (column_type.precision - column_type.scale)
    return (number.scale or 0) <= column_type.scale and abs(Decimal(text)) < limit


def _fits_timestamp(text: str, *, utc: bool) -> bool:
    moment = grammar.parse_timestamp(text)
    return moment is not None and bool(moment.zone) == utc and not moment.needs_nanoseconds

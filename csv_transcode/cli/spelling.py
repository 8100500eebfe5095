"""Whether a column's values say the texts they came from: each is written as text again, by the column's spelling.

The contract (section 4) asks that the text of every cell can be written from type, value and spelling; only in
exponents and in a timestamp's trailing fraction zeros is the value enough. Where a manifest has no spelling though the
type can be spelt in several ways, COLUMN_TYPES gave the type, and the value counts there, too.

Nothing here is shared with the decoder: writing is the other direction.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Write = Callable[[pa.Array[Any]], pa.Array[Any]]
    Same = Callable[[str, Any], bool]

NO_TEXT: Final = ""  # of no value: an empty cell of a typed column is null
CASES: Final[dict[str, Callable[[Any], Any]]] = {
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "capitalised": pc.utf8_capitalize,
}


class Spelling:
    """How one column's values are written; planned once, asked for every batch."""

    def __init__(self, type_name: str, spelling: Mapping[str, Any] | None, decimal_separator: str = ".") -> None:
        self._is_string = type_name == "string"
        kind = type_name.partition("(")[0]
        self._is_timestamp = kind.startswith("timestamp")
        known = dict(spelling or {})
        self._write: Write = _WRITERS[kind](known)
        self._same: Same | None = None if self._is_string else _SAME.get((kind, spelling is None)) or _SAME.get(kind)
        self._comma = decimal_separator == "," and kind in ("double", "decimal")

    def differing(self, texts: pa.Array[Any], values: pa.Array[Any]) -> list[int]:
        """Return the rows whose value does not say its text; ``texts`` are strings, null where the cell is."""
        if self._is_string:
            return _unequal(texts, values)
        if self._comma:
            texts = pc.replace_substring(_pointless(texts), ",", ".")
        if self._is_timestamp:
            texts = _without_zeros(texts)
        suspects = _unequal(
            pc.if_else(pc.equal(texts, pa.scalar(NO_TEXT)), pa.scalar(None, pa.string()), texts), self._write(values)
        )
        if self._same is None:
            return suspects
        return [row for row in suspects if not self._same_value(texts[row].as_py(), values[row])]

    def _same_value(self, text: str | None, value: Any) -> bool:  # noqa: ANN401 -- a scalar of any type
        if not text or not value.is_valid or self._same is None:
            return False
        return self._same(text, value.as_py())


def _pointless(texts: pa.Array[Any]) -> pa.Array[Any]:
    """Return texts with what a decimal comma's numbers cannot hold made unlike any number: a point."""
    return pc.replace_substring(texts, ".", "?")


def _unequal(expected: pa.Array[Any], found: pa.Array[Any]) -> list[int]:
    """Return the rows where the two differ, null being equal to null alone."""
    same: Any = pc.equal(expected, found.cast(expected.type))
    equal: Any = pc.or_(pc.and_(expected.is_null(), found.is_null()), pc.coalesce(same, pa.scalar(value=False)))
    if pc.all(equal, min_count=0).as_py():
        return []
    rows: list[int] = np.flatnonzero(~equal.to_numpy(zero_copy_only=False)).tolist()
    return rows


def _each(write: Callable[[Any], str], values: pa.Array[Any]) -> pa.Array[Any]:
    return pa.array([None if value is None else write(value) for value in values.to_pylist()], pa.string())


def _as_arrow_writes(_: Mapping[str, Any]) -> Write:
    return lambda values: values.cast(pa.string())


# --- doubles


def _double(spelling: Mapping[str, Any]) -> Write:
    return partial(_each, partial(_written_double, spelling))


def _written_double(spelling: Mapping[str, Any], value: float) -> str:
    if math.isnan(value):
        return str(spelling.get("nan", "nan"))
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}{spelling.get('infinity', 'inf')}"
    if "scale" in spelling:
        text = f"{value:.{spelling['scale']}f}"
        text = text if float(text) == value else "more digits than the scale"
    else:
        text = _shortest(value)
        text = text.removesuffix(".0") if spelling.get("whole") == "17" else text
    return text.replace("0.", ".", 1) if spelling.get("integer_part") is False and abs(value) < 1 else text


def _shortest(value: float) -> str:
    """Return the shortest text that is this double, with a point and without an exponent."""
    text = repr(value)
    text = f"{Decimal(text):f}" if "e" in text else text
    return text if "." in text else f"{text}.0"


def _same_exponent(text: str, value: float) -> bool:
    return "e" in text.lower() and _same_double(text, value)


def _same_double(text: str, value: float) -> bool:
    if not math.isfinite(value):
        return text.lower().lstrip("-") in ("nan", "inf", "infinity") and repr(float(text)) == repr(value)
    try:
        same_sign = math.copysign(1, float(text)) == math.copysign(1, value)
        return Decimal(text) == Decimal(repr(value)) and same_sign
    except (InvalidOperation, ValueError):
        return False


# --- decimals, booleans


def _decimal(_: Mapping[str, Any]) -> Write:
    return partial(_each, "{:f}".format)


def _same_decimal(text: str, value: Decimal) -> bool:
    try:
        return Decimal(text) == value
    except InvalidOperation:
        return False


def _boolean(spelling: Mapping[str, Any]) -> Write:
    case = CASES[spelling.get("case", "lower")]
    return lambda values: case(values.cast(pa.string()))


def _same_boolean(text: str, value: bool) -> bool:  # noqa: FBT001 -- the value itself
    lower = str(value).lower()
    return text in {lower, lower.upper(), lower.capitalize()}


# --- timestamps


def _timestamp(spelling: Mapping[str, Any]) -> Write:
    """Return what writes timestamps without the zeros at a fraction's end: see ``_without_zeros``."""

    def write(values: pa.Array[Any]) -> pa.Array[Any]:
        texts = _without_zeros(values.cast(pa.timestamp(values.type.unit)).cast(pa.string()))
        if not spelling.get("seconds", True):
            texts = pc.replace_substring_regex(texts, r"^(.{16}):00$", r"\1")
        texts = pc.replace_substring(texts, " ", spelling.get("separator", " "))
        zoned: pa.Array[Any] = pc.binary_join_element_wise(texts, pa.scalar(spelling.get("zone", "")), "")
        return zoned

    return write


def _without_zeros(texts: pa.Array[Any]) -> pa.Array[Any]:
    """Return timestamps without the zeros at the end of their fractions, which need not be written again."""
    if not pc.any(pc.match_substring(texts, "."), min_count=0).as_py():
        return texts
    shorter = pc.replace_substring_regex(texts, r"(\.[0-9]*[1-9])0+(Z|\+00:00)?$", r"\1\2")
    return pc.replace_substring_regex(shorter, r"\.0+(Z|\+00:00)?$", r"\1")


def _same_moment(text: str, value: datetime) -> bool:
    """Whether a text of a type that was given is this moment, however it is spelt."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return False
    return found.replace(tzinfo=None) == value.replace(tzinfo=None)


_WRITERS: Final[dict[str, Callable[[Mapping[str, Any]], Write]]] = {
    "string": _as_arrow_writes,
    "int64": _as_arrow_writes,
    "date": _as_arrow_writes,
    "double": _double,
    "decimal": _decimal,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "timestamp_utc": _timestamp,
}
_SAME: Final[dict[Any, Same]] = {
    "double": _same_exponent,
    ("double", True): _same_double,
    "decimal": _same_decimal,
    ("boolean", True): _same_boolean,
    ("timestamp", True): _same_moment,
    ("timestamp_utc", True): _same_moment,
}

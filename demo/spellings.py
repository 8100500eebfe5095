"""Writing a column of values as the text it came from: in one way for the whole column, whichever it is.

A column of doubles may be spelt ``17.00, 3.50`` or ``17, 3.5``; both are fine, and a column that needs both at once is
not, because nobody could write its text again. So a column is written in every way of its type, and one of them must
give all its text.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def agreements(texts: pa.Array[Any], values: pa.Array[Any]) -> Iterator[pa.Array[Any]]:
    """Yield, for each way of writing this type, where it gives the texts; null where a value is null."""
    kind = values.type
    if pt.is_boolean(kind):
        for case in (pc.utf8_lower, pc.utf8_upper, pc.utf8_capitalize):
            yield pc.equal(texts, case(values.cast(pa.string())))
    elif pt.is_floating(kind):
        yield from _doubles(texts, values)
    elif pt.is_decimal(kind):
        yield pc.equal(texts, _written("{:f}".format, values))
    elif pt.is_timestamp(kind):
        yield from _timestamps(texts, values)
    else:  # an integer, a date or a text is spelt in one way, and it is Arrow's
        yield pc.equal(texts, values.cast(pa.string()))


def _doubles(texts: pa.Array[Any], values: pa.Array[Any]) -> Iterator[pa.Array[Any]]:
    pairs: list[tuple[Any, Any]] = list(zip(texts.to_pylist(), values.to_pylist(), strict=True))
    scale = next((len(text.partition(".")[2]) for text, value in pairs if value is not None), 0)
    special = pa.array([value is not None and _same_special(text, value) for text, value in pairs], pa.bool_())
    for write in (partial(_at_scale, scale), _shortest, _without_point, _without_zero):
        yield pc.or_kleene(special, pc.equal(texts, _written(write, values)))
    yield pa.array([None if value is None else _same_exponent(text, value) for text, value in pairs], pa.bool_())


def _same_special(text: str, value: float) -> bool:
    """Whether an infinity, or no number at all, is what the text says, in whichever of its spellings."""
    if math.isfinite(value) or text.lower().lstrip("-") not in {"inf", "infinity", "nan"}:
        return False
    return float(text) == value or (math.isnan(float(text)) and math.isnan(value))


def _at_scale(scale: int, value: float) -> str:
    text = f"{value:.{scale}f}"
    return text if float(text) == value else repr(value)  # more digits than the scale has: to be seen, not rounded


def _shortest(value: float) -> str:
    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text


def _without_point(value: float) -> str:
    return _shortest(value).removesuffix(".0")


def _without_zero(value: float) -> str:
    return _shortest(value).replace("0.", ".", 1) if abs(value) < 1 else _shortest(value)


def _same_exponent(text: str, value: float) -> bool:
    if "e" not in text.lower():
        return text == _shortest(value)
    return Decimal(text) == Decimal(
        repr(value)
    )  # 1E+5 and 1.0e5 are one value in two spellings, and the value is enough


def _timestamps(texts: pa.Array[Any], values: pa.Array[Any]) -> Iterator[pa.Array[Any]]:
    texts = _without_fraction_zeros(texts)
    written = _without_fraction_zeros(values.cast(pa.timestamp("us")).cast(pa.string()))
    minutes = pc.replace_substring_regex(written, "^(.{16}):00$", r"\1")
    zones = ("",) if values.type.tz is None else ("Z", "+00:00")
    for stamp, separator, zone in product((written, minutes), " T", zones):
        yield pc.equal(texts, pc.binary_join_element_wise(pc.replace_substring(stamp, " ", separator), zone, ""))


def _without_fraction_zeros(stamps: pa.Array[Any]) -> pa.Array[Any]:
    stamps = pc.replace_substring_regex(stamps, r"(\.\d*[1-9])0+(\D|$)", r"\1\2")
    return pc.replace_substring_regex(stamps, r"\.0+(\D|$)", r"\1")


def _written(write: Callable[[Any], str], values: pa.Array[Any]) -> pa.Array[Any]:
    return pa.array([None if value is None else write(value) for value in values.to_pylist()], pa.string())

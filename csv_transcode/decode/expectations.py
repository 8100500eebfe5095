"""What a column's records so far lead one to expect of the next ones, and whether those are like it.

Mostly they are: a column of integers goes on as one, and shows nothing that is not known. So columns of which the same
is expected are looked at together, as if they were one, by the very rules that look at one (inference.py). Where that
shows nothing new, none of them shows anything, and all are typed in one go; else each is looked at by itself. Tables
of many columns are read so in a sixth of the calls, and integers without a string being made (words.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from csv_transcode.decode import arrays, inference, words
from csv_transcode.decode.evidence import (
    NEVER,
    NO_DIGITS,
    NOTHING_YET,
    BooleanEvidence,
    ColumnEvidence,
    NumberEvidence,
    TimestampEvidence,
    Uniform,
)
from csv_transcode.decode.numbers import EXACT_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy.typing as npt

    from csv_transcode.decode.fields import Fields
    from csv_transcode.decode.inference import Ruling, TypeRules
    from csv_transcode.decode.texts import Texts

    Words = npt.NDArray[np.uint64]
    Positions = npt.NDArray[np.int64]

STRING, INT64, DOUBLE, DATE = "string", "int64", "double", "date"
LATER: Final = 1 << 62  # a record behind all that evidence names
MANY_COLUMNS: Final = 64
SPELLINGS: Final = ("whole", "lone_zero", "trailing_zero", "negative_zero")
_NO_NUMBERS: Final = ColumnEvidence(
    value=LATER, not_date=LATER, timestamp=TimestampEvidence(LATER), boolean=BooleanEvidence(LATER)
)
_DATES: Final = ColumnEvidence(value=LATER, timestamp=TimestampEvidence(LATER), boolean=BooleanEvidence(LATER))
_ARROW_TYPES: Final = {np.int64: pa.int64(), np.float64: pa.float64(), np.int32: pa.date32()}
_INTEGERS: Final = replace(_NO_NUMBERS, number=NumberEvidence(whole=LATER, scale=Uniform(0, LATER)))


class Expectation(Struct, frozen=True):
    """What the next records of a column are to be; equal ones are looked at together.

    ``scale``, of doubles, is that of all numbers so far, None where it varies. ``shown`` is the rest of the evidence
    that decides what is still looked for, ``numbers_matter`` whether it says anything of numbers.
    """

    kind: str
    scale: int | None = None
    numbers_matter: bool = False
    shown: tuple[bool, ...] = ()


TEXT: Final = Expectation(STRING)


def expectation(known: ColumnEvidence, rules: TypeRules) -> Expectation | None:
    """Return what ``known`` leads one to expect; None where that is nothing, or of a kind that is seldom a table's."""
    if known.value == NEVER:
        return None
    alive = inference.Ruling.of(known, rules)
    kind = _kind(alive)
    if kind is None or (kind == DOUBLE and rules.decimals and alive.decimal == NEVER):
        return None
    if kind == STRING:
        return TEXT
    number = known.number
    firsts = (number.whole, number.point_or_exponent, number.exponent, number.inexact, number.special)
    zeros = (number.lone_zero, number.trailing_zero, number.negative_zero)
    candidates = (alive.double == NEVER, alive.decimal == NEVER)
    varies = number.scale.differs != NEVER
    scale = number.scale.value if not varies and isinstance(number.scale.value, int) else None
    shown = (*candidates, varies, *(first != NEVER for first in (*firsts, *zeros)))
    return Expectation(kind, scale, any(candidates), shown)


def _kind(alive: Ruling) -> str | None:
    """Return the one type that is left, numbers aside: of those int64 is preferred, and double before decimal."""
    is_number = NEVER in {alive.int64, alive.double}
    if alive.date != NEVER and NEVER not in {alive.timestamp, alive.boolean}:
        if is_number:
            return INT64 if alive.int64 == NEVER else DOUBLE
        return STRING if alive.decimal != NEVER else None
    only_date = not is_number and NEVER not in {alive.decimal, alive.timestamp, alive.boolean}
    return DATE if only_date else None


def goes_on(news: ColumnEvidence, known: Sequence[ColumnEvidence]) -> bool:
    """Whether ``news``, of records behind all that ``known`` names, shows none of these columns anything new."""
    return all(_is_known(news, one) for one in known)


@lru_cache(maxsize=4096)  # of a few news, and of columns whose evidence stays as it is
def _is_known(news: ColumnEvidence, known: ColumnEvidence) -> bool:
    return known.merged(news) == known


def read_by_places(
    fields: Fields, columns: Sequence[int], expected: Expectation, known: Sequence[ColumnEvidence], rules: TypeRules
) -> pa.Array[Any] | None:
    """Return these columns, one behind the other, null where a field is empty, if they are what is ``expected``.

    None where they are not quite, or the fields' texts have to say (words.py).
    """
    if expected.kind == INT64:
        news = _INTEGERS if expected.numbers_matter else _NO_NUMBERS
        return _typed(fields, columns, np.int64, words.integers) if goes_on(news, known) else None
    if expected.kind == DATE:
        return _typed(fields, columns, np.int32, words.dates) if goes_on(_DATES, known) else None
    if rules.decimal_comma or expected.scale == 0:
        return None
    spellings: set[str] = set()

    def doubles(source: Words, starts: Positions, lengths: Positions) -> npt.NDArray[Any] | None:
        found = words.doubles(source, starts, lengths, expected.scale)
        if found is None:
            return None
        spellings.update(spelling for spelling in SPELLINGS if getattr(found, spelling))
        return found.values

    typed = _typed(fields, columns, np.float64, doubles)
    return typed if typed is not None and goes_on(_news_of_doubles(expected, spellings), known) else None


def _typed(
    fields: Fields,
    columns: Sequence[int],
    dtype: npt.DTypeLike,
    read: Callable[[Words, Positions, Positions], npt.NDArray[Any] | None],
) -> pa.Array[Any] | None:
    source = words.words_of(fields.padded)
    shape = (len(columns), fields.rows)
    values, there = np.empty(shape, dtype), np.empty(shape, np.bool_)
    for piece, starts, lengths in fields.pieces(columns):
        found = read(source, starts, lengths)
        if found is None:
            return None
        values[:, piece] = found.reshape(-1, len(columns)).T
        there[:, piece] = (lengths > 0).reshape(-1, len(columns)).T
    present = None if there.all() else arrays.bitmap(there.ravel())
    return pa.Array.from_buffers(_ARROW_TYPES[dtype], values.size, [present, pa.py_buffer(values)])  # type: ignore[index, arg-type]


def _news_of_doubles(expected: Expectation, spellings: Collection[str]) -> ColumnEvidence:
    """Return what doubles read by places show, in a record behind all others."""
    number = NumberEvidence(
        point_or_exponent=LATER,
        scale=NOTHING_YET if expected.scale is None else Uniform(expected.scale, LATER),
        integer_part=Uniform(True, LATER),  # noqa: FBT003 -- the attribute's value
    )
    return replace(_NO_NUMBERS, number=replace(number, **dict.fromkeys(spellings, LATER)))


def confirmed(texts: Texts, known: Sequence[ColumnEvidence], rules: TypeRules) -> pa.Array[Any] | None:
    """Return the values where they are what is expected of every one of these columns, else None.

    ``texts`` are the next values of all of them, ``known`` what earlier records of each have shown; all have the same
    expectation. What is returned shows nothing that is not in each one's ``known`` already.
    """
    if len(texts) == 0:
        return None
    seen = inference.observe(texts, known[0], rules)
    if seen.cast is None:
        return None
    news = seen.evidence.shifted(LATER)
    if news.number.digits.most <= EXACT_DIGITS:  # so few decide nothing: a decimal has room for 18, or 38
        news = replace(news, number=replace(news.number, digits=NO_DIGITS))
    return seen.cast if goes_on(news, known) else None


def favour_places(expected: Sequence[Expectation | None]) -> bool:
    """Whether a block is read with less work by its fields' places (fields.py) than by Arrow's reader.

    That is so in tables of many columns, half of them typed or more. Arrow takes less for each value, and 100
    microseconds more for each column of a stripe, which are nothing beside the thousands of values there that a column
    of a narrower table has.
    """
    typed = sum(kind is not None and kind != TEXT for kind in expected)
    return len(expected) >= MANY_COLUMNS and 2 * typed >= len(expected)

"""Exact, refused or silently different: what a reader made of a CSV text, held against what the text says.

The rules are the same for every reader, and stand in words in ``docs/pollock.md``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from benchmarks.strict_csv import Truth

    Write = Callable[[object], str]

# Ways to write a day or a moment, one of which must give every text of a column again.
_DAYS: Final = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d")
_TIMES: Final = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
_MOMENTS: Final = tuple(f"{day}{between}{time}" for day in _DAYS for between in ("T", " ") for time in _TIMES)
_FRACTION_ZEROS: Final = re.compile(r"(\.[0-9]*?)0+$")
_NOT_FINITE: Final = ("nan", "inf", "infinity")


class Verdict(Enum):
    """What became of one file."""

    EXACT = "exact"
    REFUSED = "refused"
    SILENT = "silently different"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and whether a silent difference is one of typing alone."""

    verdict: Verdict
    why: str = ""
    typing_only: bool = False


@dataclass(frozen=True)
class Table:
    """What a reader delivered: the names of the columns, and their values."""

    names: Sequence[str]
    columns: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Reading:
    """Every form of the table that a reader gave, and the records it reports as bad: line → bytes, None if not told."""

    tables: Sequence[Table]
    reported: Mapping[int, bytes | None]


@dataclass(frozen=True)
class Refusal:
    """A reader gave no table, and says why."""

    why: str


def judge(result: Reading | Refusal, truths: Iterable[Truth]) -> Judgement:
    """Return the best verdict that one of ``truths`` allows: a file that has no header may be read in two ways."""
    judgements = [_judge(result, truth) for truth in truths]
    return min(judgements, key=lambda one: (one.verdict is not Verdict.EXACT, not one.typing_only))


def _judge(result: Reading | Refusal, truth: Truth) -> Judgement:
    if isinstance(result, Refusal):
        return Judgement(Verdict.REFUSED, result.why)
    for difference in (_reports(result, truth), *(_shape(table, truth) for table in result.tables)):
        if difference:
            return Judgement(Verdict.SILENT, difference)
    for table in result.tables:
        wrong = [index for index, texts in enumerate(truth.columns) if not says(texts, table.columns[index])]
        if wrong:
            typing = all(_differs_by_typing(truth.columns[index], table.columns[index]) for index in wrong)
            return Judgement(Verdict.SILENT, f"values of column {wrong[0] + 1}", typing)
    return Judgement(Verdict.EXACT)


def _reports(result: Reading, truth: Truth) -> str:
    """Say what is wrong with the report on malformed records, if anything is."""
    if missing := truth.malformed.keys() - result.reported.keys():
        return f"{len(missing)} malformed records are not reported"
    if more := result.reported.keys() - truth.malformed.keys():
        return f"{len(more)} well-formed records are reported as malformed"
    if any(raw is not None and raw != truth.malformed[line] for line, raw in result.reported.items()):
        return "what is reported is not what stands there"
    return ""


def _shape(table: Table, truth: Truth) -> str:
    """Say what is wrong with names and counts, if anything is."""
    records = {len(column) for column in table.columns}
    expected = len(truth.records) - len(truth.malformed)
    if records - {expected}:
        return f"{max(records)} records of {expected}"
    if truth.header is None:
        return "" if len(table.columns) == len(truth.columns) else "another number of columns"
    if len(table.names) != len(truth.header):
        return f"{len(table.names)} columns of {len(truth.header)}"
    times = Counter(cell.lower() for cell in truth.header)
    for name, cell in zip(table.names, truth.header, strict=True):
        # Names that are empty or repeated cannot stay as they are: anything that begins with them will do.
        if name != cell and not ((not cell or times[cell.lower()] > 1) and name.startswith(cell)):
            return f"a column is not named as its header: {name!r}"
    return ""


def says(texts: Sequence[str], values: Sequence[object]) -> bool:
    """Return whether one way of writing ``values`` gives every one of ``texts``; an empty cell may be null or empty."""
    pairs = [(text, value) for text, value in zip(texts, values, strict=True) if text or value not in (None, "")]
    if any(value is None for _, value in pairs):
        return False
    kinds = {type(value) for _, value in pairs}
    if len(kinds) > 1:  # a column of several types has none: it is held against its texts as they are
        return all(text == value for text, value in pairs)
    return not pairs or any(all(_is(text, value, write) for text, value in pairs) for write in _ways(pairs))


def _differs_by_typing(texts: Sequence[str], values: Sequence[object]) -> bool:
    return not any(isinstance(value, str) and text != value for text, value in zip(texts, values, strict=True))


def _is(text: str, value: object, write: Write) -> bool:
    if isinstance(value, float):
        if not isfinite(value):
            return text.lower().lstrip("-") in _NOT_FINITE and repr(float(text)) == repr(value)  # nan is not nan
        if re.fullmatch(r"-?[0-9.]+[eE][+-]?[0-9]+", text):  # of exponents, the value is enough
            return Decimal(text) == Decimal(repr(value))
    return bool(text) and write(value) == (_FRACTION_ZEROS.sub(r"\1", text) if isinstance(value, dt.datetime) else text)


def _ways(pairs: Sequence[tuple[str, object]]) -> Iterator[Write]:
    """Yield the ways in which a column of these values may have been written."""
    text, value = pairs[0]
    if isinstance(value, bool):
        yield from (lambda v: str(v).lower(), lambda v: str(v).upper(), str)
    elif isinstance(value, float):
        scale = len(text.partition(".")[2])
        yield from (lambda v: _scaled(v, scale), repr, lambda v: repr(v).removesuffix(".0"))
        yield lambda v: repr(v).replace("0.", ".", 1) if repr(v).lstrip("-").startswith("0.") else repr(v)
    elif isinstance(value, Decimal):
        yield lambda v: f"{v:f}"
    elif isinstance(value, dt.date | dt.time):  # a datetime is a date
        formats = _MOMENTS + _DAYS if isinstance(value, dt.datetime) else _DAYS + _TIMES
        yield from (_moments(spelling, zone) for spelling in formats for zone in ("", "Z", "+00:00"))
    else:
        yield str


def _scaled(value: object, scale: int) -> str:
    """Return ``value`` with ``scale`` digits after the point, or no text where that is not the value any more."""
    exact = Decimal(repr(value))
    text = f"{exact:.{scale}f}"
    return text if Decimal(text) == exact else ""


def _moments(spelling: str, zone: str) -> Write:
    def write(value: object) -> str:
        if not isinstance(value, dt.date | dt.time):
            return ""
        if bool(zone) != bool(getattr(value, "tzinfo", None)):
            return ""
        text = value.strftime(spelling)
        return (_FRACTION_ZEROS.sub(r"\1", text) if spelling.endswith("%f") else text) + zone

    return write

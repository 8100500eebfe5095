"""The lossless type lattice: what all values of a column have shown → its one type (contract section 4).

``observe`` looks at one column of one batch and returns evidence; evidence of consecutive batches merges; ``decide``
turns a whole file's evidence into a column. A candidate that has been ruled out is not looked at again, so a column
of plain strings costs nothing after its first value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from csv_transcode.decode import booleans, integers, moments, numbers
from csv_transcode.decode.evidence import NEVER, BooleanEvidence, ColumnEvidence, NumberEvidence, TimestampEvidence
from csv_transcode.schema import DECIMAL_PRECISION_MAX, DECIMAL_PRECISION_SHORT, Column, ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from csv_transcode.decode.texts import Texts

STRING: Final = ColumnType("string")


class TypeRules(Struct, frozen=True):
    """The settings that decide types.

    ``decimals`` is ``DECIMALS=decimal``, ``nanoseconds`` is ``NANOSECONDS``, ``strings_only`` is ``TYPES=string``,
    ``decimal_comma`` is ``DECIMAL_SEPARATOR=,``, ``given`` is ``COLUMN_TYPES``: header name → type.
    """

    decimals: bool = False
    nanoseconds: bool = False
    strings_only: bool = False
    decimal_comma: bool = False
    given: Mapping[str, ColumnType] = field(default_factory=dict)

    def fixed(self, name: str) -> ColumnType | None:
        """Return the type that the column called ``name`` has whatever its values say, or None."""
        return self.given.get(name, STRING if self.strings_only else None)

    def as_numbers(self, texts: Texts) -> Texts:
        """Return the values as numbers are written, with a point."""
        return texts.with_decimal_point() if self.decimal_comma else texts


class Observation(Struct, frozen=True):
    """What one column of one batch shows, and its non-empty values where they were cast on the way."""

    evidence: ColumnEvidence
    cast: pa.Array[Any] | None = None


class Ruling(Struct, frozen=True):
    """The first record that rules each candidate out, NEVER where it holds."""

    int64: int
    double: int
    decimal: int
    date: int
    timestamp: int
    boolean: int

    @classmethod
    def of(cls, evidence: ColumnEvidence, rules: TypeRules) -> Ruling:
        """Return what ``evidence`` rules out; a candidate that no record speaks for is out at the first value."""
        return cls(
            int64=evidence.not_int64,
            double=_double_out(evidence.number),
            decimal=_decimal_out(evidence.number),
            date=evidence.not_date,
            timestamp=_timestamp_out(evidence.timestamp, rules),
            boolean=min(evidence.boolean.unfit, evidence.boolean.spelling.differs),
        )


def observe(texts: Texts, known: ColumnEvidence, rules: TypeRules) -> Observation:
    """Return what a column's values show of the candidates that ``known`` leaves alive.

    ``known`` is evidence of earlier records of the column. What it has ruled out stays out, so the merged evidence
    decides the same however much of it was known here.
    """
    if len(texts) == 0:
        return Observation(ColumnEvidence())
    alive = Ruling.of(known, rules)
    first = texts.record(0)
    numeric = _observe_numeric(rules.as_numbers(texts), alive, known)
    if numeric.cast is not None:
        others = ColumnEvidence(
            value=first, not_date=first, timestamp=TimestampEvidence(first), boolean=BooleanEvidence(first)
        )
        return Observation(numeric.evidence.merged(others), numeric.cast)
    temporal = _observe_temporal(texts, alive)
    return Observation(numeric.evidence.merged(temporal.evidence).merged(ColumnEvidence(value=first)), temporal.cast)


def _observe_numeric(texts: Texts, alive: Ruling, known: ColumnEvidence) -> Observation:
    unfit, values = integers.observe(texts) if alive.int64 == NEVER else (NEVER, None)
    if NEVER not in (alive.double, alive.decimal):
        return Observation(ColumnEvidence(not_int64=unfit), values)
    if values is not None:
        return Observation(ColumnEvidence(number=numbers.of_integers(texts, values)), values)
    number, doubles = numbers.observe(texts, known.number)
    return Observation(ColumnEvidence(not_int64=unfit, number=number), doubles)


def _observe_temporal(texts: Texts, alive: Ruling) -> Observation:
    """Observe dates, timestamps and booleans; where all values are of one kind they are none of the others."""
    first = texts.record(0)
    unfit, dates = moments.observe_dates(texts) if alive.date == NEVER else (NEVER, None)
    if dates is not None:
        out = ColumnEvidence(timestamp=TimestampEvidence(first), boolean=BooleanEvidence(first))
        return Observation(out, dates)
    timestamp, times = moments.observe_timestamps(texts) if alive.timestamp == NEVER else (TimestampEvidence(), None)
    boolean = booleans.observe(texts) if alive.boolean == NEVER else BooleanEvidence()
    return Observation(ColumnEvidence(not_date=unfit, timestamp=timestamp, boolean=boolean), times)


def _double_out(number: NumberEvidence) -> int:
    """Return the first record after which no double column says the texts again."""
    scale_varies = min(number.scale.differs, number.exponent)
    spelling = min(
        max(scale_varies, number.trailing_zero),  # 1.9 beside 1.10
        max(number.whole, number.lone_zero),  # 1 beside 1.0
        number.integer_part.differs,  # .5 beside 0.5
        number.nan.differs,
        number.infinity.differs,
    )
    return min(number.unfit, number.inexact, spelling)


def _decimal_out(number: NumberEvidence) -> int:
    """Return the first record after which no decimal column says the texts again."""
    bare_point = number.integer_part.first if number.integer_part.value is False else number.integer_part.differs
    spelling = min(number.scale.differs, number.exponent, number.special, number.negative_zero, bare_point)
    return min(number.unfit, number.too_wide, spelling)


def _timestamp_out(timestamp: TimestampEvidence, rules: TypeRules) -> int:
    too_fine = timestamp.nanoseconds
    if rules.nanoseconds:
        too_fine = max(timestamp.nanoseconds, timestamp.beyond_nanoseconds)
    return min(timestamp.unfit, timestamp.spelling.differs, too_fine)


def decide(name: str, evidence: ColumnEvidence, rules: TypeRules) -> Column:
    """Return the column called ``name`` whose values, of the whole file or of all so far, have shown ``evidence``."""
    fixed = rules.fixed(name)
    if fixed is not None:
        return Column(name, fixed)
    if evidence.value == NEVER:
        return Column(name, STRING)
    ruling = _with_unspoken(Ruling.of(evidence, rules), evidence)
    for holds, column_type, spelling in _candidates(ruling, evidence, rules):
        if holds:
            return Column(name, column_type, spelling or None, _ruled_out(ruling, column_type))
    return Column(name, STRING, None, _ruled_out(ruling, STRING))


def ruled_out_each(column: Column, evidence: ColumnEvidence, rules: TypeRules) -> dict[str, int]:
    """Return every type narrower than that of ``column``, and the first record (from 1) that rules it out.

    ``evidence`` is what has decided the column; one whose type was given, or that has no value, rules nothing out. A
    type that no value up to that record speaks for never held: the first value rules it out.
    """
    if evidence.value == NEVER:
        return {}
    ruling = _with_unspoken(Ruling.of(evidence, rules), evidence)
    first = {name: getattr(ruling, name) for name in NARROWER[column.type.name]}
    return {name: record + 1 for name, record in first.items() if record != NEVER}


def _with_unspoken(ruling: Ruling, evidence: ColumnEvidence) -> Ruling:
    """Rule out, at the first value, what no value speaks for: double and decimal without a point anywhere.

    A point behind the record that rules them out does not count: who knew of that record looked no further.
    """
    number = evidence.number
    scaleless = number.scale.value in {None, 0}
    return Ruling(
        ruling.int64,
        evidence.value if number.point_or_exponent >= ruling.double else ruling.double,
        evidence.value if scaleless or number.point_or_exponent >= ruling.decimal else ruling.decimal,
        ruling.date,
        ruling.timestamp,
        ruling.boolean,
    )


def _candidates(
    ruling: Ruling, evidence: ColumnEvidence, rules: TypeRules
) -> list[tuple[bool, ColumnType, dict[str, Any]]]:
    """Return (does it hold, type, spelling) of every candidate, the preferred first."""
    short = rules.decimals and evidence.number.digits.most <= DECIMAL_PRECISION_SHORT
    precision = DECIMAL_PRECISION_SHORT if short else DECIMAL_PRECISION_MAX
    scale = evidence.number.scale.value
    decimal = ColumnType("decimal", precision, scale if isinstance(scale, int) else 0)
    decimal_holds = ruling.decimal == NEVER
    return [
        (ruling.int64 == NEVER, ColumnType("int64"), {}),
        (decimal_holds and rules.decimals, decimal, {}),
        (ruling.double == NEVER, ColumnType("double"), _double_spelling(evidence.number)),
        (decimal_holds, decimal, {}),
        (ruling.date == NEVER, ColumnType("date"), {}),
        (ruling.timestamp == NEVER, *_timestamp_type(evidence.timestamp, rules)),
        (ruling.boolean == NEVER, ColumnType("boolean"), {"case": evidence.boolean.spelling.value}),
    ]


def _double_spelling(number: NumberEvidence) -> dict[str, Any]:
    """Return how doubles are to be written: with a fixed scale, or shortest with whole numbers in one of two ways."""
    spelling: dict[str, Any] = {}
    if min(number.scale.differs, number.exponent) == NEVER:
        spelling["scale"] = number.scale.value
    elif number.whole != NEVER:
        spelling["whole"] = "17"
    elif number.lone_zero != NEVER:
        spelling["whole"] = "17.0"
    if number.integer_part.value is False:
        spelling["integer_part"] = False
    for kind in ("nan", "infinity"):
        if getattr(number, kind).value is not None:
            spelling[kind] = getattr(number, kind).value
    return spelling


def _timestamp_type(timestamp: TimestampEvidence, rules: TypeRules) -> tuple[ColumnType, dict[str, Any]]:
    if not isinstance(timestamp.spelling.value, tuple):
        return ColumnType("timestamp"), {}
    separator, seconds, zone = timestamp.spelling.value
    fine = rules.nanoseconds and timestamp.nanoseconds != NEVER
    spelling = {"separator": separator, "seconds": seconds} | ({"zone": zone} if zone else {})
    return ColumnType("timestamp_utc" if zone else "timestamp", nanoseconds=fine), spelling


NARROWER: Final = {
    "int64": (),
    "double": ("int64",),
    "decimal": ("int64", "double"),
    "date": ("int64", "double", "decimal"),
    "timestamp": ("int64", "double", "decimal", "date"),
    "timestamp_utc": ("int64", "double", "decimal", "date"),
    "boolean": ("int64", "double", "decimal", "date", "timestamp"),
    "string": ("int64", "double", "decimal", "date", "timestamp", "boolean"),
}


def _ruled_out(ruling: Ruling, column_type: ColumnType) -> dict[str, Any] | None:
    """Return the narrower type that held longest (of several the narrowest), and the record (from 1) that ended it."""
    narrower = [name for name in NARROWER[column_type.name] if getattr(ruling, name) != NEVER]
    if not narrower:
        return None
    longest = max(narrower, key=lambda name: getattr(ruling, name))
    return {"type": longest, "record": getattr(ruling, longest) + 1}

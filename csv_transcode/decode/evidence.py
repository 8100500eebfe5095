"""What a column's values have shown so far: first records, which merge in any grouping to the same result.

A record index counts from 0 within what was observed; ``shifted`` moves it to where that stands in the file. Merging
is associative, so blocks may be observed apart, in any sizes, and still name the same record of the file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from msgspec import Struct
from msgspec.structs import astuple, replace

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.intp]

NEVER: Final = sys.maxsize  # no record has shown it

Merged = TypeVar("Merged", bound="Evidence")


class Uniform(Struct, frozen=True):
    """Whether one attribute (a scale, a spelling) is the same in all values that have it.

    ``value`` is that of the record ``first``; ``differs`` is the first record with another one.
    """

    value: Hashable = None
    first: int = NEVER
    differs: int = NEVER

    def shifted(self, records: int) -> Uniform:
        """Return the same, ``records`` further down."""
        return replace(self, first=_shift(self.first, records), differs=_shift(self.differs, records))

    def renumbered(self, numbers: Numbers) -> Uniform:
        """Return the same, record i of it being record ``numbers[i]``."""
        return replace(self, first=_number(self.first, numbers), differs=_number(self.differs, numbers))

    def merged(self, later: Uniform) -> Uniform:
        """Return what this and then ``later`` have shown."""
        if self.first == NEVER:
            return later
        if later.first == NEVER or self.differs != NEVER:
            return self
        return replace(self, differs=later.first if later.value != self.value else later.differs)

    def seen(self, value: Hashable, record: int) -> Uniform:
        """Return what this and then one ``value`` in ``record`` have shown."""
        return self.merged(Uniform(value, record))


NOTHING_YET: Final = Uniform()


class Evidence(Struct, frozen=True):
    """Base: every field is a first record (an int, NEVER where there is none), or an evidence that merges itself.

    Fields that show nothing share one default, and are passed on as they are: a stripe of a thousand columns merges as
    many pieces of evidence, most of which show nothing new.
    """

    def shifted(self, records: int) -> Self:
        """Return the same, ``records`` further down."""
        if id(self) in _SHOW_NOTHING:
            return self
        return type(self)(*[_shifted(value, records) for value in astuple(self)])

    def renumbered(self, numbers: Numbers) -> Self:
        """Return the same, record i of it being record ``numbers[i]``."""
        if id(self) in _SHOW_NOTHING:
            return self
        return type(self)(*[_renumbered(value, numbers) for value in astuple(self)])

    def merged(self, later: Self) -> Self:
        """Return what this and then ``later`` have shown."""
        if id(later) in _SHOW_NOTHING:
            return self
        return type(self)(*map(_merged, astuple(self), astuple(later)))


class Digits(Struct, frozen=True):
    """The largest count of something so far; merging takes the larger."""

    most: int = 0

    def shifted(self, records: int) -> Digits:  # noqa: ARG002 -- a count does not move
        """Return the same."""
        return self

    def renumbered(self, numbers: Numbers) -> Digits:  # noqa: ARG002 -- as above
        """Return the same."""
        return self

    def merged(self, later: Digits) -> Digits:
        """Return the larger."""
        return later if later.most > self.most else self


NO_DIGITS: Final = Digits()


class NumberEvidence(Evidence, frozen=True):
    """What rules doubles and decimals in or out; each field is the first record that shows it."""

    unfit: int = NEVER  # is no number of contract section 4
    inexact: int = NEVER  # a number that no double says
    whole: int = NEVER  # without a point
    point_or_exponent: int = NEVER
    exponent: int = NEVER
    lone_zero: int = NEVER  # a fraction of just 0: 17.0
    trailing_zero: int = NEVER  # another fraction that ends in 0: 17.10
    negative_zero: int = NEVER
    special: int = NEVER  # nan or infinity
    too_wide: int = NEVER  # more digits than decimal(38,s) has
    scale: Uniform = NOTHING_YET  # digits after the point, of numbers without exponent
    integer_part: Uniform = NOTHING_YET  # whether numbers with a point have digits before it
    nan: Uniform = NOTHING_YET  # its spelling
    infinity: Uniform = NOTHING_YET  # its spelling
    digits: Digits = NO_DIGITS  # of the widest number without exponent


class TimestampEvidence(Evidence, frozen=True):
    """What rules timestamps in or out."""

    unfit: int = NEVER
    nanoseconds: int = NEVER  # more than 6 fraction digits
    beyond_nanoseconds: int = NEVER  # outside of 1677 to 2262
    spelling: Uniform = NOTHING_YET  # (separator, seconds, zone)


class BooleanEvidence(Evidence, frozen=True):
    """What rules booleans in or out."""

    unfit: int = NEVER
    spelling: Uniform = NOTHING_YET


NO_NUMBER: Final = NumberEvidence()
NO_TIMESTAMP: Final = TimestampEvidence()
NO_BOOLEAN: Final = BooleanEvidence()


class ColumnEvidence(Evidence, frozen=True):
    """All that is known of one column."""

    value: int = NEVER  # the first that is neither null nor empty
    not_int64: int = NEVER
    not_date: int = NEVER
    number: NumberEvidence = NO_NUMBER
    timestamp: TimestampEvidence = NO_TIMESTAMP
    boolean: BooleanEvidence = NO_BOOLEAN


NO_EVIDENCE: Final = ColumnEvidence()
_SHOW_NOTHING: Final = frozenset(
    map(id, (NOTHING_YET, NO_DIGITS, NO_NUMBER, NO_TIMESTAMP, NO_BOOLEAN, NO_EVIDENCE)),
)


def _shift(record: int, records: int) -> int:
    return record if record == NEVER else record + records


def _shifted(value: Any, records: int) -> Any:  # noqa: ANN401 -- an int or an evidence, see Evidence
    if isinstance(value, int):
        return _shift(value, records)
    return value if id(value) in _SHOW_NOTHING else value.shifted(records)


def _number(record: int, numbers: Numbers) -> int:
    return record if record == NEVER else int(numbers[record])


def _renumbered(value: Any, numbers: Numbers) -> Any:  # noqa: ANN401 -- an int or an evidence, see Evidence
    if isinstance(value, int):
        return _number(value, numbers)
    return value if id(value) in _SHOW_NOTHING else value.renumbered(numbers)


def _merged(value: Any, later: Any) -> Any:  # noqa: ANN401 -- an int or an evidence, see Evidence
    if isinstance(value, int):
        return value if value <= later else later  # noqa: FURB136 -- half the time of min
    if id(later) in _SHOW_NOTHING:
        return value
    return later if id(value) in _SHOW_NOTHING else value.merged(later)

"""Which text is which value: contract section 4, one value at a time, in plain Python.

This is the slow, obvious version that the vectorised modules are held against (tests/decode), and that decides about
the values they leave over. A text is an ordinary number, and exact, where a reader can write it again from the value.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
INT64_DIGITS_MAX: Final = 19
TIMESTAMP_NANOSECONDS: Final = (-(2**63), 2**63 - 1)  # what an int64 of nanoseconds since 1970 can say
MICRO_DIGITS: Final = 6
NANO_DIGITS: Final = 9

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER: Final = re.compile(r"(-?)(0|[1-9][0-9]*)?(?:\.([0-9]+))?(?:[eE]([+-]?)[0-9]+)?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Python 3.14 takes 24:00 for the midnight of the next day, from which nobody can write it again.
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ])((?!24)[0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|\+00:00)?"
)
BOOLEANS: Final = {
    "lower": ("true", "false"),
    "upper": ("TRUE", "FALSE"),
    "capitalised": ("True", "False"),
}
SPELLING_OF_BOOLEAN: Final = {text: spelling for spelling, texts in BOOLEANS.items() for text in texts}
NAN_TEXTS: Final = frozenset({"nan", "NaN", "NAN", "Nan"})
INFINITY_TEXTS: Final = frozenset({"inf", "Inf", "INF", "infinity", "Infinity", "INFINITY"})


def is_int64(text: str) -> bool:
    """Return whether ``text`` is an integer that 64 bits hold, in the only spelling it has."""
    return (
        _INTEGER.fullmatch(text) is not None
        and len(text) <= INT64_DIGITS_MAX + 1
        and INT64_MIN <= int(text) <= INT64_MAX
    )


class Number(Struct, frozen=True):
    """An ordinary number's spelling."""

    negative: bool
    integer_part: bool
    digits: int  # that a decimal needs for it: those on both sides of the point, but for a lone 0 before it
    scale: int | None  # digits after the point; None without a point
    exponent: bool
    trailing_zero: bool  # the fraction ends in 0, and is not a lone 0
    lone_zero: bool  # the fraction is a lone 0


def parse_number(text: str) -> Number | None:
    """Return how the decimal number ``text`` is spelt, or None where it is none that may be a double or decimal."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    integer, fraction, sign = match[2], match[3], match[4]
    if integer is None and fraction is None:
        return None
    if sign == "" and fraction is None:  # 1e5: as likely an identifier as a number
        return None
    return Number(
        negative=bool(match[1]),
        integer_part=integer is not None,
        digits=len((integer or "").removeprefix("0")) + len(fraction or ""),
        scale=None if fraction is None else len(fraction),
        exponent=sign is not None,
        trailing_zero=fraction is not None and fraction != "0" and fraction.endswith("0"),
        lone_zero=fraction == "0",
    )


def is_exact_double(text: str) -> bool:
    """Return whether the double nearest to the ordinary number ``text`` says the same number, and is finite.

    Python's repr is the shortest text that reads back as the same double: what any reader can get out of the value.
    """
    value = float(text)
    if not math.isfinite(value):
        return False
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:  # an exponent that even Decimal does not reach
        return False


def is_negative_zero(text: str) -> bool:
    """Return whether the ordinary number ``text`` is zero with a minus sign, which only a double can say."""
    return text.startswith("-") and not text.lower().partition("e")[0].strip("-0.")


def special_kind(text: str) -> tuple[str, str] | None:
    """Return ("nan" or "infinity", its spelling without a sign) where ``text`` is such a value, else None."""
    if text in NAN_TEXTS:
        return "nan", text
    bare = text.removeprefix("-")
    return ("infinity", bare) if bare in INFINITY_TEXTS else None


def is_date(text: str) -> bool:
    """Return whether ``text`` is a real day of the years 0001 to 9999, as YYYY-MM-DD."""
    if _DATE.fullmatch(text) is None:
        return False
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


class Timestamp(Struct, frozen=True):
    """A timestamp's spelling and, in nanoseconds since 1970, its value as if it were UTC."""

    separator: str
    seconds: bool
    zone: str  # "", "Z" or "+00:00"
    fraction_digits: int
    nanoseconds: int

    @property
    def spelling(self) -> tuple[str, bool, str]:
        """What one column must have in common."""
        return self.separator, self.seconds, self.zone

    @property
    def needs_nanoseconds(self) -> bool:
        """Whether microseconds cannot say the fraction as it is written."""
        return self.fraction_digits > MICRO_DIGITS

    @property
    def fits_nanoseconds(self) -> bool:
        """Whether 64 bits of nanoseconds reach as far."""
        low, high = TIMESTAMP_NANOSECONDS
        return low <= self.nanoseconds <= high


def parse_timestamp(text: str) -> Timestamp | None:
    """Return how the timestamp ``text`` is spelt, or None where it is none."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    day, separator, minutes, seconds, fraction, zone = match.groups()
    try:
        whole = dt.datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}")
    except ValueError:
        return None
    since_epoch = whole - dt.datetime(1970, 1, 1)  # noqa: DTZ001 -- both without a zone: only the difference counts
    nanoseconds = (since_epoch // dt.timedelta(seconds=1)) * 10**9 + int((fraction or "").ljust(NANO_DIGITS, "0"))
    return Timestamp(separator, seconds is not None, zone or "", len(fraction or ""), nanoseconds)

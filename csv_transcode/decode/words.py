"""Numbers and dates from fields as they stand in a block: eight characters at a time, without a string being made.

A field's bytes are loaded as a word of 64 bits, its first character lowest, and moved up until its last character is
highest; what is below is zero, as leading zeros are. Three multiplications then add up eight digits: by 10 in pairs,
by 100 in fours, by 10,000 in eights (as in Lemire, "Quickly parsing eight digits", 2018). A number with a point is the
integer of its digits divided by a power of ten: both are exact as doubles up to 15 digits, so the quotient is the
double nearest to the number (Clinger, "How to read floating point numbers accurately", 1990).

A reader takes fields by ``words``, ``starts`` and ``lengths`` (0 is no value) and returns None where one of them is
longer, or is written otherwise, than it reads: the field's text is then looked at, by slower and wiser rules.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[np.uint64]
    Places = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    Array = npt.NDArray[np.generic]

WORD_BYTES: Final = 8
DIGITS_MAX: Final = 15  # so many no double rounds, and two words hold them with a point
SCALE_MAX: Final = WORD_BYTES - 1  # the point stands among the last eight characters
DATE_BYTES: Final = len("YYYY-MM-DD")
PADDING: Final = bytes(2 * WORD_BYTES)  # behind the last field of a block, which is loaded with what follows it

_WORD: Final = np.dtype("<u8")
_BITS: Final = 8 * WORD_BYTES
_ALL: Final = (1 << _BITS) - 1
_EACH: Final = 0x0101_0101_0101_0101  # times a byte: that byte eight times
_ZEROS: Final = np.uint64(ord("0") * _EACH)
_POINT, _MINUS = (ord(character) ^ ord("0") for character in ".-")  # as they stand among digits
_WITHOUT_FIRST: Final = np.array([_ALL, _ALL & ~0xFF], np.uint64)
_ONES, _POINTS = np.uint64(_EACH), np.uint64(_POINT * _EACH)
_HIGH_BITS: Final = np.uint64(0x80 * _EACH)
_TO_80_FROM_10: Final = np.uint64(0x76 * _EACH)  # added, it sets the high bit of a byte of 10 or more
_PAIRS: Final = (np.uint64(1 + (10 << 8)), np.uint64(8), np.uint64(0x00FF_00FF_00FF_00FF))
_FOURS: Final = (np.uint64(1 + (100 << 16)), np.uint64(16), np.uint64(0x0000_FFFF_0000_FFFF))
_EIGHTS: Final = (np.uint64(1 + (10_000 << 32)), np.uint64(32), np.uint64(0x0000_0000_FFFF_FFFF))
_EIGHT_DIGITS: Final = np.uint64(10**WORD_BYTES)
_POWERS_OF_TEN: Final = 10.0 ** np.arange(WORD_BYTES + 1)
_SEVEN, _EIGHT, _TOP = np.uint64(7), np.uint64(8), np.uint64(_BITS - 8)


class Doubles(Struct, frozen=True):
    """Doubles, 0 where a field is empty, and which spellings are among the others: see NumberEvidence."""

    values: npt.NDArray[np.float64]
    whole: bool
    lone_zero: bool
    trailing_zero: bool
    negative_zero: bool


def words_of(padded: bytes) -> Words:
    """Return the word that begins at each byte of ``padded``, but for the last ones of the PADDING at its end."""
    return np.ndarray((len(padded) - WORD_BYTES + 1,), _WORD, padded, 0, (1,))


def integers(words: Words, starts: Places, lengths: Places) -> npt.NDArray[np.int64] | None:
    """Return the integers in the fields, 0 where one is empty: -?(0|[1-9][0-9]*), of at most DIGITS_MAX bytes, not -0.

    That is int64 as contract section 4 has it.
    """
    if int(lengths.max(initial=0)) > DIGITS_MAX:
        return None
    field = _Field.of(words, starts, lengths)
    if bool(((field.first == 0) & (field.digits > 1)).any()):
        return None
    values = _joined(*_moved(words, field))
    if values is None:
        return None
    signed = values.view(np.int64)
    if field.negative is not None:
        if bool((field.negative & (signed == 0)).any()):  # a minus alone, too
            return None
        np.negative(signed, out=signed, where=field.negative)
    return signed


def doubles(words: Words, starts: Places, lengths: Places, scale: int | None) -> Doubles | None:
    """Return the numbers in the fields: -?(0|[1-9][0-9]*)(.[0-9]+)?, of at most DIGITS_MAX bytes.

    With a ``scale`` all have so many digits behind a point; None allows none up to seven.
    """
    if int(lengths.max(initial=0)) > DIGITS_MAX:
        return None
    if scale is not None and scale > SCALE_MAX:
        return None
    field = _Field.of(words, starts, lengths)
    low, high = _moved(words, field)
    split = _without_point(low, high) if scale is None else _without_point_at(low, high, scale, lengths)
    if split is None:
        return None
    low, high, scales = split
    before_point = field.digits - scales
    before_point -= scales > 0
    there = lengths > 0
    if bool((((field.first == 0) & (before_point > 1)) | ((before_point < 1) & there)).any()):
        return None
    ends_in_zero = (low >> _TOP) == 0
    digits = _joined(low, high)
    if digits is None:
        return None
    values = digits.astype(np.float64)
    values /= _POWERS_OF_TEN.take(scales)
    negative_zero = False
    if field.negative is not None:
        negative_zero = bool((field.negative & (digits == 0)).any())
        np.negative(values, out=values, where=field.negative)
    return Doubles(
        values,
        whole=bool(((scales == 0) & there).any()),
        lone_zero=bool((ends_in_zero & (scales == 1)).any()),
        trailing_zero=bool((ends_in_zero & (scales > 1)).any()),
        negative_zero=negative_zero,
    )


def dates(words: Words, starts: Places, lengths: Places) -> npt.NDArray[np.int32] | None:
    """Return the days since 1970 in the fields, YYYY-MM-DD from the year 0001 on; -719162 where one is empty."""
    there = lengths > 0
    if not bool(((lengths == DATE_BYTES) | ~there).all()):
        return None
    begin, end = words[starts], words[starts + (DATE_BYTES - WORD_BYTES)]
    begin ^= _ZEROS
    end ^= _ZEROS
    hyphens = ((begin & _HYPHENS_KEPT) == _HYPHENS) | ~there
    digits = begin & _YEAR
    digits |= (begin >> _EIGHT) & _MONTH
    digits |= end & _DAY
    digits = np.where(there, digits, _FIRST_DATE) if not there.all() else digits
    if not bool(hyphens.all()) or not _are_digits(digits):
        return None
    factor, bits, kept = _PAIRS
    digits *= factor
    digits >>= bits
    digits &= kept  # century, year of it, month, day: 16 bits each
    parts = digits.view(np.uint16).reshape(-1, 4).astype(np.int64)
    months, days = parts[:, 2], parts[:, 3]
    numbers = (parts[:, 0] * 100 + parts[:, 1]) * 12 + months
    first_days = _first_days()
    if bool(((months < 1) | (months > 12) | (numbers <= 12) | (days < 1)).any()):  # noqa: PLR2004 -- of a year
        return None
    found = first_days.take(numbers)
    found += days.astype(np.int32)
    found -= 1
    return found if bool((found < first_days.take(numbers + 1)).all()) else None


_HYPHENS_KEPT: Final = np.uint64(0xFF00_00FF_0000_0000)
_HYPHENS: Final = np.uint64(_MINUS << 56 | _MINUS << 32)
_YEAR: Final = np.uint64(0x0000_0000_FFFF_FFFF)
_MONTH: Final = np.uint64(0x0000_FFFF_0000_0000)
_DAY: Final = np.uint64(0xFFFF_0000_0000_0000)
_FIRST_DATE: Final = np.uint64(int.from_bytes(bytes(int(digit) for digit in "00010101"), "little"))
_LAST_YEAR: Final = 9999


@cache
def _first_days() -> npt.NDArray[np.int32]:
    """Return the first day, since 1970, of each month: at 12 times the year and the month, from 1."""
    months = np.arange(12 * (_LAST_YEAR + 1) + 2) - 1 - 12 * 1970
    return months.astype("M8[M]").astype("M8[D]").astype(np.int64).astype(np.int32)


class _Field(Struct, frozen=True):
    """Fields as digits: where they begin, how many characters and how many digits (or points) they have, signs aside.

    ``loaded`` are the first eight characters less "0", zero for a minus; ``first`` is the first of them that is none.
    """

    starts: Places
    lengths: Places
    loaded: Words
    digits: Places
    first: npt.NDArray[np.uint8]
    negative: Mask | None  # None where none is

    @classmethod
    def of(cls, words: Words, starts: Places, lengths: Places) -> _Field:
        loaded = words[starts]
        loaded ^= _ZEROS
        first = loaded.astype(np.uint8)
        negative = first == _MINUS
        negative &= lengths > 0
        if not negative.any():
            return cls(starts, lengths, loaded, lengths, first, None)
        second = (loaded >> _EIGHT).astype(np.uint8)
        loaded &= _WITHOUT_FIRST.take(negative.view(np.uint8))
        return cls(starts, lengths, loaded, lengths - negative, np.where(negative, second, first), negative)


def _moved(words: Words, field: _Field) -> tuple[Words, Words | None]:
    """Return the last eight characters, and those before them where any field has more; zero before both."""
    missing = (WORD_BYTES - field.lengths) * 8  # bits
    if int(missing.min(initial=0)) >= 0:
        return field.loaded << missing.view(np.uint64), None
    last = words[field.starts + np.maximum(field.lengths - WORD_BYTES, 0)]
    last ^= _ZEROS
    if field.negative is not None:
        last &= _WITHOUT_FIRST.take((field.negative & (missing >= 0)).view(np.uint8))
    last <<= np.maximum(missing, 0).view(np.uint64)
    missing += _BITS
    return last, field.loaded << missing.view(np.uint64)  # NumPy moves all out of the word where that has no more bits


def _without_point_at(
    low: Words, high: Words | None, scale: int, lengths: Places
) -> tuple[Words, Words | None, Places] | None:
    """Return the digits without the point that stands before the last ``scale`` of all; None where it does not."""
    at = 8 * (WORD_BYTES - 1 - scale)
    points = (low & np.uint64(0xFF << at)) == np.uint64(_POINT << at)
    there = lengths > 0
    if not bool((points | ~there).all()):
        return None
    before, behind = np.uint64((1 << at) - 1), np.uint64(_ALL & ~((1 << (at + 8)) - 1))
    scales = np.where(there, scale, 0) if not there.all() else np.full(len(low), scale)
    return *_closed_up(low, high, before, behind), scales


def _without_point(low: Words, high: Words | None) -> tuple[Words, Words | None, Places] | None:
    """Return the digits without the point in the last eight characters, and how many stand behind it (0: no point)."""
    other = low ^ _POINTS  # a zero byte is a point; of those that the next line marks, the lowest is one
    marks = other - _ONES
    marks &= ~other
    marks &= _HIGH_BITS
    there = marks != 0
    mark = marks & (~marks + np.uint64(1))
    before = (mark >> _SEVEN) - np.uint64(1)
    behind = ~((mark << np.uint64(1)) - np.uint64(1))
    scales = (7 - (np.bitwise_count(before) >> 3).astype(np.int64)) * there
    if bool((there & (scales == 0)).any()):
        return None
    closed_low, closed_high = _closed_up(low, high, before, behind)
    if there.all():
        return closed_low, closed_high, scales
    closed_high = None if high is None or closed_high is None else np.where(there, closed_high, high)
    return np.where(there, closed_low, low), closed_high, scales


def _closed_up(
    low: Words, high: Words | None, before: np.uint64 | Words, behind: np.uint64 | Words
) -> tuple[Words, Words | None]:
    """Return what is ``before`` and ``behind`` the point moved together."""
    closed = low & before
    closed <<= _EIGHT
    closed |= low & behind
    if high is None:
        return closed, None
    closed |= high >> _TOP
    return closed, high << _EIGHT


def _joined(low: Words, high: Words | None) -> Words | None:
    """Return the number that up to sixteen digits are; None where one is no digit."""
    if not _are_digits(low) or (high is not None and not _are_digits(high)):
        return None
    numbers = _eight_digits(low)
    if high is not None:
        above = _eight_digits(high)
        above *= _EIGHT_DIGITS
        numbers += above
    return numbers


def _are_digits(words: Words) -> bool:
    marked = words + _TO_80_FROM_10
    marked |= words
    return not int(np.bitwise_or.reduce(marked)) & int(_HIGH_BITS)


def _eight_digits(digits: Words) -> Words:
    """Return the number that each word's eight bytes are, the first digit lowest; ``digits`` is used up."""
    for factor, bits, kept in (_PAIRS, _FOURS, _EIGHTS):
        digits *= factor
        digits >>= bits
        digits &= kept
    return digits

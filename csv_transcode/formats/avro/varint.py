"""Avro's int and long, one value or a whole column at a time (specification, "Binary Encoding").

A value is first zig-zagged (0, -1, 1, -2 become 0, 1, 2, 3), then cut into groups of seven bits, lowest first; each
group is a byte, and all bytes but the last have their high bit set.

A column is done without a loop over its values: the varint is an unsigned integer whose bytes, lowest first, are the
varint's bytes. `_spread` moves all groups to their bytes at once, by halves:

    28 bits   0000000000000000000000000000 dddddddccccccc bbbbbbbaaaaaaa
    two by two                0000ddddddd ccccccc  00bbbbbbbaaaaaaa           (hi half + 3 times itself: two bits up)
    one by one                0ddddddd 0ccccccc 0bbbbbbb 0aaaaaaa             (hi half + itself: one bit up)
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Words: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]
Widths: TypeAlias = npt.NDArray[np.uint8]

GROUP_BITS: Final = 7
WORD_BYTES: Final = 8  # bytes of the largest unsigned integer there is
CONTINUED: Final = 0x80

_WORD_BITS_ALL: Final = (1 << 64) - 1
_LOW_GROUPS: Final = (1 << GROUP_BITS * WORD_BYTES) - 1
_HIGH_28: Final = 0x00FF_FFFF_F000_0000  # the upper half of 56 bits
_HIGH_14: Final = 0x0FFF_C000_0FFF_C000  # the upper halves of 28 bits, in each half
_HIGH_7: Final = 0x3F80_3F80_3F80_3F80  # the upper halves of 14 bits, in each quarter


def varint(value: int) -> bytes:
    """Return ``value``, of 64 bits with sign, as an Avro long."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest >= CONTINUED:
        out.append(rest & (CONTINUED - 1) | CONTINUED)
        rest >>= GROUP_BITS
    out.append(rest)
    return bytes(out)


def word_type(width: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the narrowest unsigned integer of at least ``width`` bytes, 1 to 8."""
    return _WORD_TYPES[width - 1]


class Varints(Struct, frozen=True):
    """The varints of a column.

    Row i is the first ``widths[i]`` bytes (``width`` where ``widths`` is None) of ``low[i]``, then ``high[i]``, each
    read from its lowest byte; ``high``, bytes 9 and 10, is there only if ``width`` > 8. What follows is zero.
    """

    width: int
    widths: Widths | None
    low: Words
    high: Words | None = None


def bounds(values: Integers) -> tuple[int, int]:
    """Return the least and the greatest of ``values``, of which there is at least one."""
    return int(np.minimum.reduce(values)), int(np.maximum.reduce(values))


def varint_width_bounds(least: int, greatest: int) -> tuple[int, int]:
    """Return the least and the greatest number of bytes of values from ``least`` to ``greatest``."""
    ends = (_zigzag_scalar(least), _zigzag_scalar(greatest))
    smallest = min(ends) if (least < 0) == (greatest < 0) else 0
    return _width(smallest), _width(max(ends))


def encode_varints(values: Integers, least: int, greatest: int) -> Varints:
    """Return the varints of ``values``, which are integers of at most 64 bits with sign or 32 without.

    ``least`` and ``greatest`` bound the values: the work, and the width of the words, follow from them.
    """
    narrowest, widest = varint_width_bounds(least, greatest)
    zigzag = _zigzag(values, least, widest)
    if widest <= WORD_BYTES:
        return _in_one_word(zigzag, narrowest, widest)
    return _in_two_words(zigzag, narrowest, widest)


_WORD_TYPES: Final = tuple(np.dtype(f"u{size}") for size in (1, 2, 4, 4, 8, 8, 8, 8))


def _zigzag_scalar(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _width(zigzag: int) -> int:
    return max(1, -(-zigzag.bit_length() // GROUP_BITS))


def _zigzag(values: Integers, least: int, widest: int) -> Words:
    """Return the zig-zag of ``values`` in a type that also holds its varint of ``widest`` bytes."""
    target = word_type(min(widest, WORD_BYTES))
    if least >= 0:
        zigzag: Words = values.astype(target)
        zigzag <<= 1
        return zigzag
    wide = values.astype(np.int64)
    sign = wide >> 63
    wide <<= 1
    wide ^= sign
    return wide.view(np.uint64).astype(target, copy=False)


def _in_one_word(zigzag: Words, narrowest: int, widest: int) -> Varints:
    """Return varints of at most 8 bytes; ``zigzag`` is used up."""
    widths, continued = _widths(zigzag, narrowest, widest)
    _spread(zigzag, widest)
    zigzag |= continued
    return Varints(widest, widths, zigzag)


def _in_two_words(zigzag: Words, narrowest: int, widest: int) -> Varints:
    """Return varints of which some have 9 or 10 bytes: the first eight groups, and the rest as a varint of its own."""
    widths, continued = _widths(zigzag, narrowest, widest)
    rest = (zigzag >> (GROUP_BITS * WORD_BYTES)).astype(word_type(widest - WORD_BYTES))
    zigzag &= _LOW_GROUPS
    _spread(zigzag, WORD_BYTES)
    zigzag |= continued
    high = _in_one_word(rest, 1, widest - WORD_BYTES)
    return Varints(widest, widths, zigzag, high.low)


def _widths(zigzag: Words, narrowest: int, widest: int) -> tuple[Widths | None, Words | np.unsignedinteger[Any]]:
    """Return each row's width (None: all ``widest``) and its continuation bits in the first 8 bytes."""
    word = zigzag.dtype.type
    always = word(sum(CONTINUED << 8 * byte for byte in range(min(narrowest - 1, WORD_BYTES))))
    if narrowest == widest:
        return None, always
    widths = np.full(len(zigzag), narrowest, np.uint8)
    continued = np.full(len(zigzag), always, zigzag.dtype)
    for width in range(narrowest, widest):
        longer = zigzag >= word(1 << GROUP_BITS * width)
        widths += longer
        if width <= WORD_BYTES:
            continued |= longer.astype(zigzag.dtype) << word(8 * width - 1)
    return widths, continued


def _spread(groups: Words, width: int) -> None:
    """Move group k of seven bits to byte k, in place, for the ``width`` lowest groups; the others are zero."""
    for steps_from, mask, factor in ((5, _HIGH_28, 15), (3, _HIGH_14, 3), (2, _HIGH_7, 1)):
        if width >= steps_from:
            groups += (groups & _fitting(mask, groups)) * _fitting(factor, groups)


def _fitting(number: int, words: Words) -> np.unsignedinteger[Any]:
    """Return the low bits of ``number`` in the type of ``words``, so that NumPy stays in that type."""
    return words.dtype.type(number & (_WORD_BITS_ALL >> (64 - 8 * words.dtype.itemsize)))

"""A column of a record batch in Avro's binary encoding, still apart from the other columns.

What Avro wants of one field of one record is here called its *cell*: the branch of the union (0x00 null, 0x02 value),
then the value. The cells of a column are a handful of arrays with one element a row (:class:`Cell`), made without a
loop over the rows. Long text stays where it is (:class:`Text`); only the length before it is a cell.

    int, long, date, timestamp   branch and varint, as one word of up to 8 bytes, or in parts of 1, 8 and 2
    float, double                branch, the value as Arrow has it
    boolean                      branch and value, as one word
    decimal                      branch and length, then 8 or 16 bytes, highest first
    string, bytes                all of one length: branch and length, then the bytes in parts of 8, 4, 2 and 1
                                 up to 8 bytes: branch, length and bytes, taken out of Arrow's own views
                                 else: branch and length; then a Text

Arrow's buffers are read in place. What lies under nulls is encoded and then made zero: it decides no byte. Like Arrow
in Python, all of this needs a little-endian processor.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from csv_transcode import kernels
from csv_transcode.errors import FrameError
from csv_transcode.formats.avro.schema import DECIMAL_PRECISION_LONG
from csv_transcode.formats.avro.varint import (
    WORD_BYTES,
    Integers,
    Varints,
    Widths,
    Words,
    bounds,
    encode_varints,
    varint,
    varint_width_bounds,
    word_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NULL_BRANCH: Final = 0x00
VALUE_BRANCH: Final = 0x02
SPILL_BYTES_MAX: Final = 3  # a word of 5 bytes is written as one of 8
TEXT_BYTES_MAX: Final = 2**31 - 1  # of one value, and what the 32-bit places of one Arrow array reach

_SMALL: Final = 1 << 15  # integers from -_SMALL to _SMALL - 1 are looked up: 2 calls, not 15, and a tenth of the time
_WHOLE_TEXT_PARTS_MAX: Final = 5  # more copies than that cost more than a Text
_VIEW: Final = (16, 4)  # bytes of an Arrow view, and where the content of a short one begins

Array: TypeAlias = "pa.Array[Any]"
Numbers: TypeAlias = npt.NDArray[np.number[Any]]


class Cell(Struct, frozen=True):
    """The cells of one column, each of ``width`` bytes, or of ``widths`` and at most ``width``.

    ``parts`` are ``(offset, array)``: element i of the array lies ``offset`` bytes into cell i. The last part may reach
    ``SPILL_BYTES_MAX`` beyond the cell: these are for the next cell to overwrite.
    """

    width: int
    widths: Widths | None
    parts: tuple[tuple[int, Numbers], ...]

    @property
    def reach(self) -> int:
        """The bytes written, from the cell's begin."""
        offset, values = self.parts[-1]
        return offset + values.itemsize

    @property
    def word(self) -> Words | None:
        """The cells as one unsigned integer a row, zero beyond the cell's end; None where they are not that."""
        values = self.parts[0][1]
        return values if len(self.parts) == 1 and values.dtype.kind == "u" else None  # type: ignore[return-value]


class Text(Struct, frozen=True):
    """The bytes of the strings of one column, without their lengths.

    ``arrays`` are Arrow binary arrays, together of one element a row, with ``lengths``, at most ``longest``. Where
    ``valid`` is 0 the row has no bytes all the same.
    """

    arrays: tuple[Array, ...]
    lengths: Integers
    longest: int
    valid: Widths | None


ColumnEncoder: TypeAlias = "Callable[[Array], Iterator[Cell | Text]]"


def column_encoder(arrow_type: pa.DataType) -> ColumnEncoder:
    """Return what makes the cells of arrays, not empty, of ``arrow_type``, which is one that :mod:`.schema` allows."""
    return next((encoder for applies, encoder in _ENCODERS if applies(arrow_type)), _integers)


def in_place(
    buffer: pa.Buffer | memoryview | None, dtype: npt.DTypeLike, count: int, start: int = 0, stride: int | None = None
) -> npt.NDArray[Any]:
    """Return ``count`` elements of ``buffer`` from byte ``start``, ``stride`` bytes apart (their own size if None)."""
    strides = (np.dtype(dtype).itemsize if stride is None else stride,)
    return np.ndarray((count,), dtype, buffer, start, strides)  # type: ignore[arg-type]  # Arrow's are buffers too


def _nulls(column: Array) -> Iterator[Cell]:
    yield Cell(1, None, ((0, np.full(len(column), NULL_BRANCH, np.uint8)),))


def _integers(column: Array) -> Iterator[Cell]:
    values = _numbers(column)
    yield _integer_cell(values, *bounds(values), _valid(column))


def _floats(column: Array) -> Iterator[Cell]:
    valid, values = _valid(column), _numbers(column)
    yield _fixed_cell(1 + values.itemsize, (1, values), front=bytes([VALUE_BRANCH]), valid=valid)


def _booleans(column: Array) -> Iterator[Cell]:
    word: Words = _bits(column.buffers()[1], column.offset, len(column)).astype(np.uint16)
    word <<= 8
    word |= VALUE_BRANCH
    yield _word_cell(word, 2, 1, _valid(column))


def _decimals(column: Array) -> Iterator[Cell]:
    """Yield two's complement, highest byte first: the upper half only where the precision may need it."""
    halves = in_place(column.buffers()[1], np.uint64, 2 * len(column), column.offset * 2 * WORD_BYTES)
    used = (0,) if column.type.precision <= DECIMAL_PRECISION_LONG else (1, 0)
    front = bytes([VALUE_BRANCH]) + varint(len(used) * WORD_BYTES)
    parts = [(len(front) + place * WORD_BYTES, halves[half::2].byteswap()) for place, half in enumerate(used)]
    yield _fixed_cell(len(front) + len(used) * WORD_BYTES, *parts, front=front, valid=_valid(column))


def _texts(column: Array) -> Iterator[Cell | Text]:
    _, buffer, data = column.buffers()
    offsets = in_place(buffer, np.int32, len(column) + 1, column.offset * np.dtype(np.int32).itemsize)
    yield from _text_cells(column, offsets, (_text_array(offsets, data),))


def _large_texts(column: Array) -> Iterator[Cell | Text]:
    """Yield the cells of a column with 64-bit offsets, in as many arrays with 32-bit offsets as that takes."""
    _, buffer, data = column.buffers()
    offsets = in_place(buffer, np.int64, len(column) + 1, column.offset * np.dtype(np.int64).itemsize)
    arrays = []
    start = 0
    while start < len(column):
        reach = int(np.searchsorted(offsets, offsets[start] + TEXT_BYTES_MAX, "right")) - 1
        if reach == start:
            message = f"a value of {offsets[start + 1] - offsets[start]} bytes is more than {TEXT_BYTES_MAX}"
            raise FrameError(message)
        stop = min(reach, len(column))
        first, last = int(offsets[start]), int(offsets[stop])
        short_offsets = (offsets[start : stop + 1] - first).astype(np.int32)
        arrays.append(_text_array(short_offsets, data and data.slice(first, last - first)))
        start = stop
    yield from _text_cells(column, offsets, tuple(arrays))


_ENCODERS: Final[tuple[tuple[Callable[[pa.DataType], bool], ColumnEncoder], ...]] = (
    (pa.types.is_null, _nulls),
    (pa.types.is_floating, _floats),
    (pa.types.is_boolean, _booleans),
    (pa.types.is_decimal128, _decimals),
    (pa.types.is_string, _texts),
    (pa.types.is_binary, _texts),
    (pa.types.is_large_string, _large_texts),
    (pa.types.is_large_binary, _large_texts),
)


def _text_array(offsets: npt.NDArray[np.int32], data: pa.Buffer | None) -> Array:
    """Return text from the first offset to the last; an array with an offset of its own would cost what lies before."""
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets.data), data], null_count=0)


def _text_cells(column: Array, offsets: Integers, arrays: tuple[Array, ...]) -> Iterator[Cell | Text]:
    valid = _valid(column)
    lengths = offsets[1:] - offsets[:-1]
    shortest, longest = bounds(lengths)
    if shortest == longest and valid is None and _part_count(longest) <= _WHOLE_TEXT_PARTS_MAX:
        yield _even_text_cell(column.buffers()[2], int(offsets[0]), longest, len(column))
    elif 0 < longest <= WORD_BYTES and len(arrays) == 1:
        yield _short_text_cell(arrays[0], lengths, longest, valid)
    else:
        yield _integer_cell(lengths, shortest, longest, valid)
        if longest:
            yield Text(arrays, lengths, longest, valid)


def _part_count(length: int) -> int:
    return length // WORD_BYTES + (length % WORD_BYTES).bit_count()


def _even_text_cell(data: pa.Buffer | None, start: int, length: int, rows: int) -> Cell:
    """Return the cells of strings that all have ``length`` bytes, one after the other in ``data`` from ``start``."""
    front = bytes([VALUE_BRANCH]) + varint(length)
    parts: list[tuple[int, Numbers]] = [(0, _constant(rows, front, None))]
    done = 0
    for size in (WORD_BYTES, 4, 2, 1):
        while length - done >= size:
            parts.append((len(front) + done, in_place(data, word_type(size), rows, start + done, length)))
            done += size
    return Cell(len(front) + length, None, tuple(parts))


def _short_text_cell(array: Array, lengths: Integers, longest: int, valid: Widths | None) -> Cell:
    """Return the cells of strings of at most 8 bytes: Arrow's views hold them in themselves, zero behind the end."""
    view_bytes, content_at = _VIEW
    views = kernels.cast(array, pa.binary_view()).buffers()[1]
    content: Words = in_place(views, np.uint64, len(array), content_at, view_bytes)
    front = lengths.astype(np.uint16)
    front <<= 9  # zig-zag, behind the branch
    front |= VALUE_BRANCH
    value_widths = lengths.astype(np.uint8) + np.uint8(1)
    if longest <= WORD_BYTES - 2:
        word: Words = (content << np.uint64(16) | front).astype(word_type(2 + longest), copy=False)
        return _word_cell(word, 2 + longest, value_widths, valid)
    if valid is not None:
        front *= valid
    return Cell(2 + longest, _widths(valid, value_widths), ((0, front), (2, content)))


def _integer_cell(values: Integers, least: int, greatest: int, valid: Widths | None) -> Cell:
    """Return the cells of integers, or of the lengths of strings, from ``least`` to ``greatest``."""
    if least >= -_SMALL and greatest < _SMALL:
        return _small_integer_cell(values, least, greatest, valid)
    varints = encode_varints(values, least, greatest)
    if varints.width < WORD_BYTES:
        return _varint_cell(varints, valid)
    parts: list[tuple[int, Numbers]] = [(1, varints.low)]
    if varints.high is not None:
        parts.append((1 + WORD_BYTES, varints.high))
    front = _constant(len(values), bytes([VALUE_BRANCH]), valid)
    value_widths = varints.width if varints.widths is None else varints.widths
    return Cell(1 + varints.width, _widths(valid, value_widths), ((0, front), *parts))


def _small_integer_cell(values: Integers, least: int, greatest: int, valid: Widths | None) -> Cell:
    words, value_widths = _small_integers()
    narrowest, widest = varint_width_bounds(least, greatest)
    widths = widest if narrowest == widest else value_widths.take(values)
    return _word_cell(words.take(values), 1 + widest, widths, valid)


@cache
def _small_integers() -> tuple[Words, Widths]:
    """Return, by the integer, the cells of small integers and the widths of their varints; negative: from the end."""
    values = np.roll(np.arange(-_SMALL, _SMALL), _SMALL)
    varints = encode_varints(values, -_SMALL, _SMALL - 1)
    word = _varint_cell(varints, None).word
    assert word is not None and varints.widths is not None  # noqa: S101, PT018  # three bytes and a branch are a word
    return word, varints.widths


def _varint_cell(varints: Varints, valid: Widths | None) -> Cell:
    """Return varints of less than 8 bytes as words; they are used up."""
    word = varints.low.astype(word_type(1 + varints.width), copy=False)
    word <<= 8
    word |= VALUE_BRANCH
    return _word_cell(word, 1 + varints.width, varints.width if varints.widths is None else varints.widths, valid)


def _word_cell(word: Words, width: int, value_widths: Widths | int, valid: Widths | None) -> Cell:
    """Return cells of branch and value in one ``word``, which is used up; nulls become zero, which is their branch."""
    if valid is not None:
        word *= valid.astype(word.dtype)
    return Cell(width, _widths(valid, value_widths), ((0, word),))


def _fixed_cell(width: int, *parts: tuple[int, Numbers], front: bytes, valid: Widths | None) -> Cell:
    """Return cells of one ``front`` before ``parts``; of nulls only the first byte counts, and that is zero."""
    rows = len(parts[0][1])
    return Cell(width, _widths(valid, width - 1), ((0, _constant(rows, front, valid)), *parts))


def _widths(valid: Widths | None, value_widths: Widths | int) -> Widths | None:
    """Return the widths of cells, branch included; None where all are the same."""
    if valid is None:
        return None if isinstance(value_widths, int) else value_widths + np.uint8(1)
    return valid * (np.uint8(value_widths) if isinstance(value_widths, int) else value_widths) + np.uint8(1)


def _constant(rows: int, front: bytes, valid: Widths | None) -> Words:
    """Return ``front``, of 1 or 2 bytes, ``rows`` times, with zero for nulls."""
    kind = word_type(len(front))
    value = kind.type(int.from_bytes(front, "little"))
    return np.full(rows, value, kind) if valid is None else valid.astype(kind) * value


def _valid(column: Array) -> Widths | None:
    """Return 1 for values and 0 for nulls; None if there are no nulls."""
    return _bits(column.buffers()[0], column.offset, len(column)) if column.null_count else None


def _bits(buffer: pa.Buffer | None, offset: int, count: int) -> Widths:
    """Return ``count`` bits of a bitmap, from bit ``offset``, as bytes of 0 and 1."""
    first, last = offset // 8, (offset + count + 7) // 8
    return np.unpackbits(in_place(buffer, np.uint8, last - first, first), bitorder="little")[offset % 8 :][:count]


def _numbers(column: Array) -> npt.NDArray[Any]:
    width = column.type.bit_width // 8
    kind = "f" if pa.types.is_floating(column.type) else "u" if pa.types.is_unsigned_integer(column.type) else "i"
    return in_place(column.buffers()[1], np.dtype(f"{kind}{width}"), len(column), column.offset * width)

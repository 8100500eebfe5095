"""Plain blocks of tables with many columns → columns, by the places of their fields alone.

What stands between two separators is a field. So the places of all separators, quotes aside, are the places of all
fields, and read as Arrow's offsets they make one array of the block as it lies in memory: field, separator, field, …
A column is every nth value of it, and is copied when it is asked for; one whose type is known need not be made at all
(expectations.py). Which blocks are plain says plain.py; what is ragged or blank is left to Arrow's reader, and sift.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct

from csv_transcode import kernels
from csv_transcode.decode import arrays, words
from csv_transcode.decode.plain import CR, LF

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from csv_transcode.decode.dialect import Dialect

    Places = npt.NDArray[np.int32]
    Positions = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]
    View = npt.NDArray[np.uint8]

PIECE_BYTES: Final = 1 << 18  # what is compared at a time: it and its masks stay in cache
PIECE_FIELDS: Final = 1 << 14  # what is read at a time, for the same reason
NULL_VALUES: Final = ("",)  # by the field's length alone


class Fields(Struct, frozen=True):
    """The fields of ``rows`` records of ``width`` fields, as places in their block.

    ``places`` are the byte each begins at and the byte it ends before, record by record, in ``padded``, the block with
    words.PADDING behind it. ``joined`` has these for offsets, so 2 ``rows`` ``width`` - 1 values: fields at even
    indices, and what separates them between. ``quoted_empty`` marks the fields that are empty, and not null, for being
    quoted; ``doubled`` the columns in which a quote stands for itself, doubled. Either is None where there is none.
    """

    joined: pa.Array[Any]
    places: Places
    padded: bytes
    rows: int
    width: int
    quoted_empty: Mask | None = None
    doubled: Mask | None = None

    def pieces(self, columns: Sequence[int]) -> Iterator[tuple[slice, Positions, Positions]]:
        """Yield where fields of these columns begin, and how long they are, a cacheful at a time.

        That is for all columns of some records, which the slice says, record by record: as they lie in memory.
        """
        places = self.places.reshape(self.rows, self.width, 2)
        records = max(1, PIECE_FIELDS // len(columns))
        for first in range(0, self.rows, records):
            piece = slice(first, first + records)
            starts = places[piece, columns, 0].ravel().astype(np.int64)
            yield piece, starts, places[piece, columns, 1].ravel() - starts

    def texts(self, columns: Sequence[int]) -> pa.Array[Any]:
        """Return these columns as strings, one behind the other; an empty field without quotes is null."""
        chosen = np.array(columns, np.int64)
        fields = (np.arange(0, self.rows * self.width, self.width) + chosen[:, None]).ravel()
        found = kernels.take(self.joined, arrays.index_array(2 * fields))
        if self.doubled is not None and self.doubled[chosen].any():  # elsewhere a plain block's fields hold no quote
            found = kernels.replaced(found, '""', '"')
        return self._with_nulls(found, fields)

    def as_batch(self) -> pa.RecordBatch:
        """Return all columns as strings, called by their numbers."""
        made = [self.texts([number]) for number in range(self.width)]
        return pa.RecordBatch.from_arrays(made, [str(number) for number in range(self.width)])

    def _with_nulls(self, found: pa.Array[Any], fields: npt.NDArray[np.int64]) -> pa.Array[Any]:
        _, places, data = found.buffers()
        offsets = np.frombuffer(places, np.int32, len(found) + 1)  # type: ignore[call-overload]
        there = offsets[1:] > offsets[:-1]
        if self.quoted_empty is not None:
            there |= self.quoted_empty.take(fields)
        if there.all():
            return found
        return pa.Array.from_buffers(pa.string(), len(found), [arrays.bitmap(there), places, data])


def split(data: bytes, dialect: Dialect, width: int, *, quoted: bool) -> Fields | None:
    """Return the fields of a plain block; None where a record has not ``width`` of them, or is blank.

    ``quoted`` says that it holds quotes. The block is taken to be UTF-8. An empty field is null (NULL_VALUES).
    """
    padded = b"".join((data, b"" if data.endswith(b"\n") else b"\n", words.PADDING))
    view = np.frombuffer(padded, np.uint8)[: -len(words.PADDING)]
    delimiter, quote = ord(dialect.delimiter), ord(dialect.quote_char) if quoted and dialect.quote_char else None
    special = _special(view, delimiter, quote)
    ends, closed, doubled = (special, None, None) if quote is None else _outside(view, special, quote, width)
    rows, odd = divmod(len(ends), width)
    if odd or rows == 0 or not _are_records(view, ends.reshape(rows, width)):
        return None
    places = np.empty(2 * len(ends), np.int32)
    places[0], places[2::2] = 0, ends[:-1] + 1
    places[1::2] = ends
    last = places[2 * width - 1 :: 2 * width]
    last -= view.take(last - 1) == CR  # width > 1: before an empty field stands a delimiter
    quoted_empty = None
    if closed is not None:
        places[0::2] += closed
        places[1::2] -= closed
        empty = closed & (places[0::2] == places[1::2])
        quoted_empty = empty if empty.any() else None
    joined = pa.Array.from_buffers(pa.string(), len(places) - 1, [None, pa.py_buffer(places), pa.py_buffer(padded)])  # type: ignore[arg-type]
    return Fields(joined, places, padded, rows, width, quoted_empty, doubled)


def _special(view: View, delimiter: int, quote: int | None) -> Places:
    """Return where delimiters, line feeds and quotes stand."""
    found = []
    for start in range(0, len(view), PIECE_BYTES):
        piece = view[start : start + PIECE_BYTES]
        mask = piece == delimiter
        mask |= piece == LF
        if quote is not None:
            mask |= piece == quote
        places = np.flatnonzero(mask)
        places += start
        found.append(places.astype(np.int32))
    return np.concatenate(found)


def _outside(view: View, special: Places, quote: int, width: int) -> tuple[Places, Mask, Mask | None]:
    """Return the separators outside of quotes, which of them follow a closing quote, and ``doubled`` of Fields."""
    is_quote = view.take(special) == quote
    quotes = np.flatnonzero(is_quote)
    stretches = np.diff(quotes, prepend=0, append=len(special))  # outside, inside, outside, …, each from its quote on
    outside = np.repeat(np.arange(len(stretches)) % 2 == 0, stretches)
    outside &= ~is_quote  # the closing ones
    kept = np.flatnonzero(outside)
    closed: Mask = is_quote.take(kept - 1, mode="wrap")  # behind the last one stands no quote: it is a line feed
    doubled: Mask | None = None
    if len(quotes) > 2 * np.count_nonzero(closed) and len(kept) % width == 0:
        up_to = np.cumsum(is_quote, dtype=np.int32).take(kept)
        several = np.diff(up_to, prepend=np.int32(0)) > 2  # noqa: PLR2004 -- the field's own
        doubled = np.logical_or.reduce(several.reshape(-1, width))
    return special.take(kept), closed, doubled


def _are_records(view: View, ends: Places) -> bool:
    """Whether line feeds stand behind the last field of each record, and nowhere else."""
    feeds = view.take(ends) == LF
    return bool(feeds[:, -1].all()) and np.count_nonzero(feeds) == len(ends)

"""Blocks whose records are not all good: what is good in them, as Arrow may parse it, and what is wrong with the rest.

A record has a flaw where its bytes are not valid UTF-8, its number of fields is not the header's, or walk.py could not
read it. The others, joined, are plain again: what an escape character meant is written as RFC 4180 has it, and a CR
that ends a record as LF.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from csv_transcode.decode import strict
from csv_transcode.decode.plain import CR, LF, line_count, line_ends, positions, record_edges
from csv_transcode.decode.walk import Boundaries, Flaw, content_ends

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from csv_transcode.decode.dialect import Dialect

    Positions = npt.NDArray[np.intp]
    View = npt.NDArray[np.uint8]

ENCODING: Final = "encoding"
FIELD_COUNT: Final = "field_count"
WINDOW_BYTES: Final = 1 << 12


class Block(Struct, frozen=True):
    """Whole records: ``data``, which begins at byte ``offset`` and on line ``line`` (from 1) of the decoded source.

    ``quoted`` says that it holds quotes. ``boundaries`` are None where the block is plain: Arrow may parse it as it is.
    ``has_blanks`` is False where blank lines are nothing even in a file of one column.
    """

    data: bytes
    offset: int
    line: int
    quoted: bool
    boundaries: Boundaries | None = None
    has_blanks: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether Arrow may parse the block as it stands, blank lines aside."""
        return self.boundaries is None and self.has_blanks

    def boundaries_of(self, dialect: Dialect) -> Boundaries:
        """Return where the block's records are."""
        return self.boundaries or Boundaries(record_edges(self.data, dialect)[1:])

    def blanks(self, view: View, boundaries: Boundaries) -> npt.NDArray[np.bool_]:
        """Return which records are blank lines."""
        starts = boundaries.starts
        blank: npt.NDArray[np.bool_] = content_ends(view, starts, boundaries.ends) == starts
        return blank

    def split(self, at: int, dialect: Dialect) -> tuple[Block, Block]:
        """Return the block up to the record end ``at``, and the rest."""
        head, tail = self.data[:at], self.data[at:]
        if not tail:
            return self, replace(self, data=b"")
        found = self.boundaries_of(dialect)
        count = int(np.searchsorted(found.ends, at, side="right"))
        first = Boundaries(found.ends[:count], {i: flaw for i, flaw in found.flaws.items() if i < count})
        rest = Boundaries(found.ends[count:] - at, {i - count: flaw for i, flaw in found.flaws.items() if i >= count})
        return (
            replace(self, data=head, boundaries=self.boundaries and first),
            Block(tail, self.offset + at, self.line + line_count(head), self.quoted, self.boundaries and rest),
        )

    def without_blanks(self) -> Block:
        """Return the block with its blank lines no records."""
        return replace(self, has_blanks=False)


class FlawedRecord(Struct, frozen=True):
    """A record that is rejected: its number in the block (from 0), and where it stands in the block's data."""

    number: int
    start: int
    end: int
    flaw: Flaw


class Sifted(Struct, frozen=True):
    """A block taken apart: ``clean`` holds its good records, ``flawed`` the others, in order.

    ``numbers`` are those of the good records among all ``count`` of the block, ``starts`` and ``ends`` their places in
    the block's data.
    """

    clean: bytes
    count: int
    numbers: Positions
    starts: Positions
    ends: Positions
    flawed: tuple[FlawedRecord, ...]


def sift(block: Block, dialect: Dialect, width: int) -> Sifted:
    """Return the block's good records, and what is wrong with the others."""
    found = block.boundaries_of(dialect)
    flaws = flaws_of(block, found, dialect, width)
    view = np.frombuffer(block.data, np.uint8)
    is_record = np.ones(len(found.ends), np.bool_)
    if width > 1 or not block.has_blanks:
        is_record = ~block.blanks(view, found)
    numbers = np.cumsum(is_record) - 1
    good = is_record.copy()
    good[list(flaws)] = False
    starts = found.starts
    flawed = tuple(
        FlawedRecord(int(numbers[index]), int(starts[index]), int(found.ends[index]), flaw)
        for index, flaw in sorted(flaws.items())
    )
    kept = np.flatnonzero(good)
    clean = _joined(block, view, starts[kept], found.ends[kept], dialect)
    return Sifted(clean, int(is_record.sum()), numbers[kept], starts[kept], found.ends[kept], flawed)


def flaws_of(block: Block, found: Boundaries, dialect: Dialect, width: int) -> Mapping[int, Flaw]:
    """Return what is wrong with the records of the block that are not good, by index."""
    flaws = dict(found.flaws)
    view = np.frombuffer(block.data, np.uint8)
    for index, flaw in _invalid_texts(block.data, found.ends):
        flaws.setdefault(index, flaw)
    counts = _field_counts(block.data, found, dialect)
    odd = counts != width
    if width > 1:
        odd &= ~block.blanks(view, found)
    for index in np.flatnonzero(odd).tolist():
        flaws.setdefault(index, Flaw(FIELD_COUNT, f"{counts[index]} fields, header has {width}"))
    return flaws


def _invalid_texts(data: bytes, ends: Positions) -> Iterator[tuple[int, Flaw]]:
    """Yield the indices of the records whose bytes are not valid UTF-8, and what is found there."""
    if data.isascii():
        return
    places: list[int] = ends.tolist()
    start = index = 0
    while start < len(data):
        # A window at a time: an error carries a copy of all that was to be decoded.
        last = min(bisect_left(places, start + WINDOW_BYTES, index), len(places) - 1)
        try:
            data[start : places[last]].decode()
            index = last + 1
        except UnicodeDecodeError as error:
            at = start + error.start
            index = bisect_right(places, at, index)
            begin = places[index - 1] if index else 0
            found = data[at : start + error.end].hex(" ")
            detail = f"at byte {at - begin} of the record, {found} is not valid UTF-8 ({error.reason})"
            yield index, Flaw(ENCODING, detail)
            index += 1
        start = places[index - 1]


def _field_counts(data: bytes, found: Boundaries, dialect: Dialect) -> Positions:
    """Return the number of fields of each record; that of a broken one means nothing."""
    delimiters = positions(data, dialect.delimiter)
    counts = np.diff(np.searchsorted(delimiters, found.ends), prepend=0)
    quotes = positions(data, dialect.quote_char)
    if len(quotes):
        counts -= _quoted_counts(delimiters, counts, quotes, found)
    counts += 1
    starts = found.starts  # once: it is made anew
    for index in _escaped(data, found, dialect):
        start, end = int(starts[index]), int(found.ends[index])
        counts[index] = len(strict.scan_record(data, start, dialect, stop=end, final=True).fields)
    return counts


def _quoted_counts(delimiters: Positions, counts: Positions, quotes: Positions, found: Boundaries) -> Positions:
    """Return how many of each record's delimiters, ``counts``, are inside quotes."""
    before = np.searchsorted(quotes, found.starts)
    has_quotes = np.searchsorted(quotes, found.ends) > before
    record = np.repeat(np.arange(len(counts)), counts)
    among = has_quotes[record]  # few, as a rule
    record, delimiters = record[among], delimiters[among]
    inside = (np.searchsorted(quotes, delimiters) - before[record]) % 2 == 1
    return np.bincount(record[inside], minlength=len(counts))


def _escaped(data: bytes, found: Boundaries, dialect: Dialect) -> list[int]:
    """Return the indices of the records with an escape character, whose quotes cannot be told by counting."""
    places = positions(data, dialect.escape_char)
    indices = np.unique(np.searchsorted(found.ends, places, side="right")).tolist()
    return [index for index in indices if index not in found.flaws]


def _joined(block: Block, view: View, starts: Positions, ends: Positions, dialect: Dialect) -> bytes:
    """Return the records at these places, one after the other, as plain bytes."""
    data = block.data
    if b"\r" in data:
        last = ends - 1
        bare = last[view[last] == CR]
        if len(bare):
            mended = view.copy()
            mended[bare] = LF
            data = mended.tobytes()
    runs = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    firsts, lasts = np.concatenate(((0,), runs)), np.concatenate((runs, (len(starts),)))
    if len(starts) == 0:
        return b""
    pieces = [data[starts[first] : ends[last - 1]] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    if dialect.escape_char and dialect.escape_char.encode() in data:
        kept = [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        pieces = [_unescaped(record, dialect) for record in kept]
    return b"".join(pieces)


def _unescaped(record: bytes, dialect: Dialect) -> bytes:
    """Return the record as RFC 4180 has it."""
    if not dialect.escape_char or dialect.escape_char.encode() not in record:
        return record
    scanned = strict.scan_record(record, 0, dialect, stop=len(record), final=True)
    quote = (dialect.quote_char or "").encode()
    fields = (
        quote + value.replace(quote, quote * 2) + quote if quoted else value
        for value, quoted in zip(scanned.fields, scanned.quoted, strict=True)
    )
    return dialect.delimiter.encode().join(fields) + b"\n"


def lines_before(data: bytes, places: Positions) -> Positions:
    """Return how many lines end in ``data`` before each place."""
    ends = line_ends(np.frombuffer(data, np.uint8), has_returns=b"\r" in data)
    counted: Positions = np.searchsorted(ends, places, side="right")
    return counted

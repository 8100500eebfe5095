"""How many fields each record of a sample has under one dialect: the reading that detection is based on.

It reads as the strict scanner does (a quote opens a field, closes it or is doubled; an escape acts inside quotes only;
records end at LF, CR LF or CR). Where a record cannot be read its physical line counts as malformed, and reading goes
on at the next line. A detector reads a sample under many dialects and needs counts only. NumPy counts what it can: all
of a sample whose quotes are in place (plain.py), else the lines without a quote; one pattern reads the others.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from msgspec import Struct

from csv_transcode.decode.plain import are_in_place, quotes_in_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from csv_transcode.decode.table_evidence import Table

MALFORMED: Final = -1
RECORD_BYTES_MAX: Final = 1 << 18  # a quote that is not closed within this many bytes is no quote of a field
LF: Final = 10
CR: Final = 13


class Quoting(NamedTuple):
    """A quote character, or "" for none, and an escape character, or "" where quotes are doubled only."""

    quote: str = '"'
    escape: str = ""


class Shapes(Struct, frozen=True):
    """The records of a sample, in order: ``[start, end)``, line end included, and fields.

    ``width`` is 0 for a blank line and MALFORMED where the line cannot be read.
    """

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    width: npt.NDArray[np.int64]


class Sample:
    """A piece of text and where its lines are; ``whole`` is False where the file goes on behind it."""

    def __init__(self, data: bytes, *, whole: bool) -> None:
        if not whole:  # a line that may be cut off says nothing; a CR at the end may be half a line end
            ends = [end for end in (data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) if end >= 0]
            data = data[: max(ends) + 1] if ends else data
        self.data = data
        self.whole = whole
        self.tables: dict[tuple[str, Quoting], Table] = {}  # what was read already
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8)

    @cached_property
    def line_ends(self) -> npt.NDArray[np.int64]:
        """Where each line's text ends, which is where its line end begins."""
        breaks = np.flatnonzero((self.bytes == LF) | (self.bytes == CR))
        second = np.zeros(len(breaks), dtype=bool)
        if len(breaks):
            second[1:] = (np.diff(breaks) == 1) & (self.bytes[breaks[1:]] == LF) & (self.bytes[breaks[:-1]] == CR)
        ends = breaks[~second]
        last = self.bytes[-1] if len(self.bytes) else LF
        return ends if last in (LF, CR) else np.append(ends, len(self.bytes))

    @cached_property
    def next_lines(self) -> npt.NDArray[np.int64]:
        """Where the line after each line starts."""
        ends, size = self.line_ends, len(self.bytes)
        if not size:
            return ends
        at = np.minimum(ends, size - 1)
        pair = (self.bytes[at] == CR) & (self.bytes[np.minimum(at + 1, size - 1)] == LF) & (ends + 1 < size)
        nexts: npt.NDArray[np.int64] = np.minimum(ends + 1 + pair, size)
        return nexts

    @cached_property
    def line_starts(self) -> npt.NDArray[np.int64]:
        """Where each line starts."""
        return np.concatenate([[0], self.next_lines[:-1]]).astype(np.int64) if len(self.next_lines) else self.next_lines

    def lines_with(self, character: str) -> npt.NDArray[np.int64]:
        """Return for each line how often the character stands in it."""
        text = character.encode()
        if len(text) == 1:
            at = np.flatnonzero(self.bytes == text[0])
        else:
            at = np.array([match.start() for match in re.finditer(re.escape(text), self.data)], np.int64)
        before_end: npt.NDArray[np.int64] = np.searchsorted(at, self.line_ends)
        before_start: npt.NDArray[np.int64] = np.searchsorted(at, self.line_starts)
        return before_end - before_start

    def head(self, size: int) -> Sample:
        """Return a sample of at most the first ``size`` bytes."""
        return self if len(self.data) <= size else Sample(self.data[:size], whole=False)


class RecordReader:
    """Reads single records under one dialect."""

    def __init__(self, delimiter: str, quoting: Quoting) -> None:
        self.delimiter = delimiter.encode()
        self.quoting = quoting
        self._record, self._quoted, self._field, self._open = _patterns(delimiter, quoting)

    def end(self, data: bytes, start: int) -> int:
        """Return where the record's text ends, or MALFORMED."""
        match = self._record.match(data, start, start + RECORD_BYTES_MAX)
        if match is None:
            return MALFORMED
        end = match.end()
        return end if end == len(data) or data[end] in (LF, CR) else MALFORMED

    def is_unclosed(self, data: bytes, start: int) -> bool:
        """Return whether a quoted field of the record is still open where the data ends."""
        return self._open.match(data, start) is not None

    def width(self, record: bytes) -> int:
        """Return the number of fields of a record that can be read."""
        return self._quoted.sub(b"", record).count(self.delimiter) + 1

    def fields(self, record: bytes) -> Iterator[bytes]:
        """Yield the raw fields, quotes included, of a record that can be read."""
        position = 0
        while True:
            match = self._field.match(record, position)
            if match is None:
                return
            yield match.group()
            position = match.end() + len(self.delimiter)
            if position > len(record):
                return


@lru_cache(maxsize=256)
def _patterns(delimiter: str, quoting: Quoting) -> tuple[re.Pattern[bytes], ...]:
    d, q, e = (re.escape(character.encode()) for character in (delimiter, *quoting))
    plain = rb"(?:(?!" + d + rb")[^\r\n" + q + rb"])*+" if len(delimiter.encode()) > 1 else rb"[^\r\n" + d + q + rb"]*+"
    if not q:
        never = re.compile(rb"(?!)")
        return re.compile(rb"[^\r\n]*+"), never, re.compile(plain), never
    inside = rb"(?:[^" + q + e + rb"]|" + q + q + ((rb"|" + e + rb"(?s:.)") if e else rb"") + rb")*+"
    quoted = q + inside + q
    field = rb"(?:" + quoted + rb"|" + plain + rb")"
    record, unclosed = field + rb"(?:" + d + field + rb")*+", rb"(?:" + field + d + rb")*+" + q + inside + rb"\Z"
    return re.compile(record), re.compile(quoted), re.compile(field), re.compile(unclosed)


def read_shapes(sample: Sample, delimiter: str, quoting: Quoting) -> Shapes:
    """Read every record of the sample under one dialect."""
    starts, nexts = sample.line_starts, sample.next_lines
    widths = sample.lines_with(delimiter) + (sample.line_ends > starts)
    if not quoting.quote:
        return Shapes(starts, nexts, widths)
    return _in_place(sample, delimiter, quoting) or _with_quotes(sample, RecordReader(delimiter, quoting), widths)


def _in_place(sample: Sample, delimiter: str, quoting: Quoting) -> Shapes | None:
    """Return what ``_with_quotes`` does, in a twentieth of its time, where all quotes stand where they may; else None.

    A quoted field that is open at the end is no record, where the file goes on behind the sample.
    """
    quotes = np.flatnonzero(sample.bytes == ord(quoting.quote))
    whole, is_open = quotes[: len(quotes) & ~1], len(quotes) % 2 == 1
    escapes = quoting.escape and quoting.escape.encode() in sample.data
    if escapes or not delimiter.isascii() or (is_open and sample.whole) or not len(sample.bytes):
        return None
    if not are_in_place(sample.bytes, whole, ord(delimiter)):
        return None
    if is_open and not quotes_in_place(sample.bytes, quotes, ord(delimiter))[-1]:
        return None
    outside = np.cumsum(sample.bytes == ord(quoting.quote), dtype=np.uint8) % 2 == 0  # wraps, and stays even or odd
    ending = outside[np.maximum(sample.line_ends, 1) - 1]  # a line end counts by the byte before it
    ends, nexts = sample.line_ends[ending], sample.next_lines[ending]
    starts = np.concatenate([[0], nexts]).astype(np.int64)
    if np.any(np.append(ends, len(sample.data) if is_open else 0) - starts > RECORD_BYTES_MAX):
        return None
    delimiters = np.flatnonzero((sample.bytes == ord(delimiter)) & outside)
    starts = starts[:-1]
    counts = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts)
    return Shapes(starts, nexts, counts + (ends > starts))


def _with_quotes(sample: Sample, reader: RecordReader, widths: npt.NDArray[np.int64]) -> Shapes:
    """Read the lines that hold a quote one by one; a record that spans lines takes them out of the others."""
    data, starts, ends, nexts = sample.data, sample.line_starts, sample.line_ends, sample.next_lines.copy()
    keep = np.ones(len(starts), dtype=bool)
    lines = np.flatnonzero(sample.lines_with(reader.quoting.quote))
    open_from = len(data) if sample.whole else len(data) - RECORD_BYTES_MAX
    taken = 0  # lines before this one belong to records read already
    for line, start, line_end in zip(lines.tolist(), starts[lines].tolist(), ends[lines].tolist(), strict=True):
        if line < taken:
            continue
        end = reader.end(data, start)
        if end == MALFORMED:
            widths[line] = MALFORMED
            if start >= open_from and reader.is_unclosed(data, start):
                keep[line:] = False
                break
            continue
        widths[line] = reader.width(data[start:end])
        if end > line_end:
            taken = int(ends.searchsorted(end)) + 1
            nexts[line] = nexts[taken - 1]
            keep[line + 1 : taken] = False
    return Shapes(starts[keep], nexts[keep], widths[keep])

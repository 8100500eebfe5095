"""Where the records are in bytes that are not plain: line by line for all lines at once, by the scanner where it must.

A line whose quotes are in place if a record begins with it *is* a record, whatever stands around it. Only the others
(a value of several lines, a quote in a wrong place, an escape) are given to strict.py, one at a time. So a file in
which every tenth record is bad is still mostly read by NumPy.

A record that the scanner cannot read costs the one line it begins on: reading goes on at the next. A quote that is
never closed is found out where the longest record would end, and does not take what follows with it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct, field

from csv_transcode.decode import strict
from csv_transcode.decode.plain import LINE_ENDS, line_ends, positions, quotes_in_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from csv_transcode.decode.dialect import Dialect

    Positions = npt.NDArray[np.intp]

QUOTE: Final = "quote"
LIMIT: Final = "limit"
REACH: Final = 2  # records of the greatest length


class NeedsMoreError(Exception):
    """More of the source is needed to say where a record ends: at least ``wanted`` bytes from the start."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class BeyondReachError(Exception):
    """The line at byte ``at`` is ``REACH`` times as long as any record may be: too long even to be rejected."""

    def __init__(self, at: int, length: int) -> None:
        super().__init__(at, length)
        self.at, self.length = at, length


class Flaw(Struct, frozen=True):
    """Why a record is rejected: the word for it (contract section 5), and what was found and expected."""

    reason: str
    detail: str


class Boundaries(Struct, frozen=True):
    """The records of some bytes: the first begins at 0, each where the one before ends, at ``ends``.

    ``flaws`` are those of the records that are none, each one line, by index.
    """

    ends: Positions
    flaws: Mapping[int, Flaw] = field(default_factory=dict)

    @property
    def starts(self) -> Positions:
        """Where each begins."""
        return np.concatenate(((0,), self.ends[:-1])).astype(np.intp)


def walk(data: bytes, dialect: Dialect, *, span: int, record_bytes_max: int, final: bool) -> Boundaries:
    """Return the records that begin in the first ``span`` bytes of ``data``, which begins where a record does.

    ``final`` says that no more follows. Raises NeedsMoreError where what follows decides, and BeyondReachError for a
    line that is not even rejected.
    """
    window = _window(data, span, final=final)
    lines = _Lines(data, window, dialect, record_bytes_max)
    steps = _Steps(data, dialect, lines, record_bytes_max, final=final)
    inside = int(np.searchsorted(lines.starts, span))  # the lines that begin within the span
    at = 0
    while at < inside:
        suspect = lines.next_suspect(at)
        at = steps.take(at, min(suspect, inside)) if suspect > at else steps.scan(at)
    return steps.boundaries()


def _window(data: bytes, span: int, *, final: bool) -> int:
    """Return where the line ends that holds the last byte of the span."""
    ends = [end for end in (data.find(b"\n", span - 1), data.find(b"\r", span - 1)) if end != -1]
    if not ends:
        if not final:
            raise NeedsMoreError(2 * len(data) + 1)
        return len(data)
    end = min(ends)
    if data[end : end + 1] == b"\n":
        return end + 1
    if end + 1 == len(data) and not final:  # an LF may follow the CR
        raise NeedsMoreError(len(data) + 1)
    return end + 1 + data.startswith(b"\n", end + 1)


class _Lines:
    """The lines of ``data[:window]``, and which of them are not a record each on their own account."""

    def __init__(self, data: bytes, window: int, dialect: Dialect, record_bytes_max: int) -> None:
        held = data[:window]
        view = np.frombuffer(held, np.uint8)
        ends = line_ends(view, has_returns=b"\r" in held)
        self.ends = ends if len(ends) and ends[-1] == window else np.append(ends, window)
        self.starts = np.concatenate(((0,), self.ends[:-1]))
        suspect = self.ends - self.starts > record_bytes_max
        self._suspect_quotes(view, positions(held, dialect.quote_char), dialect, suspect)
        if dialect.escape_char:
            suspect[np.searchsorted(self.ends, positions(held, dialect.escape_char), side="right")] = True
        self._suspects: list[int] = np.flatnonzero(suspect).tolist()

    def next_suspect(self, line: int) -> int:
        """Return the first line from ``line`` on that has to be looked at, or how many lines there are."""
        place = bisect_left(self._suspects, line)
        return self._suspects[place] if place < len(self._suspects) else len(self.ends)

    def _suspect_quotes(
        self, view: npt.NDArray[np.uint8], quotes: Positions, dialect: Dialect, suspect: npt.NDArray[np.bool_]
    ) -> None:
        if len(quotes) == 0:
            return
        line = np.searchsorted(self.ends, quotes, side="right")
        number = np.arange(len(quotes)) - np.searchsorted(quotes, self.starts)[line]
        suspect |= np.bincount(line, minlength=len(self.ends)) % 2 == 1
        suspect[line[~quotes_in_place(view, quotes, ord(dialect.delimiter), number)]] = True


class _Steps:
    """The records found so far."""

    def __init__(self, data: bytes, dialect: Dialect, lines: _Lines, record_bytes_max: int, *, final: bool) -> None:
        self._data = data
        self._dialect = dialect
        self._lines = lines
        self._record_bytes_max = record_bytes_max
        self._final = final
        self._ends: list[npt.ArrayLike] = []
        self._one_by_one: list[int] = []  # those of ``_ends`` that are still to come
        self._count = 0
        self._flaws: dict[int, Flaw] = {}

    def take(self, line: int, stop: int) -> int:
        """Take the lines from ``line`` up to ``stop`` as one record each; return the next line."""
        self._flush()
        self._ends.append(self._lines.ends[line:stop])
        self._count += stop - line
        return stop

    def scan(self, line: int) -> int:
        """Scan the record that begins on ``line``; return the line that the next one begins on."""
        start, end = int(self._lines.starts[line]), int(self._lines.ends[line])
        limit = start + self._record_bytes_max
        stop = min(limit, len(self._data))
        final = self._final or limit < len(self._data)
        try:
            found = strict.scan_record(self._data, start, self._dialect, stop=stop, final=final)
        except strict.Unfinished:
            raise NeedsMoreError(min(2 * len(self._data), limit) + 1) from None
        except strict.Broken as broken:
            return self._reject(line, self._flaw(broken, start, limit))
        if found.end == limit < len(self._data) and not self._is_line_end(limit):  # the limit stopped the scanner
            return self._reject(line, self._too_long(end - start))
        self._add(found.end)
        return int(np.searchsorted(self._lines.ends, found.end)) + 1

    def boundaries(self) -> Boundaries:
        self._flush()
        ends = np.concatenate(self._ends).astype(np.intp) if self._ends else np.empty(0, np.intp)
        return Boundaries(ends, self._flaws)

    def _add(self, end: int) -> None:
        self._one_by_one.append(end)
        self._count += 1

    def _flush(self) -> None:
        if self._one_by_one:
            self._ends.append(self._one_by_one)
            self._one_by_one = []

    def _reject(self, line: int, flaw: Flaw) -> int:
        start, end = int(self._lines.starts[line]), int(self._lines.ends[line])
        if end - start > REACH * self._record_bytes_max:
            raise BeyondReachError(start, end - start)
        self._flaws[self._count] = flaw
        self._add(end)
        return line + 1

    def _is_line_end(self, end: int) -> bool:
        last = self._data[end - 1 : end]
        return last == b"\n" or (last == b"\r" and not self._data.startswith(b"\n", end))

    def _flaw(self, broken: strict.Broken, start: int, limit: int) -> Flaw:
        where = f"at byte {broken.at - start} of the record"
        if broken.detail == strict.NEVER_ENDS and limit < len(self._data):
            return self._endless(where)
        return Flaw(QUOTE, f"{where}, {broken.detail}")

    def _too_long(self, length: int) -> Flaw:
        """Return the flaw of a record beyond the limit, whose first line has so many bytes."""
        if length <= self._record_bytes_max:
            return self._endless("in the record")
        return Flaw(LIMIT, f"{length} bytes, MAX_RECORD_BYTES={self._record_bytes_max} allows no more than that")

    def _endless(self, where: str) -> Flaw:
        detail = f"{where}, a quoted field begins that does not end within MAX_RECORD_BYTES={self._record_bytes_max}"
        return Flaw(QUOTE, detail)


def content_ends(view: npt.NDArray[np.uint8], starts: Positions, ends: Positions) -> Positions:
    """Return where each record's text ends, which is before its line end if it has one."""
    if len(ends) == 0:
        return ends
    cr, lf = LINE_ENDS
    last = view[ends - 1]
    before = view[np.maximum(ends - 2, 0)]
    pair = (last == lf) & (before == cr) & (ends - starts > 1)
    trimmed: Positions = ends - ((last == lf) | (last == cr)) - pair
    return trimmed

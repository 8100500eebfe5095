"""Byte blocks cut at record ends, and which of them Arrow may parse.

A *stripe* is the records that begin in one STRIPE_BYTES-long span of the decoded source. Stripes are cut by the
source's content alone, and everything downstream (row groups, Avro blocks, dictionaries) is cut by whole stripes, so
the outputs' bytes depend on nothing else. A *block* is a piece of one stripe that is parsed in one go: by Arrow where
``is_plain`` proves that Arrow reads it as RFC 4180 does, by strict.py everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from csv_transcode.decode import strict
from csv_transcode.decode.encoding import require_no_nul
from csv_transcode.errors import LimitError, RecordError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from csv_transcode.decode.dialect import Dialect

STRIPE_BYTES: Final = 4 << 20
LINE_ENDS: Final = b"\r\n"
CR, LF = LINE_ENDS
UTF8_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Cuts:
    """Where a source is cut. ``stripe_bytes`` decides the outputs' bytes and is constant but in tests; the rest not.

    ``block_bytes``: how much is parsed in one go, at most one stripe. ``record_bytes_max``: the longest record.
    """

    stripe_bytes: int = STRIPE_BYTES
    block_bytes: int = STRIPE_BYTES
    record_bytes_max: int = 16 << 20


@dataclass(frozen=True)
class Block:
    """Whole records: ``data``, which begins at byte ``offset`` and on line ``line`` (from 1) of the decoded source.

    ``plain`` says that Arrow may parse it; ``quoted`` that it holds quotes.
    """

    data: bytes
    offset: int
    line: int
    plain: bool
    quoted: bool


@dataclass(frozen=True)
class Stripe:
    """The blocks of one stripe, in order; there is at least one."""

    index: int
    blocks: tuple[Block, ...]


class RecordCutter:
    """Cuts a source into blocks and stripes.

    ``chunks`` are the decoded source's bytes in order, in pieces of any size, the first of which begins at byte
    ``offset`` on line ``line``, at the start of a record.
    """

    def __init__(
        self, chunks: Iterable[bytes], dialect: Dialect, cuts: Cuts, *, width: int, offset: int, line: int
    ) -> None:
        self._chunks = iter(chunks)
        self._dialect = dialect
        self._cuts = cuts
        self._one_column = width == 1
        self._quote = (dialect.quote_char or "").encode()
        self._buffer = b""
        self._start = 0  # of the next block, in the buffer
        self._offset = offset  # of the next block, in the source
        self._line = line
        self._ended = False

    def stripes(self) -> Iterator[Stripe]:
        """Yield the source's stripes in order; those in which no record begins are left out."""
        blocks: list[Block] = []
        index = 0
        try:
            for block in self._kept_blocks():
                of_block = block.offset // self._cuts.stripe_bytes
                if blocks and of_block != index:
                    yield Stripe(index, tuple(blocks))
                    blocks = []
                index = of_block
                blocks.append(block)
        except SourceError:
            if blocks:  # what stands before it is looked at first
                yield Stripe(index, tuple(blocks))
            raise
        if blocks:
            yield Stripe(index, tuple(blocks))

    def _kept_blocks(self) -> Iterator[Block]:
        """Yield the blocks; in a file of one column, without the blank lines after the last record.

        Anywhere else in such a file a blank line is an empty value, so blank lines wait for what follows them.
        """
        if not self._one_column:
            yield from self._blocks()
            return
        waiting: list[Block] = []
        for block in self._blocks():
            body, blanks = _split_trailing_blanks(block)
            if body.data:
                yield from waiting
                waiting = []
                yield body
            if blanks.data:
                waiting.append(blanks)
                self._require_few(waiting)

    def _require_few(self, blanks: list[Block]) -> None:
        length = sum(len(block.data) for block in blanks)
        if length > self._cuts.record_bytes_max:
            message = f"more than {self._cuts.record_bytes_max} bytes of blank lines from line {blanks[0].line}"
            raise LimitError(message)

    def _blocks(self) -> Iterator[Block]:
        while self._fill(1) > 0:
            yield self._next_block()

    def _next_block(self) -> Block:
        span = min(self._cuts.stripe_bytes - self._offset % self._cuts.stripe_bytes, self._cuts.block_bytes)
        length = self._plain_length(span)
        data = self._buffer[self._start : self._start + length]
        plain, quoted = is_plain(data, self._dialect) if length else (False, True)
        length = self._sound_length(data) if plain else self._strict_length(span)
        if length != len(data):  # megabytes, that need not be copied again
            data = self._buffer[self._start : self._start + length]
        block = Block(data, self._offset, self._line, plain, quoted)
        self._offset += length
        self._line += line_count(data)
        self._start += length
        return block

    def _sound_length(self, data: bytes) -> int:
        """Return the bytes of a plain block before its first unsound record; raises what is wrong with the very first.

        So a block ends before such a record, and what is wrong further up is found first.
        """
        nul = data.find(b"\0")
        if nul == -1 and len(data) <= self._cuts.record_bytes_max:
            return len(data)
        edges = record_edges(data, self._dialect)
        unsound = np.diff(edges) > self._cuts.record_bytes_max
        if nul != -1:
            unsound[np.searchsorted(edges, nul, side="right") - 1] = True
        if not unsound.any():
            return len(data)
        first = int(unsound.argmax())
        if first == 0:
            self._require_sound(0, int(edges[1]))
        return int(edges[first])

    def _require_sound(self, start: int, end: int) -> None:
        """Raise where the record at ``start`` to ``end`` of what is held is too long, or holds a NUL byte."""
        if end - start > self._cuts.record_bytes_max:
            raise self._too_long(start, end - start)
        require_no_nul(self._buffer[self._start + start : self._start + end], self._offset + start)

    def _is_sound(self, start: int, end: int) -> bool:
        nul = self._buffer.find(b"\0", self._start + start, self._start + end)
        return nul == -1 and end - start <= self._cuts.record_bytes_max

    def _plain_length(self, span: int) -> int:
        """Return the bytes up to the first record end that reaches ``span``, provided that quotes come in pairs.

        0 where none is in reach: then the strict scanner finds it, or says what is the matter.
        """
        quotes, counted, at = 0, 0, span - 1  # a line end at ``at`` or later ends the block
        while self._fill(at + 1) > at:
            newline = self._buffer.find(b"\n", self._start + at) - self._start
            if newline < 0:
                at = self._held()
            else:
                quotes += self._count_quotes(counted, newline)
                counted, at = newline, newline + 1
                if quotes % 2 == 0:
                    return at
            if at > span + self._cuts.record_bytes_max:
                return 0
        return self._held()

    def _count_quotes(self, start: int, end: int) -> int:
        first, last = self._start + start, self._start + end
        if not self._quote or self._buffer.find(self._quote, first, last) == -1:
            return 0
        return _count(memoryview(self._buffer)[first:last], ord(self._quote))

    def _strict_length(self, span: int) -> int:
        """Return the bytes up to the first record end that reaches ``span``, by the strict scanner.

        As in ``_sound_length``, no further than the first unsound record. Where one breaks the format before that, all
        that is held: whoever parses it meets the same error, and knows how many records came before.
        """
        at = 0
        while at < span and self._fill(at + 1) > at:
            try:
                for record in strict.scan(self._buffer, self._start + at, self._dialect, final=self._ended):
                    end = record.end - self._start
                    if at and not self._is_sound(at, end):
                        return at
                    self._require_sound(at, end)
                    at = end
                    if at >= span:
                        break
            except strict.Unfinished:
                if self._held() - at > self._cuts.record_bytes_max:
                    return self._end_before_long(at, self._held() - at)
                self._fill(2 * self._held() + 1)
            except RecordError as error:
                broken = self._held() if error.detail == strict.NEVER_ENDS else error.offset - self._start
                if broken - at > self._cuts.record_bytes_max:  # whoever holds less says so, too
                    return self._end_before_long(at, broken - at)
                return self._held()
        return at

    def _end_before_long(self, at: int, length: int) -> int:
        """Return where a block ends before the record at ``at``, which is too long; raises where that is the first."""
        if at:
            return at
        raise self._too_long(at, length)

    def _too_long(self, at: int, length: int) -> LimitError:
        line = self._line + line_count(self._buffer[self._start : self._start + at])
        message = (
            f"the record at line {line}, byte {self._offset + at} has {length} bytes or more, MAX_RECORD_BYTES="
            f"{self._cuts.record_bytes_max} allows no more than that: a quote that is never closed, or no line ends?"
        )
        return LimitError(message)

    def _held(self) -> int:
        return len(self._buffer) - self._start

    def _fill(self, wanted: int) -> int:
        """Read on until the buffer holds ``wanted`` bytes from the block's start, or all there are; return how many."""
        if self._held() >= wanted or self._ended:
            return self._held()
        pieces = [self._buffer[self._start :]]
        held = len(pieces[0])
        while held < wanted and not self._ended:
            piece = next(self._chunks, None)
            self._ended = piece is None
            pieces.append(piece or b"")
            held += len(pieces[-1])
        self._buffer, self._start = b"".join(pieces), 0
        return held


def line_count(data: bytes) -> int:
    """Return how many lines end in ``data``: at LF, CR LF or CR."""
    bare_returns = data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0
    return _count(data, LF) + bare_returns


def _count(data: bytes | memoryview, byte: int) -> int:
    """Return how often ``byte`` stands in ``data``: four times as fast as ``bytes.count``."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == byte))


def _split_trailing_blanks(block: Block) -> tuple[Block, Block]:
    """Return the block up to the line end of its last record that is not blank, and the blank lines after it."""
    data = block.data
    body = data.rstrip(LINE_ENDS)
    end = len(body)
    if body:
        end += 2 if data[end : end + 2] == b"\r\n" else min(1, len(data) - end)
    lines = line_count(data[:end])
    return (
        Block(data[:end], block.offset, block.line, block.plain, block.quoted),
        Block(data[end:], block.offset + end, block.line + lines, block.plain, quoted=False),
    )


def is_plain(data: bytes, dialect: Dialect) -> tuple[bool, bool]:
    """Return (does Arrow read these whole records as RFC 4180 does, do they hold quotes).

    Proof, over the quote positions alone: each opening quote follows a delimiter, a line end, the start or (doubled)
    the quote before it, each closing one precedes a delimiter, a line end, the end or the next quote. Every CR outside
    of quotes stands before an LF. Arrow drops a byte-order mark at the start of any block. It checks UTF-8 itself.
    """
    quotes = _positions(data, dialect.quote_char)
    if data.startswith(UTF8_MARK) or len(quotes) % 2:
        return False, len(quotes) > 0
    view = np.frombuffer(data, np.uint8)
    sound = len(quotes) == 0 or _quotes_in_place(view, quotes, ord(dialect.delimiter))
    return sound and _returns_in_place(view, data, quotes), len(quotes) > 0


def record_edges(data: bytes, dialect: Dialect) -> npt.NDArray[np.intp]:
    """Return where the records of a plain block begin, and where the last one ends."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == LF) + 1
    outside = ends[np.searchsorted(_positions(data, dialect.quote_char), ends) % 2 == 0]
    last = () if len(outside) and outside[-1] == len(data) else (len(data),)
    return np.concatenate(((0,), outside, last)).astype(np.intp)


def _positions(data: bytes, char: str | None) -> npt.NDArray[np.intp]:
    if not char or char.encode() not in data:
        return np.empty(0, np.intp)
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord(char))


def _quotes_in_place(view: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp], delimiter: int) -> bool:
    allowed = np.zeros(256, np.bool_)
    allowed[[delimiter, CR, LF]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    opened = allowed[view[opening - 1]] | (opening == 0)
    opened[1:] |= opening[1:] == closing[:-1] + 1
    closed = allowed[view[np.minimum(closing + 1, len(view) - 1)]] | (closing == len(view) - 1)
    closed[:-1] |= opening[1:] == closing[:-1] + 1
    return bool(opened.all() and closed.all())


def _returns_in_place(view: npt.NDArray[np.uint8], data: bytes, quotes: npt.NDArray[np.intp]) -> bool:
    if b"\r" not in data or _count(data, CR) == data.count(b"\r\n"):
        return True
    positions = np.flatnonzero(view == CR)
    following = view[np.minimum(positions + 1, len(view) - 1)]
    bare = positions[(following != LF) | (positions == len(view) - 1)]
    return bool((np.searchsorted(quotes, bare) % 2 == 1).all())

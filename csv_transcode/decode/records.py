"""Byte blocks cut at record ends, and which of them Arrow may parse.

A *stripe* is the records that begin in one STRIPE_BYTES-long span of the decoded source. Stripes are cut by the
source's content alone, and everything downstream (row groups, Avro blocks, dictionaries) is cut by whole stripes, so
the outputs' bytes depend on nothing else. A *block* is a piece of one stripe that is parsed in one go: by Arrow as it
stands where plain.py proves that Arrow reads it as RFC 4180 does; else walk.py says where its records are, and sift.py
takes out those that are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from csv_transcode.decode.plain import LINE_ENDS, count_of, is_plain, line_count, record_edges
from csv_transcode.decode.sift import Block, flaws_of
from csv_transcode.decode.walk import REACH, BeyondReachError, NeedsMoreError, walk
from csv_transcode.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.plain import Positions
    from csv_transcode.decode.walk import Boundaries

STRIPE_BYTES: Final = 4 << 20


class Cuts(Struct, frozen=True):
    """Where a source is cut. ``stripe_bytes`` decides the outputs' bytes and is constant but in tests; the rest not.

    ``block_bytes``: how much is parsed in one go, at most one stripe. ``record_bytes_max``: the longest record.
    """

    stripe_bytes: int = STRIPE_BYTES
    block_bytes: int = STRIPE_BYTES
    record_bytes_max: int = 8 << 20


class Stripe(Struct, frozen=True):
    """The blocks of one stripe, in order; there is at least one."""

    index: int
    blocks: tuple[Block, ...]


class RecordCutter:
    """Cuts a source into blocks and stripes.

    ``chunks`` are the decoded source's bytes in order, in pieces of any size, the first of which begins at byte
    ``offset`` on line ``line``, at the start of a record. ``fits`` says of a record of one column whether its value
    will be kept; without it all are. Raises LimitError where no line ends within reach.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        dialect: Dialect,
        cuts: Cuts,
        *,
        width: int,
        offset: int,
        line: int,
        fits: Callable[[bytes], bool] | None = None,
    ) -> None:
        self._chunks = iter(chunks)
        self._dialect = dialect
        self._cuts = cuts
        self._width = width
        self._fits = fits
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
        for block in self._kept_blocks():
            of_block = block.offset // self._cuts.stripe_bytes
            if blocks and of_block != index:
                yield Stripe(index, tuple(blocks))
                blocks = []
            index = of_block
            blocks.append(block)
        if blocks:
            yield Stripe(index, tuple(blocks))

    def _kept_blocks(self) -> Iterator[Block]:
        """Yield the blocks; in a file of one column, with the blank lines behind its last record marked as nothing.

        Anywhere else in such a file a blank line is an empty value, so blank lines (and rejected records among them)
        wait for what follows them.
        """
        if self._width != 1:
            yield from self._blocks()
            return
        waiting: list[Block] = []
        for block in self._blocks():
            body, tail, gap = self._split_tail(block)
            self._require_few(waiting, gap)
            if body.data:
                yield from waiting
                waiting = []
                yield body
            if tail.data:
                waiting.append(tail)
        self._require_few(waiting, 0)
        for block in waiting:
            yield block.without_blanks()

    def _split_tail(self, block: Block) -> tuple[Block, Block, int]:
        """Return the block up to the end of its last good record that is not blank, the rest, and a length.

        That is of the longest stretch without such a record up to there (of the first, where no other can matter), or
        of the whole block where it has none.
        """
        body = block.data.rstrip(LINE_ENDS)
        small = len(block.data) <= self._cuts.record_bytes_max and self._fits is None
        if small and block.is_plain and self._dialect.delimiter.encode() not in body and body.isascii():
            end = len(body) + (2 if block.data[len(body) : len(body) + 2] == b"\r\n" else 1) if body else 0
            lead = len(block.data) - len(block.data.lstrip(LINE_ENDS))
            return *block.split(min(end, len(block.data)), self._dialect), lead
        boundaries = block.boundaries_of(self._dialect)
        flaws = flaws_of(block, boundaries, self._dialect, self._width)
        good = ~block.blanks(np.frombuffer(block.data, np.uint8), boundaries)
        good[list(flaws)] = False
        kept = self._without_unfit_tail(block, boundaries, np.flatnonzero(good))
        if len(kept) == 0:
            return *block.split(0, self._dialect), len(block.data)
        gaps = boundaries.starts[kept] - np.concatenate(((0,), boundaries.ends[kept[:-1]]))
        self._require_few([], int(gaps[1:].max(initial=0)))
        return *block.split(int(boundaries.ends[kept[-1]]), self._dialect), int(gaps[0])

    def _without_unfit_tail(self, block: Block, boundaries: Boundaries, kept: Positions) -> Positions:
        """Return the records ``kept`` up to the last one whose value fits: blank lines behind it are no records."""
        if self._fits is None:
            return kept
        starts, ends, last = boundaries.starts, boundaries.ends, len(kept)
        while last and not self._fits(block.data[starts[kept[last - 1]] : ends[kept[last - 1]]]):
            last -= 1
        return kept[:last]

    def _require_few(self, waiting: list[Block], more: int) -> None:
        length = sum(len(block.data) for block in waiting) + more
        if length > self._cuts.record_bytes_max:
            line = waiting[0].line if waiting else self._line
            message = f"more than {self._cuts.record_bytes_max} bytes without a record near line {line}"
            raise LimitError(message)

    def _blocks(self) -> Iterator[Block]:
        while self._fill(1) > 0:
            yield self._next_block()

    def _next_block(self) -> Block:
        span = min(self._cuts.stripe_bytes - self._offset % self._cuts.stripe_bytes, self._cuts.block_bytes)
        block = self._plain_block(span) or self._walked_block(span)
        self._offset += len(block.data)
        self._line += line_count(block.data)
        self._start += len(block.data)
        return block

    def _plain_block(self, span: int) -> Block | None:
        length = self._plain_length(span)
        if not length:
            return None
        data = self._buffer[self._start : self._start + length]
        plain, quoted = is_plain(data, self._dialect)
        if not plain or not self._is_within_limit(data):
            return None
        return Block(data, self._offset, self._line, quoted=quoted)

    def _is_within_limit(self, data: bytes) -> bool:
        limit = self._cuts.record_bytes_max
        return len(data) <= limit or int(np.diff(record_edges(data, self._dialect)).max()) <= limit

    def _walked_block(self, span: int) -> Block:
        while True:
            data = self._buffer[self._start :]
            limit = self._cuts.record_bytes_max
            try:
                found = walk(data, self._dialect, span=span, record_bytes_max=limit, final=self._ended)
            except NeedsMoreError as more:
                start = 1 + max(data.rfind(b"\n"), data.rfind(b"\r"))
                if len(data) - start > REACH * limit:
                    raise self._beyond_reach(data, start, len(data) - start) from None
                self._fill(more.wanted)
            except BeyondReachError as beyond:
                raise self._beyond_reach(data, beyond.at, beyond.length) from None
            else:
                held = data[: int(found.ends[-1])]
                return Block(held, self._offset, self._line, quoted=self._quote in held, boundaries=found)

    def _beyond_reach(self, data: bytes, start: int, length: int) -> LimitError:
        line = self._line + line_count(data[:start])
        message = (
            f"line {line}, at byte {self._offset + start}, has {length} bytes or more, and MAX_RECORD_BYTES="
            f"{self._cuts.record_bytes_max} allows no record of more than that: is this a CSV file?"
        )
        return LimitError(message)

    def _plain_length(self, span: int) -> int:
        """Return the bytes up to the first record end that reaches ``span``, provided that quotes come in pairs.

        0 where none is in reach: then walk.py finds it, or says what is the matter.
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
        return count_of(memoryview(self._buffer)[first:last], ord(self._quote))

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

"""Cells side by side: the columns of a batch become the records of an Avro block.

Avro's binary form is row by row: all cells of record 0, all of record 1, and so on, nothing between. That is one long
concatenation of pieces of very different lengths, and Arrow can do it in C++, outside the interpreter's lock, if it is
told the pieces: a *binary view* array is 16 bytes an element, a length and either up to 12 bytes of content or the
place of the content in some buffer, and casting it to a plain binary array copies all contents one after the other.

    columns    id  price   flag   name
    cells      [i] [p....] [f]    [n] nnnnnnnn
                |    |      |      |     |
    pieces     [i] [p.........f....n] nnnnnnnn        neighbours of fixed width are one piece, up to the first whose
                |    |                   |            width varies; text is a piece of its own
    views      [i] [in matrix, row r] [in Arrow's     one row of views a record; short pieces lie in the view itself,
                                       own buffer]    longer ones in one (rows x stride) matrix, text where it was
    cast       the payload, and with the cast's offsets the end of every record

Writing is column by column into strided rows, from left to right: a word may spill up to 3 bytes over its cell's end,
because what follows is written later. Where every cell has one width, the matrix itself is the payload.

Measured against `binary_join_element_wise` on TPC-H lineitem: a join costs 30 ns a record and 9 ns a part, and its
parts must be made contiguous first, by a mask (30 to 60 ns a record); a view costs 6 to 8 ns, and 3 to write.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct, field

from csv_transcode import kernels
from csv_transcode.formats.avro.cells import SPILL_BYTES_MAX, Cell, Text, in_place
from csv_transcode.formats.avro.varint import WORD_BYTES, Widths, word_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csv_transcode.formats.avro.cells import Array

VIEW_BYTES: Final = 16  # length (4), then content (12), or: its first bytes (4, not read here), buffer (4), offset (4)
VIEW_CONTENT_AT: Final = 4
VIEW_PLACE_AT: Final = 8
VIEW_CONTENT_BYTES_MAX: Final = VIEW_BYTES - VIEW_CONTENT_AT

Bytes: TypeAlias = npt.NDArray[np.uint8]


class EncodedRows(Struct, frozen=True):
    """Records in Avro's binary encoding, one after the other; record i ends before byte ``ends[i]``."""

    payload: pa.Buffer
    ends: npt.NDArray[np.int64]


class Run(Struct):
    """Neighbouring cells that leave no gap: their width is fixed, but for the last, where it may be ``widths``."""

    cells: list[Cell] = field(default_factory=list)
    fixed: int = 0
    widths: Widths | None = None

    @property
    def width(self) -> int:
        """The greatest width of the whole run."""
        return self.fixed + (self.cells[-1].width if self.widths is not None else 0)

    @property
    def inline(self) -> bool:
        """Whether the run lies in its views in all rows; otherwise it does in none (but see ``_fits``)."""
        return self.width <= VIEW_CONTENT_BYTES_MAX

    @property
    def exact(self) -> bool:
        """Whether the run has one width and writes nothing beyond it."""
        starts = accumulate((cell.width for cell in self.cells), initial=0)
        ends = (start + cell.reach for start, cell in zip(starts, self.cells, strict=False))
        return self.widths is None and all(end <= self.fixed for end in ends)

    def add(self, cell: Cell) -> bool:
        """Take ``cell`` as the next, if that leaves no gap; say whether."""
        if self.widths is not None:
            return self._pack(cell)
        if cell.widths is not None and not self._fits(cell):
            return False
        self.cells.append(cell)
        self.widths = cell.widths
        self.fixed += cell.width if cell.widths is None else 0
        return True

    def write(self, target: Bytes, start: int, stride: int) -> None:
        """Write the run of row i to ``target`` from byte ``start + i * stride``."""
        for cell in self.cells:
            for at, values in cell.parts:
                in_place(target.data, values.dtype, len(values), start + at, stride)[...] = values
            start += cell.width

    def lengths(self, dtype: npt.DTypeLike) -> npt.NDArray[np.unsignedinteger[Any]] | int:
        """Return the bytes of each row, or of all."""
        return self.fixed if self.widths is None else self.widths.astype(dtype) + self.fixed

    def _fits(self, cell: Cell) -> bool:
        """Whether ``cell``, whose width varies, may be the last.

        A view is inline by its own length, a run as a whole, so the lengths must not lie on both sides of 12. Alone, a
        longer cell has one short width, that of a null: one byte, zero, as the inline content of its view will be.
        """
        return self.fixed + cell.width <= VIEW_CONTENT_BYTES_MAX or not 0 < self.fixed < VIEW_CONTENT_BYTES_MAX

    def _pack(self, cell: Cell) -> bool:
        packed = _packed(self.cells[-1], cell)
        if packed is None or not self._fits(packed):
            return False
        self.cells[-1], self.widths = packed, packed.widths
        return True


def assemble(cells: Iterable[Cell | Text], rows: int) -> EncodedRows:
    """Return the records of ``rows`` rows, at least one, whose columns in order are ``cells``."""
    pieces = _pieces(cells)
    if not pieces:
        return EncodedRows(pa.py_buffer(b""), np.zeros(rows, np.int64))
    if len(pieces) == 1 and isinstance(pieces[0], Run) and pieces[0].exact:
        return _as_matrix(pieces[0], rows)
    return _as_views(pieces, rows)


def _pieces(cells: Iterable[Cell | Text]) -> list[Run | Text]:
    """Return runs, each as long as it can be, and texts."""
    pieces: list[Run | Text] = []
    run = Run()
    for cell in cells:
        if isinstance(cell, Text):
            pieces += [run, cell]
            run = Run()
        elif not run.add(cell):
            pieces.append(run)
            run = Run()
            run.add(cell)
    return [*pieces, run] if run.cells else pieces


def _as_matrix(run: Run, rows: int) -> EncodedRows:
    matrix = np.empty(rows * run.width, np.uint8)
    run.write(matrix, 0, run.width)
    return EncodedRows(pa.py_buffer(matrix.data), np.arange(1, rows + 1, dtype=np.int64) * run.width)


def _as_views(pieces: list[Run | Text], rows: int) -> EncodedRows:
    """Return the records through one view array; contents are written before any head, into which they may spill."""
    starts = [0, *accumulate(0 if isinstance(piece, Text) or piece.inline else piece.width for piece in pieces)]
    stride = starts[-1] + SPILL_BYTES_MAX
    matrix = np.empty(rows * stride + WORD_BYTES, np.uint8)
    views = _Views(rows, len(pieces))
    runs = [(place, piece) for place, piece in enumerate(pieces) if isinstance(piece, Run)]
    for place, run in runs:
        if run.inline:
            run.write(views.bytes, place * VIEW_BYTES + VIEW_CONTENT_AT, views.stride)
        else:
            run.write(matrix, starts[place], stride)
    for place, run in runs:
        views.point_to_run(place, run, starts[place], stride)
    buffers = [pa.py_buffer(matrix.data)]
    for place, piece in enumerate(pieces):
        if isinstance(piece, Text):
            views.point_to_text(place, piece, buffers)
    return views.joined(buffers)


class _Views:
    """A row of ``count`` views for each of ``rows`` records."""

    def __init__(self, rows: int, count: int) -> None:
        self._rows = rows
        self._count = count
        self.stride = count * VIEW_BYTES
        self.bytes: Bytes = np.empty(rows * self.stride + WORD_BYTES, np.uint8)

    def point_to_run(self, place: int, run: Run, start: int, stride: int) -> None:
        """Set the lengths of an inline run, or lengths and places in buffer 0 of another."""
        head = place * VIEW_BYTES
        if run.inline:
            self._column(np.uint32, head)[...] = run.lengths(np.uint32)
            return
        self._column(np.uint64, head)[...] = run.lengths(np.uint64)
        places = np.arange(start << 32, (start + self._rows * stride) << 32, stride << 32, dtype=np.uint64)
        self._column(np.uint64, head + VIEW_PLACE_AT)[...] = places

    def point_to_text(self, place: int, text: Text, buffers: list[pa.Buffer]) -> None:
        """Set views of the text, and append to ``buffers`` those that they point into."""
        column = self._column(f"V{VIEW_BYTES}", place * VIEW_BYTES)
        row = 0
        for array in text.arrays:
            stop = row + len(array)
            column[row:stop] = _text_views(array, text, row, len(buffers)).view(column.dtype)[:, 0]
            buffers.append(array.buffers()[2] or pa.py_buffer(b""))
            row = stop

    def joined(self, buffers: list[pa.Buffer]) -> EncodedRows:
        """Return what the views point to, in order; ``buffers`` are those that longer views name by number."""
        elements = self._rows * self._count
        parts = [None, pa.py_buffer(self.bytes.data), *buffers]
        views = pa.Array.from_buffers(pa.binary_view(), elements, parts, null_count=0)
        _, offsets, payload = kernels.cast(views, pa.large_binary()).buffers()
        ends = in_place(offsets, np.int64, elements + 1)[self._count :: self._count]
        return EncodedRows(payload or pa.py_buffer(b""), ends)

    def _column(self, dtype: npt.DTypeLike, start: int) -> npt.NDArray[Any]:
        return in_place(self.bytes.data, dtype, self._rows, start, self.stride)


def _text_views(array: Array, text: Text, row: int, buffer: int) -> npt.NDArray[np.uint64]:
    """Return a (rows, 2) array of views of ``array``, whose first row is ``row`` of ``text``."""
    views: npt.NDArray[np.uint64]
    views = in_place(kernels.cast(array, pa.binary_view()).buffers()[1], np.uint64, 2 * len(array)).reshape(-1, 2)
    stop = row + len(array)
    if text.longest > VIEW_CONTENT_BYTES_MAX:  # those that are not inline name their buffer, 0 as yet
        long = text.lengths[row:stop] > VIEW_CONTENT_BYTES_MAX
        views[:, 1] += long * np.uint64(buffer)
    if text.valid is not None:
        views *= text.valid[row:stop, None]
    return views


def _packed(left: Cell, right: Cell) -> Cell | None:
    """Return two neighbouring cells, of which the left one varies, as one word; None where that is not possible."""
    width = left.width + right.width
    if left.word is None or right.word is None or left.widths is None or width > WORD_BYTES:
        return None
    kind = word_type(width)
    word = right.word.astype(kind)
    word <<= left.widths.astype(kind) << 3
    word |= left.word
    widths = left.widths + (np.uint8(right.width) if right.widths is None else right.widths)
    return Cell(width, widths, ((0, word),))

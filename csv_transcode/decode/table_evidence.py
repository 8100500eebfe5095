"""What a sample looks like as a table under one dialect: where its header stands, its width, how much of it fits.

Preamble (lines before the header) is believed only on strong evidence, because each of its lines is rejected, and
because a damaged header must not be taken for a title and the first record for the header.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from csv_transcode.decode.record_shapes import Quoting, RecordReader, Sample, Shapes, read_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

TYPED: Final = "nd"  # kinds of cells that text seldom is
PREAMBLE_RECORDS_MAX: Final = 100
CELL_RECORDS_MIN: Final = 3
CELL_RECORDS_MAX: Final = 60  # records whose cells are looked at
CELLS_MAX: Final = 6_000
CELL_BYTES_MAX: Final = 200  # of a cell, for its kind
PREAMBLE_SHARE_MAX: Final = 0.7  # of the sample; a longer one needs a table of some length behind it
PREAMBLE_LONG_RECORDS_MIN: Final = 10
STABLE_SHARE: Final = 0.75  # of the records behind a preamble have the header's width
HEADER_TYPED_SHARE_MAX: Final = 0.2  # of a header's cells may look like numbers or dates
HEADER_FILLED_SHARE: Final = 0.8
TITLED_WIDTH_MIN: Final = 3  # fewer columns behind a title, and few records, say little
TITLED_RECORDS_MIN: Final = 3

_COMMENT: Final = re.compile(rb"\s*(?:#|//|--|;;)|sep=.$", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"[-+(]?[$\xe2\x82\xac\xc2\xa3 ]*(?:\d[\d.,' ]*|\.\d+)(?:[eE][-+]?\d+)?\s*[%)]?")
_MOMENT: Final = re.compile(rb"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:\d\d\S*)?|\d{1,2}:\d\d(?::\d\d\S*)?")
_RIVALS: Final = re.compile(rb"[,;\t|]")


class Table(Struct, frozen=True):
    """A sample read as a table: its header is the record ``header`` of ``shapes``, at byte ``start``.

    ``kept`` is the share of the sample's bytes that is neither preamble nor in records that do not fit, ``matched``
    the number of records behind the header that fit, ``records`` of all behind it, blank lines aside.
    """

    delimiter: str
    quoting: Quoting
    shapes: Shapes
    header: int
    start: int
    width: int
    kept: float
    matched: int
    records: int

    @property
    def fits(self) -> float:
        """The share of the records behind the header that have its width; 1.0 where there are none."""
        return self.matched / self.records if self.records else 1.0

    @property
    def is_regular(self) -> bool:
        """Whether every record fits, from the first line on."""
        return self.start == 0 and self.width > 0 and self.matched == self.records


def read_table(sample: Sample, delimiter: str, quoting: Quoting) -> Table:
    """Read the sample under one dialect, once, and find its header."""
    key = (delimiter, quoting)
    if key not in sample.tables:
        sample.tables[key] = _read_table(sample, delimiter, quoting)
    return sample.tables[key]


def _read_table(sample: Sample, delimiter: str, quoting: Quoting) -> Table:
    shapes = read_shapes(sample, delimiter, quoting)
    filled = np.flatnonzero(shapes.width)
    if not len(filled):
        return Table(delimiter, quoting, shapes, 0, 0, 0, 0.0, 0, 0)
    first = int(filled[0])
    plain = _table_from(sample, delimiter, quoting, shapes, first)
    behind = _behind_preamble(sample, plain, filled)
    return plain if behind is None else behind


def _table_from(sample: Sample, delimiter: str, quoting: Quoting, shapes: Shapes, header: int) -> Table:
    width = int(shapes.width[header])
    behind = shapes.width[header + 1 :]
    fits = behind == width if width > 0 else np.zeros(len(behind), dtype=bool)
    others = ~fits & (behind != 0)
    records = int(np.count_nonzero(behind))
    start = int(shapes.start[header]) if np.any(shapes.width[:header]) else 0
    lost = start + int((shapes.end - shapes.start)[header + 1 :][others].sum())
    kept = 1 - lost / max(1, len(sample.data)) if width > 0 else 0.0
    return Table(delimiter, quoting, shapes, header, start, width, kept, int(np.count_nonzero(fits)), records)


def _behind_preamble(sample: Sample, table: Table, filled: npt.NDArray[np.int64]) -> Table | None:
    """Return the table without its first records, where there is strong evidence that they are a preamble."""
    shapes = table.shapes
    comments = sample.bytes[shapes.start[filled]] == ord("#")
    widths = shapes.width[filled]
    usual = _usual_width(widths[~comments])
    if usual < 2 or widths[0] == usual:  # noqa: PLR2004 -- one column is no evidence of a table
        return None
    position = int(np.argmax((widths == usual) & ~comments))
    same = int(np.count_nonzero(widths[position:] == usual))
    if position > PREAMBLE_RECORDS_MAX or same < STABLE_SHARE * len(widths[position:]):
        return None
    if shapes.start[filled[position]] > PREAMBLE_SHARE_MAX * len(sample.data) and same < PREAMBLE_LONG_RECORDS_MIN:
        return None
    lines = [sample.data[shapes.start[i] : shapes.end[i]].rstrip(b"\r\n") for i in filled[:position].tolist()]
    found = _table_from(sample, table.delimiter, table.quoting, shapes, int(filled[position]))
    rows = table_cells(sample, found)
    return found if _is_preamble(lines, widths[:position].tolist(), rows, table.delimiter, same) else None


def _usual_width(widths: npt.NDArray[np.int64]) -> int:
    """Return the most frequent width; of several, the largest."""
    counts = np.bincount(widths[widths > 0])
    return int(len(counts) - 1 - np.argmax(counts[::-1])) if len(counts) else 0


def _is_preamble(lines: list[bytes], widths: list[int], rows: list[list[bytes]], delimiter: str, same: int) -> bool:
    """Say whether these lines stand before a header, ``rows[0]``, and not in a table with a damaged header."""
    comments = [_COMMENT.match(line) is not None for line in lines]
    if all(comments) and same > 1:
        return True
    width, byte = len(rows[0]), delimiter.encode()
    sparse = [
        is_comment or len(line.strip(byte + b" ")) == 0 or byte not in line.rstrip(byte + b" ")
        for is_comment, line in zip(comments, lines, strict=True)
    ]
    narrow = [is_sparse or 0 < 2 * found <= width for is_sparse, found in zip(sparse, widths, strict=True)]
    if not all(narrow) or not _looks_like_header(rows):
        return False
    if contrast(rows) > 0:
        return True
    return all(sparse) and width >= TITLED_WIDTH_MIN and same >= TITLED_RECORDS_MIN


def _looks_like_header(rows: Sequence[Sequence[bytes]]) -> bool:
    header = rows[0]
    typed = sum(kind(cell) in TYPED for cell in header if cell)
    filled = [cell for cell in header if cell.strip()]
    return (
        typed <= HEADER_TYPED_SHARE_MAX * len(header)
        and len(filled) >= HEADER_FILLED_SHARE * len(header)
        and len(set(filled)) > (1 - HEADER_TYPED_SHARE_MAX) * len(filled)
    )


def contrast(rows: Sequence[Sequence[bytes]]) -> int:
    """Return how many columns have a header of another kind than all their cells, less those with one of the same.

    Only columns of numbers or moments count: text above text says nothing.
    """
    difference = 0
    for column in zip(*rows, strict=False):
        kinds = {kind(cell) for cell in column[1:] if cell.strip()}
        if len(kinds) == 1 and (found := kinds.pop()) in TYPED:
            difference += 1 if column[0].strip() and kind(column[0]) != found else -1
    return difference


def kind(cell: bytes) -> str:
    """Return what a raw field looks like: ``n`` a number, ``d`` a date or time, ``e`` empty, ``s`` text."""
    text = cell[:CELL_BYTES_MAX].strip(b" \"'")
    if not text:
        return "e"
    if _NUMBER.fullmatch(text):
        return "n"
    return "d" if _MOMENT.fullmatch(text) else "s"


def table_cells(sample: Sample, table: Table) -> list[list[bytes]]:
    """Return the raw fields of the header and of the first records that fit."""
    return cells_of(sample, table, table.header + np.flatnonzero(table.shapes.width[table.header :] == table.width))


def cells_of(sample: Sample, table: Table, records: npt.NDArray[np.int64]) -> list[list[bytes]]:
    """Return the raw fields of the first of these records, enough of them to judge by."""
    reader, shapes = RecordReader(table.delimiter, table.quoting), table.shapes
    count = min(CELL_RECORDS_MAX, max(CELL_RECORDS_MIN, CELLS_MAX // max(1, table.width)))
    return [
        list(islice(reader.fields(sample.data[shapes.start[index] : shapes.end[index]].rstrip(b"\r\n")), CELLS_MAX))
        for index in records[:count].tolist()
    ]


def plausibility(rows: Sequence[Sequence[bytes]], quote: str) -> float:
    """Return how much cells look like single values, from 0 to 1: numbers, moments, text without rival delimiters."""
    mark = quote.encode()
    weight, count = 0.0, 0
    for row in rows:
        for cell in row:
            what = kind(cell)
            is_quoted = bool(mark) and cell.startswith(mark)
            rival = what == "s" and not is_quoted and _RIVALS.search(cell) is not None
            weight += 0.6 if rival else (0.9 if what == "s" and not is_quoted else 1.0)
            count += 1
    return weight / count if count else 0.0

"""What can be wrong with a record: each fault writes one, and knows what becomes of it (contract section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from fuzz.cases import BLANK, GOOD, Cell, Piece, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from fuzz.cases import Spelling, Stored

FIELD_COUNT: Final = "field_count"
QUOTE: Final = "quote"
ENCODING: Final = "encoding"
TYPE: Final = "type"
LIMIT: Final = "limit"

INVALID: Final = (b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80", b"\xe9")
UNFIT: Final = {  # what COLUMN_TYPES refuses in a column of each type
    "int64": ("abc", "007", "+5", "1.0", "9223372036854775808", "-0", "1e3", " 1"),
    "double": ("abc", "1.234", "1e3", "00.5", "99999999999.00", "nan"),
    "date": ("2020-02-30", "2020-1-1", "20200101", "2020-01-01 "),
    "boolean": ("yes", "1", "tRUE", "truee"),
    "timestamp": ("2020-01-01", "2020-01-01T24:00:00", "2020-01-01 10:00:00Z", "x"),
    "timestamp_utc": ("2020-01-01", "2020-01-01T10:00:00", "2020-01-01T10:00:00+02:00"),
}


class MakesCells(Protocol):
    """Gives a cell for a column."""

    def __call__(self, column: int) -> Cell: ...  # noqa: D102


class Writer:
    """Writes records of one case; ``cell`` gives what stands in good ones, ``kinds`` are the columns' types."""

    def __init__(self, random: Random, spelling: Spelling, cell: MakesCells, kinds: Sequence[str]) -> None:
        self.random = random
        self.spelling = spelling
        self.kinds = kinds
        self.delimiter = spelling.delimiter.encode()
        self.quote = spelling.quote.encode()
        self._cell = cell

    @property
    def width(self) -> int:
        """How many fields a good record has."""
        return len(self.kinds)

    def end(self) -> bytes:
        """Return a line end of the dialect."""
        return self.random.choice(self.spelling.line_ends).encode()

    def word(self, length: int = 0) -> bytes:
        """Return a few letters that mean nothing in any dialect."""
        return "".join(self.random.choices("wxyz", k=length or self.random.randint(1, 6))).encode()

    def words(self, count: int | None = None) -> list[bytes]:
        """Return fields of a record that stands on one line and holds no quote."""
        return [self.word() for _ in range(self.width if count is None else count)]

    def place(self) -> int:
        """Return any column."""
        return self.random.randrange(self.width)

    def cells(self) -> list[Cell]:
        """Return the cells of a good record: what needs quotes has them."""
        return [self.writable(self._cell(column)) for column in range(self.width)]

    def joined(self, fields: Sequence[bytes]) -> bytes:
        """Return a record of these fields, as they are."""
        return self.delimiter.join(fields) + self.end()

    def good(self) -> Unit:
        """Return a record that nothing is wrong with."""
        cells = self.cells()
        return Unit(GOOD, (Piece(self.joined([self.field(cell) for cell in cells]), tuple(cells)),))

    def blank(self) -> Unit:
        """Return a blank line: an empty value in a file of one column, nothing in any other."""
        return Unit(BLANK, (Piece(self.end(), (Cell("", quoted=False),) if self.width == 1 else None),))

    def field(self, cell: Cell) -> bytes:
        """Return the cell as it is written."""
        if not cell.quoted:
            return cell.text.encode()
        quote, escape = self.spelling.quote, self.spelling.escape
        text = cell.text.replace(escape, escape * 2) if escape else cell.text
        text = text.replace(quote, escape + quote if escape and self.random.random() < 0.7 else quote * 2)
        if escape and text.startswith(tuple("wxyz\n\r")) and self.random.random() < 0.5:
            text = escape + text  # needless, and means the same
        return (quote + text + quote).encode()

    def writable(self, cell: Cell) -> Cell:
        """Return the cell with quotes if it needs them; where there are none, without what needs them."""
        special = [self.spelling.delimiter, "\n", "\r", *self.spelling.quote]
        if cell.quoted or not any(sign in cell.text for sign in special):
            return cell
        if self.spelling.quote:
            return Cell(cell.text, quoted=True)
        return Cell("".join(sign for sign in cell.text if sign not in special), quoted=False)


# --- one function a fault


def _too_few(writer: Writer) -> Sequence[Piece]:
    return [Piece(writer.joined(writer.words(writer.random.randint(1, writer.width - 1))), reason=FIELD_COUNT)]


def _too_many(writer: Writer) -> Sequence[Piece]:
    fields = [*writer.words(), *writer.random.choice((writer.words(), [b""]))]
    return [Piece(writer.joined(fields), reason=FIELD_COUNT)]


def _ragged_over_lines(writer: Writer) -> Sequence[Piece]:
    fields = writer.words(writer.width + 1)
    fields[writer.place()] = (
        writer.quote + writer.word() + writer.end() + writer.delimiter + writer.word() + writer.quote
    )
    return [Piece(writer.joined(fields), reason=FIELD_COUNT)]


def _bare_quote(writer: Writer) -> Sequence[Piece]:
    fields = writer.words()
    fields[writer.place()] = writer.word() + writer.quote + writer.random.choice((writer.word(), b""))
    return [Piece(writer.joined(fields), reason=QUOTE)]


def _text_after_quote(writer: Writer) -> Sequence[Piece]:
    fields = writer.words()
    fields[writer.place()] = writer.quote + writer.word() + writer.quote + writer.random.choice((writer.word(), b" "))
    return [Piece(writer.joined(fields), reason=QUOTE)] if writer.delimiter != b" " else _bare_quote(writer)


def _unclosed(writer: Writer) -> Sequence[Piece]:
    fields = writer.words()
    fields[writer.place()] = writer.quote + writer.random.choice((writer.word(), b""))
    return [Piece(writer.joined(fields), reason=QUOTE, opens=True)]


def _broken_behind_a_line_end(writer: Writer) -> Sequence[Piece]:
    """Write a quoted field of two lines with text after it: neither line is a record."""
    second = writer.words()
    second[0] = writer.word() + writer.quote + writer.word()
    before = writer.words(writer.place())
    first = writer.joined([*before, writer.quote + writer.word()])
    return [Piece(first, reason=QUOTE), Piece(writer.joined(second), reason=QUOTE)]


def _invalid(writer: Writer) -> Sequence[Piece]:
    fields = writer.words()
    fields[writer.place()] += writer.random.choice(INVALID)
    return [Piece(writer.joined(fields), reason=ENCODING)]


def _invalid_in_quotes(writer: Writer) -> Sequence[Piece]:
    fields = writer.words()
    text = writer.word() + writer.end() + writer.random.choice(INVALID) + writer.quote * 2
    fields[writer.place()] = writer.quote + text + writer.quote
    return [Piece(writer.joined(fields), reason=ENCODING)]


def _invalid_and_ragged(writer: Writer) -> Sequence[Piece]:
    return [Piece(writer.joined([writer.random.choice(INVALID), *writer.words()]), reason=ENCODING)]


def unfit(writer: Writer, column: int) -> Unit:
    """Return a record whose value in ``column`` is not of the type that the settings give it."""
    cells = writer.cells()
    cells[column] = writer.writable(Cell(writer.random.choice(UNFIT[writer.kinds[column]]), quoted=False))
    return Unit("unfit type", (Piece(writer.joined([writer.field(cell) for cell in cells]), reason=TYPE),))


def beyond(writer: Writer, limit: int) -> Unit:
    """Return a record of just ``limit`` bytes, which is good, or of up to twice as many."""
    kind = writer.random.choice(("too long", *(_BEYOND if writer.quote else ("as long as may be",))))
    if kind == "as long as may be":
        data, first = _padded(writer, limit, b"")
        fields = data.rstrip(b"\r\n").removeprefix(first).split(writer.delimiter)[1:]
        row = tuple(Cell(field.decode(), quoted=False) for field in (first, *fields))
        return Unit(kind, (Piece(data, row),))
    if kind == "too long over lines":
        return Unit(kind, tuple(_over_lines(writer, limit)))
    if kind == "too long in quotes":
        return Unit(kind, (Piece(_padded(writer, limit, writer.quote)[0], reason=QUOTE),))
    length = writer.random.choice((limit + 1, limit + 2, 2 * limit))
    return Unit(kind, (Piece(_padded(writer, length, b"")[0], reason=LIMIT),))


_BEYOND: Final = ("as long as may be", "too long in quotes", "too long over lines")


def _padded(writer: Writer, length: int, quote: bytes) -> tuple[bytes, bytes]:
    """Return a record of so many bytes, and its first field, which makes it so long.

    Where that is quoted, it alone is longer.
    """
    rest = writer.joined([b"", *writer.words(writer.width - 1)])
    first = quote + b"x" * length + quote if quote else b"x" * (length - len(rest))
    return first + rest, first


def _over_lines(writer: Writer, limit: int) -> list[Piece]:
    """Return a quoted field of several lines that ends beyond the limit: none of its lines is a record."""
    pieces: list[Piece] = []
    while sum(len(piece.data) for piece in pieces) <= limit:
        data = writer.word(writer.random.randint(1, limit // 3)) + writer.end()
        pieces.append(Piece(data, reason=FIELD_COUNT) if pieces else Piece(writer.quote + data, reason=QUOTE))
    return [*pieces, Piece(writer.word() + writer.quote + writer.end(), reason=QUOTE)]


def _always(_: Spelling, __: Stored, ___: int) -> bool:
    return True


def _several_columns(_: Spelling, __: Stored, width: int) -> bool:
    return width > 1


def _quotes(spelling: Spelling, _: Stored, __: int) -> bool:
    return bool(spelling.quote)


def _utf8(_: Spelling, stored: Stored, __: int) -> bool:
    return stored.encoding == "utf-8"


def _utf8_and_quotes(spelling: Spelling, stored: Stored, _: int) -> bool:
    return bool(spelling.quote) and stored.encoding == "utf-8"


@dataclass(frozen=True)
class Fault:
    """One fault: ``write`` writes a record with it, in cases that it ``applies`` to (dialect, storage, width)."""

    write: Callable[[Writer], Sequence[Piece]]
    applies: Callable[[Spelling, Stored, int], bool]


FAULTS: Final = {
    "too few fields": Fault(_too_few, _several_columns),
    "too many fields": Fault(_too_many, _always),
    "too many fields over lines": Fault(_ragged_over_lines, _quotes),
    "bare quote": Fault(_bare_quote, _quotes),
    "text after a quote": Fault(_text_after_quote, _quotes),
    "unclosed quote": Fault(_unclosed, _quotes),
    "broken behind a line end": Fault(_broken_behind_a_line_end, _quotes),
    "invalid UTF-8": Fault(_invalid, _utf8),
    "invalid UTF-8 in quotes": Fault(_invalid_in_quotes, _utf8_and_quotes),
    "invalid UTF-8, too many fields": Fault(_invalid_and_ragged, _utf8),
}
OTHER_FAULTS: Final = ("unfit type", "as long as may be", "too long", *_BEYOND[1:], "preamble")

"""The slow, obvious reader of contract section 5: one byte after the other, the whole file at hand.

It knows no block, stripe or chunk, and shares no line with the product, which it judges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csv_transcode.decode.dialect import Dialect

LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)?")

Field = tuple[bytes, bool]  # its value, and whether it was quoted
Row = list[str | None]


@dataclass(frozen=True)
class Rejected:
    """What is to be told of one rejected record, but for the words of its detail."""

    record: int
    line: int
    offset: int
    reason: str
    raw: bytes


@dataclass(frozen=True)
class Reading:
    """What a file holds; ``gap`` is the longest stretch, in bytes, without a good record that has something in it."""

    rows: list[Row]
    rejected: list[Rejected]
    gap: int


@dataclass(frozen=True)
class Piece:
    """One record, or one line that is none: its place, its fields, and what is wrong with it."""

    start: int
    end: int
    fields: tuple[Field, ...] = ()
    reason: str | None = None

    @property
    def is_blank(self) -> bool:
        return self.fields == ((b"", False),)


class BrokenError(Exception):
    """The record breaks the format."""


def read(data: bytes, dialect: Dialect, *, width: int, record_bytes_max: int) -> Reading:
    """Return what ``data`` holds, which begins where the first record does."""
    judged = [_judged(piece, data, width) for piece in pieces(data, dialect, record_bytes_max)]
    told = [0, *(one.end for one in judged if one.reason is None and not one.is_blank)]
    gap = max(end - start for start, end in zip(told, [*told[1:], len(data)], strict=True))
    records = [one for one in judged if not one.is_blank or (width == 1 and one.end <= told[-1])]
    rows: list[Row] = []
    rejected: list[Rejected] = []
    for number, one in enumerate(records, 1):
        if one.reason is None:
            rows.append([None if not value and not quoted else value.decode() for value, quoted in one.fields])
        else:
            line = 1 + len(data[: one.start].splitlines())
            rejected.append(Rejected(number, line, one.start, one.reason, data[one.start : one.end]))
    return Reading(rows, rejected, gap)


def pieces(data: bytes, dialect: Dialect, record_bytes_max: int) -> Iterator[Piece]:
    """Yield the records of ``data``, blank lines among them, and the lines that are none."""
    start = 0
    while start < len(data):
        rest = data[start:]
        fields, length, reason = _first_piece(rest, dialect, record_bytes_max)
        yield Piece(start, start + length, fields, reason)
        start += length


def lines(data: bytes) -> list[bytes]:
    """Return the lines of ``data``, each with its end."""
    return [found[0] for found in LINE.finditer(data) if found[0]]


def _judged(piece: Piece, data: bytes, width: int) -> Piece:
    if piece.reason or piece.is_blank:
        return piece
    try:
        data[piece.start : piece.end].decode()
    except UnicodeDecodeError:
        return Piece(piece.start, piece.end, piece.fields, "encoding")
    return piece if len(piece.fields) == width else Piece(piece.start, piece.end, piece.fields, "field_count")


def _first_piece(rest: bytes, dialect: Dialect, limit: int) -> tuple[tuple[Field, ...], int, str | None]:
    """Return (fields, length, what is wrong with it) of what ``rest`` begins with; no more than ``limit`` is read."""
    line = len(lines(rest)[0])
    try:
        fields, length = _record(rest[:limit], dialect)
    except BrokenError:
        return (), line, "quote"
    if length == len(rest) or rest[length - 1 : length] == b"\n":
        return fields, length, None
    if rest[length - 1 : length] == b"\r" and rest[length : length + 1] != b"\n":
        return fields, length, None
    return (), line, "limit" if line > limit else "quote"


def _record(text: bytes, dialect: Dialect) -> tuple[tuple[Field, ...], int]:
    """Return the fields of the record that ``text`` begins with, and its length."""
    delimiter, at = dialect.delimiter.encode(), 0
    fields: list[Field] = []
    while True:
        value, quoted, at = _field(text, at, dialect)
        fields.append((value, quoted))
        if text[at : at + 1] not in (delimiter, b"\r", b"\n", b""):
            raise BrokenError
        if text[at : at + 1] != delimiter:
            return tuple(fields), at + (2 if text[at : at + 2] == b"\r\n" else len(text[at : at + 1]))
        at += 1


def _field(text: bytes, at: int, dialect: Dialect) -> tuple[bytes, bool, int]:
    """Return (value, whether it is quoted, where it ends)."""
    quote, escape = (dialect.quote_char or "").encode(), (dialect.escape_char or "").encode()
    if quote and text[at : at + 1] == quote:
        return _quoted_field(text, at + 1, quote, escape if escape != quote else b"")
    end = at
    while end < len(text) and text[end : end + 1] not in (dialect.delimiter.encode(), b"\r", b"\n", quote):
        end += 1
    return text[at:end], False, end


def _quoted_field(text: bytes, at: int, quote: bytes, escape: bytes) -> tuple[bytes, bool, int]:
    value = b""
    while at < len(text):
        char, following = text[at : at + 1], text[at + 1 : at + 2]
        if char == escape or (char == quote and following == quote):
            value += following
            at += 2
        elif char == quote:
            return value, True, at + 1
        else:
            value += char
            at += 1
    raise BrokenError

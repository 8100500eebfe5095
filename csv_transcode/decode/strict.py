"""The careful scanner: RFC 4180 to the letter, record by record.

It reads what the fast path may not touch, and names what is wrong where Arrow only says that something is. A record
ends at LF, CR LF or CR. A quote may only open a field, close it, or be doubled inside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from csv_transcode.errors import FieldCountError, RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from csv_transcode.decode.dialect import Dialect

NEVER_ENDS: Final = "a quoted field begins here and never ends"


@dataclass(frozen=True)
class ScannedRecord:
    """One record: ``fields`` as raw bytes, unquoted and undoubled; ``quoted`` whether each was quoted.

    It stands at ``data[start:end]``, line end included; a blank line has no fields.
    """

    fields: tuple[bytes, ...]
    quoted: tuple[bool, ...]
    start: int
    end: int


class Unfinished(Exception):  # noqa: N818 -- not an error: the caller has more data
    """The data ends inside a record that more data may finish."""


@lru_cache(maxsize=8)
def _patterns(delimiter: bytes, quote: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    special, q = re.escape(delimiter + quote), re.escape(quote)
    plain = re.compile(rb"[^\r\n" + special + rb"]*+")
    if not quote:
        return plain, plain
    inside = rb"[^" + q + rb"]*+"
    return plain, re.compile(q + rb"(" + inside + rb"(?:" + q + q + inside + rb")*+)" + q)


def scan(data: bytes, start: int, dialect: Dialect, *, final: bool) -> Iterator[ScannedRecord]:
    """Yield the records of ``data`` from ``start``, blank lines included.

    Raises Unfinished where the data ends inside a record (or at a CR that an LF may follow) and ``final`` is False;
    RecordError, with ``record`` and ``line`` counted from 1 at ``start`` and ``offset`` in ``data``, where a record
    breaks the format.
    """
    position, record, line = start, 1, 1
    while position < len(data):
        try:
            found = _scan_record(data, position, dialect, final=final)
        except _Broken as broken:
            line += _line_count(data, position, broken.at)
            detail = broken.detail
            raise RecordError(detail, record=record, line=line, offset=broken.at, reason=broken.reason) from None
        yield found
        line += _line_count(data, found.start, found.end)
        record += bool(found.fields)
        position = found.end


class _Broken(Exception):  # noqa: N818 -- turned into a RecordError where record and line are known
    def __init__(self, at: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.at, self.reason, self.detail = at, reason, detail


def _line_count(data: bytes, start: int, end: int) -> int:
    """Return how many lines end in ``data[start:end]``: at LF, CR LF or CR."""
    return data.count(b"\n", start, end) + data.count(b"\r", start, end) - data.count(b"\r\n", start, end)


def _scan_record(data: bytes, start: int, dialect: Dialect, *, final: bool) -> ScannedRecord:
    delimiter = dialect.delimiter.encode()
    fields: list[bytes] = []
    quoted: list[bool] = []
    position = start
    while True:
        value, was_quoted, position = _scan_field(data, position, dialect, final=final)
        fields.append(value)
        quoted.append(was_quoted)
        if data[position : position + 1] != delimiter:
            break
        position += 1
    blank = fields == [b""] and not quoted[0]
    end = _line_end(data, position, final=final)
    return ScannedRecord(() if blank else tuple(fields), () if blank else tuple(quoted), start, end)


def _line_end(data: bytes, position: int, *, final: bool) -> int:
    """Return where the next record begins, given that a line ends at ``position``."""
    at_end = position + 1 >= len(data)
    if at_end and not final and data[position:] != b"\n":
        raise Unfinished
    return position + (2 if data[position : position + 2] == b"\r\n" else 1 if position < len(data) else 0)


def _scan_field(data: bytes, start: int, dialect: Dialect, *, final: bool) -> tuple[bytes, bool, int]:
    """Return (value, whether it is quoted, where it ends: at a delimiter, a line end or the end of the data)."""
    quote = (dialect.quote_char or "").encode()
    plain, quoted = _patterns(dialect.delimiter.encode(), quote)
    if quote and data.startswith(quote, start):
        return _scan_quoted(data, start, quote, quoted, dialect, final=final)
    match = plain.match(data, start)
    end = match.end() if match else start
    if quote and data.startswith(quote, end):
        raise _Broken(end, "quote", "a quote inside an unquoted field; expected a delimiter or a line end")
    return data[start:end], False, end


def _scan_quoted(
    data: bytes, start: int, quote: bytes, pattern: re.Pattern[bytes], dialect: Dialect, *, final: bool
) -> tuple[bytes, bool, int]:
    match = pattern.match(data, start)
    if match is None or (match.end() == len(data) and not final):
        if not final:
            raise Unfinished
        raise _Broken(start, "quote", NEVER_ENDS)
    end = match.end()
    following = data[end : end + 1]
    if following not in (b"", b"\r", b"\n", dialect.delimiter.encode()):
        raise _Broken(end, "quote", "text after a closing quote; expected a delimiter or a line end")
    return match[1].replace(quote * 2, quote), True, end


def columns_of(records: Sequence[ScannedRecord], width: int, dialect: Dialect) -> list[list[str | None]]:
    """Return the records' values as ``width`` columns: None where an unquoted field is one of the null values.

    A record without fields (a blank line) is one null field. Raises FieldCountError for a record of another width and
    RecordError for one that is not valid UTF-8; ``record`` counts from 1, ``line`` is left at 0 for the caller.
    """
    nulls = frozenset(value.encode() for value in dialect.null_values)
    rows = []
    for number, record in enumerate(records, start=1):
        fields = record.fields or (b"",)
        if len(fields) != width:
            detail = f"{len(fields)} fields, header has {width}"
            length = record.end - record.start
            raise FieldCountError(detail, record=number, line=0, offset=record.start, length=length)
        rows.append(_values(fields, record, number, nulls))
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _values(fields: Sequence[bytes], record: ScannedRecord, number: int, nulls: frozenset[bytes]) -> list[str | None]:
    flags = record.quoted or (False,)
    try:
        return [
            None if not was_quoted and value in nulls else value.decode()
            for value, was_quoted in zip(fields, flags, strict=True)
        ]
    except UnicodeDecodeError as error:
        detail = f"not valid UTF-8: {error.reason}"
        length = record.end - record.start
        raise RecordError(
            detail, record=number, line=0, offset=record.start, length=length, reason="encoding"
        ) from error

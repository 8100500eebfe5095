"""The careful scanner: RFC 4180 to the letter, one record at a time.

It reads what the fast path may not touch, and says what is wrong where Arrow only says that something is. A record ends
at LF, CR LF or CR. A quote may only open a field, close it, or be doubled inside it. Where the dialect has an escape
character, it acts inside quotes only, and what follows it is literal.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csv_transcode.decode.dialect import Dialect

NEVER_ENDS: Final = "a quoted field begins here and never ends"
BARE_QUOTE: Final = "a quote inside an unquoted field; expected a delimiter or a line end"
TEXT_AFTER_QUOTE: Final = "text after a closing quote; expected a delimiter or a line end"


class ScannedRecord(Struct, frozen=True):
    """One record: ``fields`` as raw bytes, unquoted and undoubled; ``quoted`` whether each was quoted.

    It stands at ``data[start:end]``, line end included; a blank line has no fields.
    """

    fields: tuple[bytes, ...]
    quoted: tuple[bool, ...]
    start: int
    end: int


class Unfinished(Exception):  # noqa: N818 -- not an error: the caller has more data
    """The data ends inside a record that more data may finish."""


class Broken(Exception):  # noqa: N818 -- what becomes of the record is for the caller to say
    """The record breaks the format at byte ``at`` of the data; ``detail`` says what was found, and expected."""

    def __init__(self, at: int, detail: str) -> None:
        super().__init__(detail)
        self.at, self.detail = at, detail


class _Syntax(Struct, frozen=True):
    """A dialect as bytes and patterns."""

    delimiter: bytes
    quote: bytes
    plain: re.Pattern[bytes]
    quoted: re.Pattern[bytes]
    literal: re.Pattern[bytes] | None  # what an escape character or a doubled quote stands for

    def value(self, raw: bytes) -> bytes:
        """Return the text between the quotes as it is meant."""
        if self.literal is None:
            return raw.replace(self.quote * 2, self.quote)
        return self.literal.sub(rb"\1", raw)


@lru_cache(maxsize=8)
def _syntax(delimiter: str, quote_char: str | None, escape_char: str | None) -> _Syntax:
    quote = (quote_char or "").encode()
    escape = (escape_char or "").encode() if escape_char != quote_char else b""
    q, e = re.escape(quote), re.escape(escape)
    plain = re.compile(rb"[^\r\n" + re.escape(delimiter.encode() + quote) + rb"]*+")
    if not quote:
        return _Syntax(delimiter.encode(), quote, plain, plain, None)
    inside = rb"[^" + q + e + rb"]*+"
    special = q + q + (rb"|" + e + rb"." if escape else b"")
    quoted = re.compile(q + rb"(" + inside + rb"(?:(?:" + special + rb")" + inside + rb")*+)" + q, re.DOTALL)
    literal = re.compile(rb"(?:" + e + rb"|" + q + rb"(?=" + q + rb"))(.)", re.DOTALL) if escape else None
    return _Syntax(delimiter.encode(), quote, plain, quoted, literal)


def scan(data: bytes, start: int, dialect: Dialect, *, final: bool) -> Iterator[ScannedRecord]:
    """Yield the records of ``data`` from ``start``, blank lines included; raises as ``scan_record`` does."""
    position = start
    while position < len(data):
        found = scan_record(data, position, dialect, stop=len(data), final=final)
        yield found
        position = found.end


def scan_record(data: bytes, start: int, dialect: Dialect, *, stop: int, final: bool) -> ScannedRecord:
    """Return the record of ``data[:stop]`` that begins at ``start``, which is not the end.

    Raises Unfinished where the data ends inside it (or at a CR that an LF may follow) and ``final`` is False; Broken
    where it breaks the format.
    """
    syntax = _syntax(dialect.delimiter, dialect.quote_char, dialect.escape_char)
    fields: list[bytes] = []
    quoted: list[bool] = []
    position = start
    while True:
        value, was_quoted, position = _scan_field(data, position, stop, syntax, final=final)
        fields.append(value)
        quoted.append(was_quoted)
        if position >= stop or data[position : position + 1] != syntax.delimiter:
            break
        position += 1
    blank = fields == [b""] and not quoted[0]
    end = _line_end(data, position, stop, final=final)
    return ScannedRecord(() if blank else tuple(fields), () if blank else tuple(quoted), start, end)


def _line_end(data: bytes, position: int, stop: int, *, final: bool) -> int:
    """Return where the next record begins, given that a line ends at ``position``."""
    at_end = position + 1 >= stop
    if at_end and not final and data[position:stop] != b"\n":
        raise Unfinished
    return min(position + (2 if data[position : position + 2] == b"\r\n" else 1), stop)


def _scan_field(data: bytes, start: int, stop: int, syntax: _Syntax, *, final: bool) -> tuple[bytes, bool, int]:
    """Return (value, whether it is quoted, where it ends: at a delimiter, a line end or the end of the data)."""
    quote = syntax.quote
    if quote and start < stop and data.startswith(quote, start):
        return _scan_quoted(data, start, stop, syntax, final=final)
    match = syntax.plain.match(data, start, stop)
    end = match.end() if match else start
    if quote and end < stop and data.startswith(quote, end):
        raise Broken(end, BARE_QUOTE)
    return data[start:end], False, end


def _scan_quoted(data: bytes, start: int, stop: int, syntax: _Syntax, *, final: bool) -> tuple[bytes, bool, int]:
    match = syntax.quoted.match(data, start, stop)
    if match is None or (match.end() == stop and not final):
        if not final:
            raise Unfinished
        raise Broken(start, NEVER_ENDS)
    end = match.end()
    following = data[end : min(end + 1, stop)]
    if following not in (b"", b"\r", b"\n", syntax.delimiter):
        raise Broken(end, TEXT_AFTER_QUOTE)
    return syntax.value(match[1]), True, end

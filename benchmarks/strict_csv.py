"""What a CSV text says: RFC 4180 to the letter, with a dialect; shares nothing with the program that is judged by it.

A field is bare (no quote, delimiter or line end in it) or quoted (inside, a quote is doubled, or escaped if the dialect
has an escape character), and a delimiter, a line end or the end of the text follows. Where that does not hold, the
line on which the record begins is malformed, and reading goes on behind it. Records end at LF, CR LF or CR; lines
without a character are no records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")


@dataclass(frozen=True)
class Dialect:
    """How a text is written; ``header`` says whether its first record names the columns."""

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    line_end: str = "\n"
    header: bool = True


@dataclass(frozen=True)
class Record:
    """One record: the line it begins on (from 1), its bytes, line end included, and its fields; None if malformed."""

    line: int
    raw: bytes
    fields: tuple[str, ...] | None


@dataclass(frozen=True)
class Truth:
    """The records of one text, the header apart, and malformed where their number of fields is not the header's."""

    header: tuple[str, ...] | None
    records: tuple[Record, ...]

    @cached_property
    def columns(self) -> list[list[str]]:
        """Return the cells of the well-formed records, a list a column."""
        rows = [record.fields for record in self.records if record.fields is not None]
        return [list(column) for column in zip(*rows, strict=True)]

    @cached_property
    def malformed(self) -> dict[int, bytes]:
        """Return the malformed records: line → bytes."""
        return {record.line: record.raw for record in self.records if record.fields is None}


def read(text: str, dialect: Dialect) -> Truth:
    """Return what ``text`` says; its first well-formed record is the header, or of the header's width."""
    records = list(_records(text, dialect))
    first = next((record for record in records if record.fields is not None), None)
    width = len(first.fields) if first and first.fields else 0
    header = first.fields if first and dialect.header else None
    judged = [
        replace(record, fields=record.fields if record.fields and len(record.fields) == width else None)
        for record in records
        if record is not first or not dialect.header
    ]
    return Truth(header, tuple(judged))


def _records(text: str, dialect: Dialect) -> Iterator[Record]:
    grammar = _Grammar.of(dialect)
    position, line = 0, 1
    while position < len(text):
        fields, end = grammar.record(text, position)
        raw = text[position:end]
        if raw.strip("\r\n"):
            yield Record(line, raw.encode(), fields)
        line += len(_LINE_END.findall(raw))
        position = end


@dataclass(frozen=True)
class _Grammar:
    """RFC 4180's ``field``, and what may follow one, as expressions without backtracking."""

    quoted: re.Pattern[str]
    bare: re.Pattern[str]
    behind: re.Pattern[str]
    pairs: re.Pattern[str]
    delimiter: str

    @classmethod
    def of(cls, dialect: Dialect) -> _Grammar:
        quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
        escape = re.escape(dialect.escape) if dialect.escape else None
        plain = f"[^{quote}{escape or ''}]"
        pair = f"{quote}{quote}" + (f"|{escape}." if escape else "")
        return cls(
            quoted=re.compile(f"{quote}((?:{plain}++|{pair})*+){quote}", re.DOTALL),
            bare=re.compile(rf"(?:(?!{delimiter})[^{quote}\r\n])*+"),
            behind=re.compile(rf"{delimiter}|\r\n|\n|\r|\Z"),
            pairs=re.compile(pair, re.DOTALL),
            delimiter=dialect.delimiter,
        )

    def record(self, text: str, start: int) -> tuple[tuple[str, ...] | None, int]:
        """Return the record at ``start``, or None if it is malformed, and where the next one begins."""
        fields: list[str] = []
        position = start
        while True:
            if quoted := self.quoted.match(text, position):
                fields.append(self.pairs.sub(lambda pair: pair[0][1:], quoted[1]))
            field = quoted or self.bare.match(text, position)
            behind = self.behind.match(text, field.end()) if field else None
            if not field or not behind:
                return None, _end_of_line(text, start)
            if not quoted:
                fields.append(field[0])
            position = behind.end()
            if behind[0] != self.delimiter:
                return tuple(fields), position


def _end_of_line(text: str, start: int) -> int:
    line = _LINE.match(text, start)
    return line.end() if line else len(text)

"""Blocks → columns of strings, by Arrow's CSV parser: of a plain block as it stands, of another what is good in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from msgspec import Struct

from csv_transcode.decode import strict
from csv_transcode.decode.arrays import string_array
from csv_transcode.decode.plain import UTF8_MARK
from csv_transcode.decode.sift import sift
from csv_transcode.errors import ConservationError

if TYPE_CHECKING:
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.sift import Block, Sifted

PARSE_BYTES: Final = 1 << 20  # Arrow's own pieces: in cache, parse and cast took a quarter less than with 8 MB ones


class ParsedBlock(Struct, frozen=True):
    """A block's good records as one string column a field; ``sifted`` is None where all of its records are good."""

    table: pa.Table
    sifted: Sifted | None = None

    @property
    def count(self) -> int:
        """The block's records, good or not."""
        return self.sifted.count if self.sifted else self.table.num_rows


class BlockParser:
    """Parses blocks of records of ``width`` fields; holds Arrow's options, which are the same for the whole file."""

    def __init__(self, dialect: Dialect, width: int, piece_bytes: int = PARSE_BYTES) -> None:
        self._dialect = dialect
        self._piece_bytes = piece_bytes
        self._width = width
        self._names = [str(index) for index in range(width)]
        self.schema = pa.schema([(name, pa.string()) for name in self._names])
        self._null_values = list(dialect.null_values)
        self._checked, self._unchecked = self._options(check_utf8=True), self._options(check_utf8=False)

    def _options(self, *, check_utf8: bool) -> pa_csv.ConvertOptions:
        return pa_csv.ConvertOptions(
            check_utf8=check_utf8,
            column_types=self.schema,
            null_values=self._null_values,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )

    def parse(self, block: Block) -> ParsedBlock:
        """Return the block's good records; ConservationError where they are not as many as were counted."""
        if block.is_plain:
            # ASCII is UTF-8: seen by one look at all bytes, which spares Arrow's look at every cell, a fifth of it all.
            parsed = self._read(block.data, quoted=block.quoted, checked=not block.data.isascii())
            if parsed is not None:
                return ParsedBlock(parsed)
        # Not plain; or a record is longer than Arrow's pieces, ragged, or not UTF-8. Arrow's own error says which, but
        # quotes it, and is not even kept as context: no log may.
        sifted = sift(block, self._dialect, self._width)
        table = self._read_clean(sifted, quoted=block.quoted)
        if table.num_rows != len(sifted.numbers):
            message = f"{len(sifted.numbers)} good records from line {block.line} on, {table.num_rows} of them parsed"
            raise ConservationError(message)
        return ParsedBlock(table, sifted)

    def _read_clean(self, sifted: Sifted, *, quoted: bool) -> pa.Table:
        clean = sifted.clean
        longest = int(np.max(sifted.ends - sifted.starts, initial=0))
        parsed = None
        if not clean.startswith(UTF8_MARK):
            pieces = self._piece_bytes if 2 * longest < self._piece_bytes else len(clean) + 1
            parsed = self._read(clean, quoted=quoted, checked=False, pieces=pieces)
        elif self._width > 1:  # Arrow takes the mark away from the very beginning, so that is a blank line
            parsed = self._read(b"\n" + clean, quoted=quoted, checked=False, pieces=len(clean) + 2)
        return self._scanned(clean) if parsed is None else parsed

    def _read(self, data: bytes, *, quoted: bool, checked: bool, pieces: int | None = None) -> pa.Table | None:
        """Return what Arrow reads, or None where it refuses; ``checked`` has it look for bytes that are not UTF-8."""
        if not data or (self._width > 1 and not data.strip(b"\r\n")):
            # Arrow refuses a block without records; and empty_table imports pandas.
            return pa.Table.from_arrays([string_array(())] * self._width, schema=self.schema)
        block_size = pieces or self._piece_bytes
        if quoted and _tears_a_line_end(data, block_size):
            block_size = len(data) + 1
        read = pa_csv.ReadOptions(use_threads=False, block_size=block_size, column_names=self._names)
        parse = pa_csv.ParseOptions(
            delimiter=self._dialect.delimiter,
            quote_char=self._dialect.quote_char if quoted and self._dialect.quote_char else False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=quoted,
            ignore_empty_lines=self._width > 1,
        )
        convert = self._checked if checked else self._unchecked
        try:
            return pa_csv.read_csv(pa.BufferReader(_ended(data)), read, parse, convert)  # type: ignore[arg-type]
        except pa.ArrowInvalid:
            return None

    def _scanned(self, clean: bytes) -> pa.Table:
        """Return good records as the scanner reads them, one by one: where Arrow will not."""
        nulls = frozenset(value.encode() for value in self._dialect.null_values)
        rows = []
        for record in strict.scan(clean, 0, self._plain_dialect, final=True):
            fields, quoted = record.fields or (b"",), record.quoted or (False,)
            rows.append(
                [
                    None if not was_quoted and value in nulls else value.decode()
                    for value, was_quoted in zip(fields, quoted, strict=True)
                ]
            )
        columns = list(zip(*rows, strict=True)) or [()] * self._width
        return pa.Table.from_arrays([string_array(column) for column in columns], schema=self.schema)

    @property
    def _plain_dialect(self) -> Dialect:
        return self._dialect.without_escapes()


def _tears_a_line_end(data: bytes, piece_bytes: int) -> bool:
    """Whether a CR LF, perhaps inside quotes, is cut in two where Arrow reads the data in pieces of ``piece_bytes``.

    Arrow drops an LF at the start of a piece behind one that ends in CR, also where the two belong to a value.
    """
    return any(data[end - 1 : end + 1] == b"\r\n" for end in range(piece_bytes, len(data), piece_bytes))


def _ended(data: bytes) -> bytes:
    """Return whole records with a line end behind the last one, too.

    Without it Arrow takes an empty field at the very end for a quoted one where the field before it is quoted.
    """
    return data if data.endswith(b"\n") else data + b"\n"

"""Plain blocks → columns of strings, by Arrow's CSV parser; everything else by the strict scanner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from csv_transcode.decode import strict
from csv_transcode.decode.arrays import string_array
from csv_transcode.decode.records import line_count
from csv_transcode.errors import RecordError

if TYPE_CHECKING:
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.records import Block

PARSE_BYTES: Final = 1 << 20  # Arrow's own pieces: in cache, parse and cast took a quarter less than with 8 MB ones


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

    def parse(self, block: Block) -> pa.Table:
        """Return the block's records as one string column a field.

        Raises RecordError for the first that breaks the format, with ``record`` counted from the block's start.
        """
        parsed = self._parse_plain(block) if block.plain else None
        # Not plain; or a record longer than Arrow's pieces, or one that breaks the format: the scanner knows which, and
        # where. Arrow's own error is not even its context: it quotes the record, and no log may.
        return self._parse_strictly(block) if parsed is None else parsed

    def _parse_plain(self, block: Block) -> pa.Table | None:
        pieces = self._piece_bytes if not _tears_a_line_end(block, self._piece_bytes) else len(block.data) + 1
        read = pa_csv.ReadOptions(use_threads=False, block_size=pieces, column_names=self._names)
        parse = pa_csv.ParseOptions(
            delimiter=self._dialect.delimiter,
            quote_char=self._dialect.quote_char if block.quoted and self._dialect.quote_char else False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=block.quoted,
            ignore_empty_lines=self._width > 1,
        )
        if self._width > 1 and not block.data.strip(b"\r\n"):
            return self.schema.empty_table()  # Arrow refuses a block without records
        # ASCII is UTF-8: seen by one look at all bytes, which spares Arrow's look at every cell, a fifth of the parse.
        convert = self._unchecked if block.data.isascii() else self._checked
        try:
            return pa_csv.read_csv(pa.BufferReader(_ended(block.data)), read, parse, convert)  # type: ignore[arg-type]
        except pa.ArrowInvalid:
            return None

    def _parse_strictly(self, block: Block) -> pa.Table:
        records, broken = self._scan(block)
        try:
            columns = strict.columns_of(records, self._width, self._dialect)
        except RecordError as error:
            raise _placed(error, block) from error
        if broken is not None:
            raise _placed(broken, block) from broken
        return pa.Table.from_arrays([string_array(column) for column in columns], schema=self.schema)

    def _scan(self, block: Block) -> tuple[list[strict.ScannedRecord], RecordError | None]:
        """Return the records up to the first whose quotes are broken, and what is said of that one."""
        records: list[strict.ScannedRecord] = []
        try:
            for record in strict.scan(block.data, 0, self._dialect, final=True):
                if record.fields or self._width == 1:
                    records.append(record)  # noqa: PERF401 -- what comes before an error is kept
        except RecordError as error:
            return records, error
        return records, None


def _tears_a_line_end(block: Block, piece_bytes: int) -> bool:
    """Whether a CR LF, perhaps inside quotes, is cut in two where Arrow reads the block in pieces of ``piece_bytes``.

    Arrow drops an LF at the start of a piece behind one that ends in CR, also where the two belong to a value.
    """
    ends = range(piece_bytes, len(block.data), piece_bytes)
    return block.quoted and any(block.data[end - 1 : end + 1] == b"\r\n" for end in ends)


def _ended(data: bytes) -> bytes:
    """Return whole records with a line end behind the last one, too.

    Without it Arrow takes an empty field at the very end for a quoted one where the field before it is quoted.
    """
    return data if data.endswith(b"\n") else data + b"\n"


def _placed(error: RecordError, block: Block) -> RecordError:
    """Return the same error with its line and byte in the file instead of in the block."""
    line = block.line + line_count(block.data[: error.offset])
    return type(error)(
        error.detail,
        record=error.record,
        line=line,
        offset=block.offset + error.offset,
        length=error.length,
        reason=error.reason,
    )

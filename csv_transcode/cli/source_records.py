"""The records of a source as its manifest reads them: the rejected ones cut out, the others as strings, two ways.

The product's own decoder says which cells are null and which are the empty text. Python's csv module reads the same
bytes once more, and has to find the same cells; only where the dialect has an escape character, which it takes for more
than the contract does, the first stands alone.
"""

from __future__ import annotations

import csv
import io
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from csv_transcode.cli.listed_rejects import MismatchError
from csv_transcode.decode import compression, encoding, strict
from csv_transcode.decode.dialect import column_names
from csv_transcode.decode.encoding import UTF8, Encoding
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.plain import LINE_ENDS
from csv_transcode.decode.reader import Head, Reading
from csv_transcode.decode.records import Cuts
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.settings import RECORD_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from csv_transcode.decode.compression import DecompressionLimits
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.records import Stripe

MARK_BYTES: Final = 4
BATCH_CELLS: Final = 200_000  # compared at a time, some of them as Python objects
BATCH_RECORDS: Final = 20_000


def text_of(chunks: Iterable[bytes], dialect: Dialect, limits: DecompressionLimits) -> Iterator[bytes]:
    """Return the source's text in UTF-8; MismatchError where its compression is not the dialect's."""
    found, unpacked = compression.decompressed(chunks, limits)
    if found != dialect.compression:
        message = f"the source's compression is {found or 'none'}, and was {dialect.compression or 'none'}"
        raise MismatchError(message)
    first = b""
    for chunk in unpacked:
        first += chunk
        if len(first) >= MARK_BYTES:
            break
    marked = encoding.detect(first, whole=False, given=dialect.encoding)
    return encoding.to_utf8(chain([first], unpacked), Encoding(dialect.encoding, marked.mark_bytes))


class SourceRecords:
    """The records of a text without rejects, under ``names``; it is read once."""

    def __init__(
        self, text: Iterator[bytes], dialect: Dialect, names: Sequence[str], limits: DecompressionLimits
    ) -> None:
        self._dialect = dialect
        self.header: tuple[str, ...] = ()  # as the source has it, once the first batch has been read
        self._names = list(names)
        reading = Reading(null_values=dialect.null_values, limits=limits, cuts=Cuts(record_bytes_max=RECORD_BYTES_MAX))
        self._decoder = StripeDecoder(self._names, dialect, TypeRules(strings_only=True))
        records = _from_first_record(text) if dialect.header else text
        self._head = Head(dialect, Encoding(UTF8), (), tuple(names), 0, 1, records, reading)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records as strings, null where a cell is; MismatchError where they are not what they should be."""
        rows_max = max(1, min(BATCH_RECORDS, BATCH_CELLS // len(self._names)))
        is_first = self._dialect.header
        for stripe in self._head.stripes(self._decoder):
            strings = self._strings(stripe)
            if is_first and strings.num_rows:
                self._require_header(stripe)
                strings, is_first = strings.slice(1), False
            for start in range(0, strings.num_rows, rows_max):
                yield strings.slice(start, rows_max)

    def _strings(self, stripe: Stripe) -> pa.RecordBatch:
        parsed = self._decoder.parse(stripe)
        for reject in parsed.rejects:
            message = f"a record that the rejects do not name cannot be read: {reject.reason}, {reject.detail}"
            raise MismatchError(message)
        strings = parsed.strings
        if self._dialect.escape_char is None:
            self._require_same(b"".join(block.data for block in stripe.blocks), strings)
        return strings

    def _require_header(self, stripe: Stripe) -> None:
        data = b"".join(block.data for block in stripe.blocks)
        header = next(record for record in strict.scan(data, 0, self._dialect, final=True) if record.fields)
        self.header = tuple(field.decode() for field in header.fields)
        found = column_names(self.header)
        if found != self._names:
            message = f"the header says {_shortened(found)}, the columns are {_shortened(self._names)}"
            raise MismatchError(message)

    def _require_same(self, data: bytes, strings: pa.RecordBatch) -> None:
        """Hold what the decoder read against what the csv module reads in the same bytes."""
        rows = self._csv_rows(data, strings.num_rows)
        if len(rows) != strings.num_rows:
            message = f"Python's csv module reads {len(rows)} records where the decoder reads {strings.num_rows}"
            raise MismatchError(message)
        nulls = pa.array(list(self._dialect.null_values), pa.string())
        for name, cells, column in zip(self._names, zip(*rows, strict=True), strings.columns, strict=False):
            texts = pa.array(cells, pa.string())
            same = pc.if_else(column.is_null(), pc.is_in(texts, nulls), pc.equal(texts, column))
            if not pc.all(same, min_count=0).as_py():
                message = f"column {name!r}: Python's csv module reads other cells than the decoder"
                raise MismatchError(message)

    def _csv_rows(self, data: bytes, count: int) -> list[list[str]]:
        dialect = self._dialect
        options: dict[str, Any] = (
            {"quotechar": dialect.quote_char} if dialect.quote_char else {"quoting": csv.QUOTE_NONE}
        )
        csv.field_size_limit(RECORD_BYTES_MAX)
        lines = io.StringIO(data.decode(), newline="")
        try:
            rows = list(csv.reader(lines, delimiter=dialect.delimiter, strict=True, **options))
        except csv.Error as error:
            message = f"Python's csv module cannot read what the decoder does: {error}"
            raise MismatchError(message) from None
        if len(self._names) > 1:
            rows = [row for row in rows if row]  # a blank line is no record
        else:
            rows = [row or [""] for row in rows]  # but in one column an empty value,
            while len(rows) > count and rows[-1] == [""]:  # unless it stands behind the last record
                rows.pop()
        if odd := next((row for row in rows if len(row) != len(self._names)), None):
            message = f"Python's csv module reads {len(odd)} fields in a record, the columns are {len(self._names)}"
            raise MismatchError(message)
        return rows


def _from_first_record(text: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the text from its first line on that is not blank."""
    for chunk in text:
        begun = chunk.lstrip(LINE_ENDS)
        if begun:
            yield begun
            break
    yield from text


def _shortened(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")

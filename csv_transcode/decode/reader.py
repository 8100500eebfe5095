"""A source's chunks → dialect and header → stripes → typed record batches.

head = read_head(chunks, …)                 once: what the file is, and its columns' names
for stripe in head.stripes():               in order, one thread
    strings = decoder.parse(stripe)         any thread
    evidence = decoder.observe(strings, …)  any thread
    batch = decoder.cast(…)                 any thread
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from csv_transcode.decode import casts, compression, encoding, inference, strict
from csv_transcode.decode.arrow_csv import BlockParser
from csv_transcode.decode.dialect import column_names, require_convincing
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.records import Cuts, RecordCutter, line_count
from csv_transcode.decode.texts import Texts
from csv_transcode.errors import EncodingError, LimitError, RecordError, ValueTypeError
from csv_transcode.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.inference import Observation, TypeRules
    from csv_transcode.decode.records import Stripe
    from csv_transcode.schema import ColumnType

MAGIC_BYTES_MAX = max(compression.MAGIC_BYTES_MAX, encoding.MARK_BYTES_MAX)


@dataclass(frozen=True)
class Head:
    """What a file's first bytes say: dialect, header, column names, and where its records begin.

    ``header`` holds the names as the file has them (empty where it has no header), ``names`` those of the columns.
    ``records`` are the chunks from there on (to be read once); ``line`` is that of the first record.
    """

    dialect: Dialect
    header: tuple[str, ...]
    names: tuple[str, ...]
    offset: int
    line: int
    records: Iterable[bytes]
    cuts: Cuts

    def stripes(self) -> Iterator[Stripe]:
        """Yield the file's stripes, in order, once."""
        cutter = RecordCutter(
            self.records, self.dialect, self.cuts, width=len(self.names), offset=self.offset, line=self.line
        )
        return cutter.stripes()


def read_head(chunks: Iterable[bytes], dialect: Dialect, cuts: Cuts, *, columns_max: int) -> Head | None:
    """Return the head of the source that ``chunks`` hold in order; None where it holds nothing but line ends.

    Raises CompressionError, EncodingError, DialectError, RecordError or LimitError where it cannot be read.
    """
    remaining = iter(chunks)
    buffer = _at_least(b"", remaining, MAGIC_BYTES_MAX)
    compression.require_uncompressed(buffer)
    buffer = buffer[encoding.utf8_mark_bytes(buffer) :]
    first, buffer = _first_record(buffer, remaining, dialect, cuts)
    if first is None:
        return None
    header = _header(first, buffer)
    require_convincing(header, dialect)
    if len(header) > columns_max:
        message = f"the header has {len(header)} columns, MAX_COLUMNS={columns_max} allows no more than that"
        raise LimitError(message)
    start = first.end if dialect.header else 0  # blank lines before it may be empty values
    header = header if dialect.header else [""] * len(header)
    names = column_names(header)
    line = 1 + line_count(buffer[:start])
    return Head(dialect, tuple(header), tuple(names), start, line, itertools.chain([buffer[start:]], remaining), cuts)


def _at_least(buffer: bytes, chunks: Iterator[bytes], wanted: int) -> bytes:
    """Return ``buffer`` with as many chunks behind it as it takes to hold ``wanted`` bytes, or all there are."""
    pieces, held = [buffer], len(buffer)
    while held < wanted:
        piece = next(chunks, None)
        if piece is None:
            break
        pieces.append(piece)
        held += len(piece)
    return b"".join(pieces)


def _first_record(
    buffer: bytes, chunks: Iterator[bytes], dialect: Dialect, cuts: Cuts
) -> tuple[strict.ScannedRecord | None, bytes]:
    """Return the first record that is not blank (None where there is none), and the buffer that holds it."""
    final = False
    while True:
        try:
            first = next((record for record in strict.scan(buffer, 0, dialect, final=final) if record.fields), None)
        except strict.Unfinished:
            first = None
        except RecordError as error:
            encoding.require_no_nul(buffer[: error.offset], 0)
            raise error.counted_from(-1 if dialect.header else 0) from error
        # No further: what stands behind the first record is found in its turn, however much has arrived.
        encoding.require_no_nul(buffer if first is None else buffer[: first.end], 0)
        if first is not None or final:
            _require_short(0 if first is None else first.end - first.start, cuts)
            return first, buffer
        _require_short(len(buffer), cuts)
        longer = _at_least(buffer, chunks, 2 * len(buffer) + 1)
        final = len(longer) <= 2 * len(buffer)
        buffer = longer


def _require_short(length: int, cuts: Cuts) -> None:
    if length > cuts.record_bytes_max:
        message = (
            f"the first record has {length} bytes or more, MAX_RECORD_BYTES={cuts.record_bytes_max} allows no more"
        )
        raise LimitError(message)


def _header(first: strict.ScannedRecord, buffer: bytes) -> list[str]:
    try:
        return [field.decode() for field in first.fields]
    except UnicodeDecodeError as error:
        line = 1 + line_count(buffer[: first.start])
        message = f"line {line} (the header) is not valid UTF-8: {error.reason}; other encodings are not supported yet"
        raise EncodingError(message) from error


@dataclass(frozen=True)
class Observed:
    """One stripe's strings, and what they show: per column its non-empty values and the observation."""

    strings: pa.RecordBatch
    texts: tuple[Texts, ...]
    observations: tuple[Observation, ...]

    @property
    def evidence(self) -> tuple[ColumnEvidence, ...]:
        """What each column shows."""
        return tuple(observation.evidence for observation in self.observations)


class StripeDecoder:
    """Stripes → typed record batches, by the rules of one file; holds no state of the file's, so any thread may ask."""

    def __init__(self, names: Sequence[str], dialect: Dialect, rules: TypeRules) -> None:
        self.names = tuple(names)
        self._rules = rules
        self._dialect = dialect
        self._parser = BlockParser(dialect, len(names))

    def parse(self, stripe: Stripe) -> pa.RecordBatch:
        """Return the stripe's records as strings; raises RecordError, ``record`` counted from the stripe's start."""
        tables = []
        records = 0
        for block in stripe.blocks:
            try:
                tables.append(self._parser.parse(block))
            except RecordError as error:
                raise error.counted_from(records) from error
            records += tables[-1].num_rows
        return _one_batch(pa.concat_tables(tables))

    def observe(self, strings: pa.RecordBatch, known: Sequence[ColumnEvidence]) -> Observed:
        """Return what the strings show, ``known`` being what earlier records of the file have shown.

        Raises ValueTypeError (``record`` from the batch's start) where a value does not fit a type that is given.
        """
        texts = tuple(Texts.of(column) for column in strings.columns)
        observations = []
        for name, column_texts, column_known in zip(self.names, texts, known, strict=True):
            fixed = self._rules.fixed(name)
            if fixed is None:
                observations.append(inference.observe(column_texts, column_known, self._rules))
            else:
                _require_fit(name, column_texts, fixed, self._rules)
                observations.append(inference.Observation(ColumnEvidence()))
        return Observed(strings, texts, tuple(observations))

    def unobserved(self, strings: pa.RecordBatch) -> Observed:
        """Return the strings for a cast alone, where the types are known already."""
        texts = tuple(Texts.of(column) for column in strings.columns)
        return Observed(strings, texts, (inference.Observation(ColumnEvidence()),) * len(texts))

    def place(self, error: RecordError, stripe: Stripe) -> RecordError:
        """Return ``error`` with line, byte and length of its record, which counts from the start of ``stripe``."""
        record = error.record
        for block in stripe.blocks:
            for scanned in strict.scan(block.data, 0, self._dialect, final=True):
                record -= bool(scanned.fields) or len(self.names) == 1
                if record == 0:
                    line = block.line + line_count(block.data[: scanned.start])
                    length = scanned.end - scanned.start
                    offset = block.offset + scanned.start
                    return type(error)(error.detail, record=error.record, line=line, offset=offset, length=length)
        return error

    def cast(self, observed: Observed, types: Sequence[ColumnType]) -> pa.RecordBatch | None:
        """Return the strings as ``types``, or None where a value is not of its column's type at all."""
        columns: list[pa.Array[Any]] = []
        strings = observed.strings.columns
        try:
            for column, texts, seen, kind in zip(strings, observed.texts, observed.observations, types, strict=True):
                columns.append(casts.to_type(column, texts, kind, seen.cast))
        except pa.ArrowInvalid:
            return None
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow_schema(types))

    def arrow_schema(self, types: Sequence[ColumnType]) -> pa.Schema:
        """Return the outputs' schema where the columns have these types."""
        return pa.schema([(name, kind.arrow) for name, kind in zip(self.names, types, strict=True)])

    def decide(self, evidence: Sequence[ColumnEvidence]) -> Schema:
        """Return the schema that ``evidence``, one a column, decides."""
        return Schema(
            tuple(
                inference.decide(name, column, self._rules) for name, column in zip(self.names, evidence, strict=True)
            )
        )


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return the table as one batch: its columns in one piece each."""
    columns = [column.combine_chunks() for column in table.columns]
    arrays = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def _require_fit(name: str, texts: Texts, fixed: ColumnType, rules: TypeRules) -> None:
    record = casts.first_unfit(texts, fixed, rules)
    if record is not None:
        detail = f"the value of column {name!r} does not fit {fixed}, which COLUMN_TYPES gives it"
        raise ValueTypeError(detail, record=record + 1, line=0, offset=0)

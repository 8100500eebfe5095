"""A source's chunks → dialect and header → stripes.

head = read_head(chunks, …)                 once: what the file is, and its columns' names
decoder = StripeDecoder(head.names, …)      once, see stripes.py
for stripe in head.stripes(decoder):        in order, one thread
    …                                       any thread
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from csv_transcode.decode import compression, dialect_detection, encoding, strict
from csv_transcode.decode.compression import DecompressionLimits
from csv_transcode.decode.dialect import column_names
from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.plain import LINE_ENDS, line_count
from csv_transcode.decode.records import Cuts, RecordCutter
from csv_transcode.errors import DialectError, EncodingError, LimitError
from csv_transcode.rejects import PREAMBLE, Reject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.encoding import Encoding
    from csv_transcode.decode.records import Stripe
    from csv_transcode.decode.stripes import StripeDecoder


class Reading(Struct, frozen=True):
    """How sources are to be read: what is given wins over what is found (None is to be found).

    ``columns_room`` is how many columns there is memory for, where that is known.
    """

    given: Given = field(default_factory=Given)
    encoding: str | None = None
    null_values: tuple[str, ...] = ("",)
    decimal_separator: str = "."
    limits: DecompressionLimits = field(default_factory=lambda: DecompressionLimits(1 << 36, 200))
    cuts: Cuts = field(default_factory=Cuts)
    columns_max: int = 10_000
    columns_room: int | None = None
    rejected_ratio_max: float = 0.1


class Head(Struct, frozen=True):
    """What a file's first bytes say: dialect, header, column names, and where its records begin.

    ``header`` holds the names as the file has them (empty where it has no header), ``names`` those of the columns.
    ``records`` are the chunks of UTF-8 from there on (to be read once), ``line`` and ``offset`` where the first record
    begins. ``preamble`` are the lines before the header.
    """

    dialect: Dialect
    encoding: Encoding
    header: tuple[str, ...]
    names: tuple[str, ...]
    offset: int
    line: int
    records: Iterable[bytes]
    reading: Reading
    preamble: tuple[Reject, ...] = ()

    def stripes(self, decoder: StripeDecoder) -> Iterator[Stripe]:
        """Yield the file's stripes, for ``decoder``, in order, once."""
        cutter = RecordCutter(
            self.records,
            self.dialect,
            self.reading.cuts,
            width=len(self.names),
            offset=self.offset,
            line=self.line,
            fits=decoder.fits_alone if decoder.may_reject_one_value else None,
        )
        return cutter.stripes()

    def again(self, chunks: Iterable[bytes]) -> Head:
        """Return the same for another reading of the same source."""
        _, decompressed = compression.decompressed(chunks, self.reading.limits)
        text = encoding.to_utf8(decompressed, self.encoding)
        return replace(self, records=_from_byte(self.offset, text))


def read_head(chunks: Iterable[bytes], reading: Reading) -> Head | None:
    """Return the head of the source that ``chunks`` hold in order; None where it holds nothing but line ends.

    Raises CompressionError, EncodingError, DialectError or LimitError where it cannot be read, also while its records
    are.
    """
    compressed_by, decompressed = compression.decompressed(chunks, reading.limits)
    sample, decompressed, whole = _sampled(decompressed, encoding.SAMPLE_BYTES)
    found = encoding.detect(
        sample,
        whole=whole,
        given=reading.encoding,
        header=reading.given.header is True,
        invalid_lines_most=reading.rejected_ratio_max,
    )
    sample, text, whole = _sampled(encoding.to_utf8(decompressed, found), dialect_detection.SAMPLE_BYTES)
    if whole and not sample.strip(LINE_ENDS):
        return None
    detected = dialect_detection.detect(sample, reading.given, whole=whole)
    dialect = replace(
        detected.dialect,
        compression=compressed_by,
        encoding=found.name,
        null_values=reading.null_values,
        decimal_separator=reading.decimal_separator,
    )
    preamble = tuple(_preamble(sample[: detected.start]))
    first, buffer = _first_record(text, detected.start, dialect, reading.cuts.record_bytes_max)
    header = _header(first, buffer)
    _require_room(len(header), reading)
    start = first.end if dialect.header else detected.start  # blank lines before a record may be empty values
    header = header if dialect.header else [""] * len(header)
    line = 1 + line_count(buffer[:start])
    records = itertools.chain([buffer[start:]], text)
    names = tuple(column_names(header))
    return Head(dialect, found, tuple(header), names, start, line, records, reading, preamble)


def _require_room(columns: int, reading: Reading) -> None:
    if columns > reading.columns_max:
        message = f"the header has {columns} columns, MAX_COLUMNS={reading.columns_max} allows no more than that"
        raise LimitError(message)
    if reading.columns_room is not None and columns > reading.columns_room:
        message = (
            f"the header has {columns} columns, and there is memory for about {reading.columns_room}: raise "
            "MEMORY_BUDGET_MB or the function's memory"
        )
        raise LimitError(message)


def _sampled(chunks: Iterable[bytes], wanted: int) -> tuple[bytes, Iterator[bytes], bool]:
    """Return the first ``wanted`` bytes, or all; the whole stream with them; and whether they are all."""
    remaining = iter(chunks)
    buffer = _at_least(b"", remaining, wanted + 1)
    return buffer[:wanted], itertools.chain([buffer] if buffer else [], remaining), len(buffer) <= wanted


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


def _from_byte(offset: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what stands from byte ``offset`` on."""
    for chunk in chunks:
        if offset < len(chunk):
            yield chunk[offset:]
        offset = max(0, offset - len(chunk))


def _preamble(lines: bytes) -> Iterator[Reject]:
    """Yield the lines before the header, but for blank ones."""
    start = 0
    for number, line in enumerate(lines.splitlines(keepends=True), start=1):  # of bytes: LF, CR LF and CR alone
        if line.strip(LINE_ENDS):
            yield Reject(0, number, start, PREAMBLE, "a line before the header", line)
        start += len(line)


def _first_record(
    chunks: Iterator[bytes], start: int, dialect: Dialect, record_bytes_max: int
) -> tuple[strict.ScannedRecord, bytes]:
    """Return the first record from byte ``start`` on that is not blank, and the buffer that holds it."""
    buffer = _at_least(b"", chunks, start + 1)
    final = False
    while True:
        try:
            first = next((record for record in strict.scan(buffer, start, dialect, final=final) if record.fields), None)
        except strict.Unfinished:
            first = None
        except strict.Broken as broken:
            line = 1 + line_count(buffer[: broken.at])
            message = f"line {line}, byte {broken.at} (the header): {broken.detail}"
            raise DialectError(message) from None
        length = len(buffer) - start if first is None else first.end - first.start
        if length > record_bytes_max:
            message = f"the first record has {length} bytes or more, MAX_RECORD_BYTES={record_bytes_max} allows no more"
            raise LimitError(message)
        if first is not None:
            return first, buffer
        if final:
            message = f"nothing but line ends from byte {start} on, where the header is expected"
            raise DialectError(message)
        longer = _at_least(buffer, chunks, 2 * len(buffer) + 1)
        final = len(longer) <= 2 * len(buffer)
        buffer = longer


def _header(first: strict.ScannedRecord, buffer: bytes) -> list[str]:
    try:
        return [field.decode() for field in first.fields]
    except UnicodeDecodeError as error:
        line = 1 + line_count(buffer[: first.start])
        message = f"line {line} (the header) is not valid UTF-8: {error.reason}; set ENCODING to what the file is in"
        raise EncodingError(message) from error

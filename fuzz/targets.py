"""What is done with any bytes, and what may not come of it.

``records``: cutter, walk, strict scanner, sift and parser, against the naive reader. ``head``: compression, encoding
and dialect of any bytes. ``file``: any bytes through the whole decode. Nothing may be raised but the project's errors.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from csv_transcode.decode import compression, dialect_detection, encoding
from csv_transcode.decode.compression import DecompressionLimits
from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading, read_head
from csv_transcode.decode.records import Cuts, RecordCutter
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.errors import ConservationError, LimitError, TranscodeError
from tests.decode import naive

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS: Final = DecompressionLimits(1 << 22, 200)
DIALECTS: Final = (
    *(Dialect(), Dialect(delimiter=";"), Dialect(delimiter="|", quote_char="'"), Dialect(escape_char="\\")),
    *(Dialect(delimiter="\t", quote_char=None), Dialect(delimiter=";", quote_char="'", escape_char="\\")),
    *(Dialect(delimiter="a"), Dialect(escape_char='"'), Dialect(delimiter="\x01", quote_char="`")),
)
STRIPES: Final = (1 << 20, 7, 64, 500)
BLOCKS: Final = (1 << 20, 1, 5, 40)
CHUNKS: Final = (1 << 20, 1, 2, 13)
RECORDS_MAX: Final = (1000, 1000, 20, 9)
OPTION_BYTES: Final = 3

counts: Counter[str] = Counter()


class WrongError(Exception):
    """What was found is not what the naive reader finds."""


def records(data: bytes) -> None:
    """Compare records and rejects; the first bytes are options."""
    if len(data) <= OPTION_BYTES:
        return
    first, second, third = data[:OPTION_BYTES]
    text = data[OPTION_BYTES:]
    dialect, width = DIALECTS[first % len(DIALECTS)], 1 + first // len(DIALECTS) % 4
    stripe, size = STRIPES[second % 4], CHUNKS[second // 16 % 4]
    limit = RECORDS_MAX[third % 4]
    cuts = Cuts(stripe, min(stripe, BLOCKS[second // 4 % 4]), limit)
    counts[f"dialect {first % len(DIALECTS)}"] += 1
    counts[f"width {width}"] += 1
    known = naive.read(text, dialect, width=width, record_bytes_max=limit)
    try:
        found = _decoded(text, dialect, width, cuts, size)
    except LimitError:
        longest = max(map(len, naive.lines(text)), default=0)
        if longest > 2 * limit or (width == 1 and known.gap > limit):
            counts["beyond limits"] += 1
            return
        raise
    counts["good records"] += len(known.rows)
    counts.update(f"rejected: {one.reason}" for one in known.rejected)
    if found != (known.rows, known.rejected):
        message = f"{dialect} width {width} {cuts} chunks {size}: {text!r}: found {found}, expected {known}"
        raise WrongError(message)


def _decoded(
    text: bytes, dialect: Dialect, width: int, cuts: Cuts, size: int
) -> tuple[list[naive.Row], list[naive.Rejected]]:
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    cutter = RecordCutter(chunks, dialect, cuts, width=width, offset=0, line=1)
    decoder = StripeDecoder([f"c{index}" for index in range(width)], dialect, TypeRules())
    rows: list[naive.Row] = []
    rejected: list[naive.Rejected] = []
    read = 0
    for stripe in cutter.stripes():
        parsed = decoder.parse(stripe)
        rows += [list(row) for row in zip(*(column.to_pylist() for column in parsed.strings.columns), strict=True)]
        rejected += [
            naive.Rejected(one.record + read, one.line, one.offset, one.reason, one.raw) for one in parsed.rejects
        ]
        read += parsed.count
    return rows, rejected


def head(data: bytes) -> None:
    """Find out compression, encoding and dialect of the bytes."""
    try:
        name, pieces = compression.decompressed([data], LIMITS)
        text = b"".join(pieces)
        counts[f"compression {name}"] += 1
        found = encoding.detect(text, whole=True, given=None)
        counts[f"encoding {found.name}"] += 1
        text = b"".join(encoding.to_utf8([text], found))
        detected = dialect_detection.detect(text, Given(header=None), whole=True)
        counts[f"delimiter {detected.dialect.delimiter!r}"] += 1
        counts[f"quote {detected.dialect.quote_char!r} escape {detected.dialect.escape_char!r}"] += 1
    except ConservationError:
        raise
    except TranscodeError as error:
        counts[type(error).__name__] += 1


def file(data: bytes) -> None:
    """Decode the bytes as a file of which nothing is known; no record may be lost on the way."""
    reading = Reading(limits=LIMITS, cuts=Cuts(1 << 16, 1 << 12, 1 << 12), columns_max=2000)
    try:
        beginning = read_head([data], reading)
        counts["empty" if beginning is None else "read"] += 1
        if beginning is None:
            return
        decoder = StripeDecoder(beginning.names, beginning.dialect, TypeRules())
        evidence = (ColumnEvidence(),) * len(beginning.names)
        for stripe in beginning.stripes(decoder):
            observed = decoder.observe(decoder.parse(stripe), evidence)
            types = decoder.decide(observed.evidence)
            batch = decoder.cast(observed, types.types)
            rows = -1 if batch is None else batch.num_rows
            if rows + len(observed.rejects) != observed.count:
                message = f"{observed.count} records, {rows} rows, {len(observed.rejects)} rejects"
                raise WrongError(message)
            counts["good records"] += rows
            counts.update(f"rejected: {one.reason}" for one in observed.rejects)
    except ConservationError:
        raise
    except TranscodeError as error:
        counts[type(error).__name__] += 1


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"records": records, "head": head, "file": file}

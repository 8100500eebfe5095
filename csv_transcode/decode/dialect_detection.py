"""Which dialect a file is written in, from a sample of it and with a confidence, or a refusal that says what to set.

The order of thought: a comma that makes the beginning regular is it. Otherwise every usual delimiter is tried, each
with the quoting that keeps most of the sample, then rarer delimiters, which must convince on their own; then one
column. What makes the whole sample regular is never turned down for what does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.record_shapes import MALFORMED, Quoting, Sample
from csv_transcode.decode.table_evidence import (
    TYPED,
    Table,
    cells_of,
    contrast,
    kind,
    plausibility,
    read_table,
    table_cells,
)
from csv_transcode.errors import DialectError

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE_BYTES: Final = 1 << 20
SURVEY_BYTES: Final = 1 << 16  # what all candidates are tried on; the sample is for the one chosen
SURVEY_LINES_MIN: Final = 50
USUAL: Final = ",;\t|"
USUAL_IF_ABSENT: Final = ",\t|;"  # for one column: the default, else what is rarest in text
CLEAR: Final = "^~\x01\x02\x03\x04\x05\x06\x07\x08\x14\x1c\x1d\x1e\x1f"  # nobody writes these in text
DOUBTFUL: Final = ": #!&*/"  # these stand in ordinary text
FIT_MIN: Final = 0.3  # of the records have the header's width, or the delimiter is not believed
FIT_MIN_COMMA: Final = 0.2  # the default needs less
FIT_SURE: Final = 0.5  # from here on a table is preferred to lines as they stand
FIT_MIN_ONE_COLUMN: Final = 0.3
FIT_MIN_RARE: Final = 0.95
RARE_RECORDS_MIN: Final = 3
DOUBTFUL_RECORDS_MIN: Final = 5
DOUBTFUL_WIDTH_MIN: Final = 3
UNQUOTED_RECORDS_MIN: Final = 3
UNQUOTED_FIT_MIN: Final = 0.9
ENCLOSED_SHARE_MAX: Final = 0.5  # of the fields that hold a quote begin and end with one, or it is no text
BROKEN_PER_QUOTED: Final = 4  # lines of one column that quotes break, to one they do not, before they are text
BROKEN_SHARE_MIN: Final = 0.1  # of the records that quotes break, for them to be text where fields begin with one
BROKEN_PER_SINGLE: Final = 2  # lines that single quotes break, to one that they explain
ONE_COLUMN_GAIN: Final = 2  # what lines as they stand must keep, times what quoted lines do
ONE_COLUMN_SHARE_MAX: Final = 0.45  # of records may hold a delimiter that stands in the header, too
ONE_COLUMN_NAMED_SHARE_MAX: Final = 0.2  # the same, where the header looks like names and these records have its width
DEFAULT: Final = Quoting()

_NAME: Final = re.compile(rb"[^\W\d]\w*(?:[ .-]\w+)*")


class Given(Struct, frozen=True):
    """What the settings say; None is to be detected. ``quote_char`` "" is none."""

    delimiter: str | None = None
    quote_char: str | None = None
    escape_char: str | None = None
    header: bool | None = True


class Detected(Struct, frozen=True):
    """``start`` is the byte of the sample where the header record begins, 0 where only blank lines precede it.

    ``confidence`` is the share of the sample's bytes in records that fit the dialect.
    """

    dialect: Dialect
    start: int
    confidence: float


def detect(sample: bytes, given: Given, *, whole: bool) -> Detected:
    """Return the dialect of a file whose first bytes, UTF-8 without a mark, are ``sample``.

    ``whole`` is False where the file goes on behind it. Raises DialectError where nothing convinces; never where
    the delimiter is given. A sample without a record says nothing: the default dialect.
    """
    text = Sample(sample[:SAMPLE_BYTES], whole=whole and len(sample) <= SAMPLE_BYTES)
    table = _best_quoted(text, given.delimiter, given) if given.delimiter else _choose(text, given)
    return Detected(_dialect(text, table, given), table.start, round(table.kept, 4))


def _dialect(sample: Sample, table: Table, given: Given) -> Dialect:
    header = _has_header(table_cells(sample, table)) if given.header is None else given.header
    quote, escape = table.quoting
    return Dialect(delimiter=table.delimiter, quote_char=quote or None, escape_char=escape or None, header=header)


def _has_header(rows: Sequence[Sequence[bytes]]) -> bool:
    """Return whether the first record names the columns: yes, unless it looks like the records below it."""
    if len(rows) == 1:
        return not any(kind(cell) in TYPED for cell in rows[0])
    return not rows or contrast(rows) >= 0


def _choose(sample: Sample, given: Given) -> Table:
    if not np.any(sample.line_ends > sample.line_starts):
        return read_table(sample, ",", _given_quoting(given) or DEFAULT)
    survey = sample.head(SURVEY_BYTES)
    if len(survey.line_starts) < SURVEY_LINES_MIN:
        survey = sample
    if _is_clear_comma(survey, given):
        return _best_quoted(sample, ",", given)
    tables = {delimiter: _best_quoted(survey, delimiter, given) for delimiter in USUAL}
    chosen = _most_convincing(sample, survey, tables, given)
    return tables[chosen] if survey is sample and chosen in tables else _best_quoted(sample, chosen, given)


def _is_clear_comma(survey: Sample, given: Given) -> bool:
    """Return whether the default dialect makes the survey regular, and no other delimiter can: its header has none."""
    table = read_table(survey, ",", _given_quoting(given) or DEFAULT)
    if table.width < 2 or not table.is_regular or not table.records:  # noqa: PLR2004
        return False
    header = _header_text(survey, table)
    return not any(rival.encode() in header for rival in USUAL if rival != ",")


def _most_convincing(sample: Sample, survey: Sample, tables: dict[str, Table], given: Given) -> str:
    """Return the delimiter that scores best: of those that make everything regular, if any do, else of all."""
    regular = [delimiter for delimiter in USUAL if _is_strictly_regular(survey, delimiter)]
    if len(regular) > 1 and survey is not sample:
        regular = [delimiter for delimiter in regular if _is_strictly_regular(sample, delimiter)] or regular
    if regular:
        return max(regular, key=lambda delimiter: _score(survey, tables[delimiter]))
    scores = {delimiter: _score(survey, table) for delimiter, table in tables.items() if _convinces(table)}
    if not scores or max(tables[delimiter].fits for delimiter in scores) < FIT_MIN_RARE:
        scores |= _rare_scores(survey, given)
    best = max(scores, key=lambda delimiter: scores[delimiter]) if scores else None
    if best is not None and (best not in tables or tables[best].fits >= FIT_SURE):
        return best
    alone = _one_column(sample, given, FIT_SURE if best else FIT_MIN_ONE_COLUMN)
    if (best or alone) is None:
        raise DialectError(_refusal(tables))
    return alone or best or ","


def _score(survey: Sample, table: Table) -> float:
    if not table.width:
        return 0.0
    rows = table_cells(survey, table)
    return table.kept * plausibility(rows, table.quoting.quote) * (table.width - 1) / table.width


def _convinces(table: Table) -> bool:
    least = FIT_MIN_COMMA if table.delimiter == "," else FIT_MIN
    return table.width > 1 and table.fits >= least


def _is_strictly_regular(sample: Sample, delimiter: str) -> bool:
    """Return whether RFC 4180 with this delimiter accepts every record, with two columns or more."""
    table = read_table(sample, delimiter, DEFAULT)
    return table.is_regular and table.width > 1 and table.records > 0


def _rare_scores(survey: Sample, given: Given) -> dict[str, float]:
    scores = {}
    for delimiter in CLEAR + DOUBTFUL:
        if delimiter.encode() in survey.data:
            table = _best_quoted(survey, delimiter, given)
            if _rare_convinces(survey, table):
                scores[delimiter] = _score(survey, table)
    return scores


def _rare_convinces(survey: Sample, table: Table) -> bool:
    if table.width < 2 or table.fits < FIT_MIN_RARE or table.start:  # noqa: PLR2004
        return False
    if table.delimiter in CLEAR:
        return table.records > 0
    if table.width < DOUBTFUL_WIDTH_MIN or table.records < DOUBTFUL_RECORDS_MIN:
        return False
    return contrast(table_cells(survey, table)) > 0


def _one_column(sample: Sample, given: Given, least: float) -> str | None:
    """Return a delimiter that leaves most lines whole, where lines as single values are a fair reading."""
    tables = [_best_quoted(sample, delimiter, given) for delimiter in USUAL_IF_ABSENT]
    narrow = [table for table in tables if table.width == 1 and table.fits >= least]
    if not narrow:
        return None
    table = max(narrow, key=lambda table: table.kept)
    fair = not any(_stands_between(sample, table, delimiter) for delimiter in USUAL)
    return table.delimiter if fair else None


def _stands_between(sample: Sample, table: Table, delimiter: str) -> bool:
    """Return whether the delimiter stands, unquoted, in the header of one column and in many of its records."""
    fitting = np.flatnonzero(table.shapes.width == 1)
    starts = table.shapes.start[fitting[fitting >= table.header]]
    holds = sample.lines_with(delimiter)[np.searchsorted(sample.line_starts, starts)] > 0
    if not holds[0]:
        return False
    if table.quoting.quote:
        holds &= sample.bytes[starts] != ord(table.quoting.quote)
    tables = sample.bytes[starts] != ord("#")  # comments are in no table, and tell nothing of its columns
    tables[0] = True
    most = ONE_COLUMN_NAMED_SHARE_MAX if _names_columns(sample, delimiter) else ONE_COLUMN_SHARE_MAX
    return any(share > most for share in (holds.mean(), holds[tables].mean()))


def _names_columns(sample: Sample, delimiter: str) -> bool:
    """Return whether the header is names with the delimiter between, and every record that holds one is as wide."""
    table = read_table(sample, delimiter, DEFAULT)
    widths = table.shapes.width[table.header + 1 :]
    names = _header_text(sample, table).split(delimiter.encode())
    return all(_NAME.fullmatch(name) for name in names) and bool(np.all((widths < 2) | (widths == table.width)))  # noqa: PLR2004 - holds one


def _refusal(tables: dict[str, Table]) -> str:
    tried = ", ".join(
        f"{delimiter!r} {table.matched} of {table.records} records fit a header of {max(table.width, 0)} fields"
        for delimiter, table in tables.items()
    )
    return f"no dialect is convincing: {tried}; set DELIMITER, QUOTE_CHAR or ESCAPE_CHAR if one of them is right"


def _header_text(survey: Sample, table: Table) -> bytes:
    return survey.data[table.shapes.start[table.header] : table.shapes.end[table.header]].rstrip(b"\r\n")


# --- quoting, for one delimiter


def _given_quoting(given: Given) -> Quoting | None:
    if given.quote_char is None:
        return None
    escape = given.escape_char or ""
    return Quoting(given.quote_char, "" if escape == given.quote_char else escape)


def _best_quoted(sample: Sample, delimiter: str, given: Given) -> Table:
    """Return the sample as a table with the quoting that keeps most of it, the usual one unless another is better."""
    if (fixed := _given_quoting(given)) is not None and (given.escape_char is not None or not fixed.quote):
        return read_table(sample, delimiter, fixed)
    best = _best_escaped(sample, delimiter, (given.quote_char or '"'), given)
    if given.quote_char is not None:
        return best
    if b"'" in sample.data and _are_quotes(sample, delimiter, "'"):
        single = _best_escaped(sample, delimiter, "'", given)
        if _better_single(sample, single, best):
            best = single
    if b'"' in sample.data and np.any(best.shapes.width == MALFORMED):
        plain = read_table(sample, delimiter, Quoting("", ""))
        if plain.kept > best.kept and _quotes_are_text(sample, best, plain):
            best = plain
    return best


def _best_escaped(sample: Sample, delimiter: str, quote: str, given: Given) -> Table:
    if given.escape_char is not None:
        return read_table(sample, delimiter, Quoting(quote, "" if given.escape_char == quote else given.escape_char))
    doubled = read_table(sample, delimiter, Quoting(quote))
    if b"\\" + quote.encode() not in sample.data or (doubled.is_regular and doubled.start == 0):
        return doubled
    escaped = read_table(sample, delimiter, Quoting(quote, "\\"))
    return escaped if escaped.kept > doubled.kept else doubled


def _are_quotes(sample: Sample, delimiter: str, quote: str) -> bool:
    """Return whether a field begins with the quote and one ends with it."""
    d, q = re.escape(delimiter.encode()), quote.encode()
    head, tail = rb"(?:\A|[\r\n]|" + d + rb")" + q, q + rb"(?:\Z|[\r\n]|" + d + rb")"
    return re.search(head, sample.data) is not None and re.search(tail, sample.data) is not None


def _quoted_lines(sample: Sample, table: Table) -> tuple[int, int]:
    """Return how many records hold the quote and can be read, and how many lines hold it and cannot."""
    lines = np.searchsorted(sample.line_starts, table.shapes.start)
    holds = sample.lines_with(table.quoting.quote)[lines] > 0
    broken = table.shapes.width == MALFORMED
    return int(np.count_nonzero(holds & ~broken)), int(np.count_nonzero(broken))


def _better_single(sample: Sample, single: Table, double: Table) -> bool:
    """Return whether single quotes quote: nothing else does, and they explain more, or all of themselves."""
    if b'"' in sample.data and _quoted_lines(sample, double)[0]:
        return False
    quoted, broken = _quoted_lines(sample, single)
    if single.kept > double.kept:
        return broken <= BROKEN_PER_SINGLE * quoted
    return single.kept == double.kept and quoted > 1 and not broken


def _quotes_are_text(sample: Sample, table: Table, plain: Table) -> bool:
    """Return whether the quotes of a sample that ``table`` cannot read in full are no quotes at all.

    So where no field begins with one; and where they break most of the records, without them nearly everything fits,
    and few fields stand between a pair of them.
    """
    quoted, broken = _quoted_lines(sample, table)
    begins = re.search(rb"(?:\A|[\r\n]|" + re.escape(table.delimiter.encode()) + rb')"', sample.data)
    if begins is None:
        return True
    if broken < BROKEN_SHARE_MIN * np.count_nonzero(table.shapes.width):  # a few records are bad, and will be rejected
        return False
    if plain.width == 1:
        gain = plain.kept >= ONE_COLUMN_GAIN * table.kept or broken >= BROKEN_PER_QUOTED * quoted
        return plain.records > 1 and gain
    spans_lines = np.count_nonzero(plain.shapes.width) > np.count_nonzero(table.shapes.width)
    if plain.records < UNQUOTED_RECORDS_MIN or plain.fits < UNQUOTED_FIT_MIN or quoted > broken or spans_lines:
        return False
    holding = sample.lines_with('"')[np.searchsorted(sample.line_starts, plain.shapes.start)] > 0
    rows = cells_of(sample, plain, np.flatnonzero(holding & (plain.shapes.width == plain.width)))
    fields = [cell.strip(b" ") for row in rows for cell in row if b'"' in cell]
    enclosed = sum(len(cell) > 1 and cell.startswith(b'"') and cell.endswith(b'"') for cell in fields)
    return enclosed <= ENCLOSED_SHARE_MAX * len(fields)

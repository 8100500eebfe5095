"""Stripes → their records as strings, what those show, and typed record batches; rejected records beside.

decoder = StripeDecoder(names, …)           once a file
parsed = decoder.parse(stripe)              any thread
observed = decoder.observe(parsed, …)       any thread
batch = decoder.cast(observed, …)           any thread
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from csv_transcode import kernels
from csv_transcode.decode import arrays, casts, expectations, inference
from csv_transcode.decode.arrow_csv import BlockParser
from csv_transcode.decode.columns import ReadColumns
from csv_transcode.decode.evidence import NO_EVIDENCE, ColumnEvidence
from csv_transcode.decode.fields import NULL_VALUES, Fields, split
from csv_transcode.decode.sift import Block, FlawedRecord, lines_before, sift
from csv_transcode.decode.texts import Texts
from csv_transcode.decode.walk import Boundaries, Flaw
from csv_transcode.rejects import Reject
from csv_transcode.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from csv_transcode.decode.columns import Columns
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.expectations import Expectation
    from csv_transcode.decode.inference import TypeRules
    from csv_transcode.decode.records import Stripe
    from csv_transcode.decode.sift import Sifted
    from csv_transcode.schema import ColumnType

    Numbers = npt.NDArray[np.intp]


TYPE: Final = "type"
VALUES_AT_ONCE: Final = 1 << 15  # of columns that are looked at together: their arrays stay in cache


class ReadBlock(Struct, frozen=True):
    """How many good records were read of a block, and what they were sifted out of where not all are good."""

    block: Block
    good: int
    sifted: Sifted | None = None


class Parsed(Struct, frozen=True):
    """One stripe's good records as strings; ``rejects`` are the others, counted from the stripe's start.

    ``numbers`` are those of the good records among all ``count`` (from 0), or None where all are good. ``expected`` is
    what was expected of each column, if anything.
    """

    columns: Columns
    count: int
    numbers: Numbers | None
    rejects: tuple[Reject, ...]
    blocks: tuple[ReadBlock, ...]
    expected: tuple[Expectation | None, ...] = ()

    @property
    def strings(self) -> pa.RecordBatch:
        """All columns."""
        return self.columns.as_batch()


class Seen(Struct, frozen=True):
    """What one column of a stripe shows, and what of it was made on the way.

    That is its strings and ``texts``, and of these (for Observation) what they were cast to; or the column ``typed``,
    where it is as expected.
    """

    evidence: ColumnEvidence = NO_EVIDENCE
    strings: pa.Array[Any] | None = None
    texts: Texts | None = None
    cast: pa.Array[Any] | None = None
    typed: pa.Array[Any] | None = None


NOTHING_SEEN: Final = Seen()


class Observed(Struct, frozen=True):
    """One stripe's strings, and what each column shows.

    ``count`` is that of all its records, of which ``rejects`` (counted from the stripe's start) are no part of the
    columns.
    """

    columns: Columns
    seen: tuple[Seen, ...]
    count: int
    rejects: tuple[Reject, ...]

    @property
    def evidence(self) -> tuple[ColumnEvidence, ...]:
        """What each column shows."""
        return tuple(seen.evidence for seen in self.seen)


class StripeDecoder:
    """Stripes → typed record batches, by the rules of one file; holds no state of the file's, so any thread may ask."""

    def __init__(self, names: Sequence[str], dialect: Dialect, rules: TypeRules) -> None:
        self.names = tuple(names)
        self._rules = rules
        self._dialect = dialect
        self._parser = BlockParser(dialect, len(names))
        # What a column has shown mostly stays as it is from stripe to stripe, and so does what follows from it.
        remembered = lru_cache(maxsize=2 * len(self.names))
        self._expectation = remembered(partial(expectations.expectation, rules=rules))
        self._column = remembered(partial(inference.decide, rules=rules))
        self._schema = lru_cache(maxsize=2)(self._make_schema)
        given = [(number, rules.fixed(name)) for number, name in enumerate(names)]
        self._fixed = {number: kind for number, kind in given if kind is not None}

    def parse(self, stripe: Stripe, known: Sequence[ColumnEvidence] | None = None) -> Parsed:
        """Return the stripe's records, taken apart into good ones and rejected ones.

        ``known``, what earlier records of the file have shown, decides how they are read, and nothing else.
        """
        expected = self._expected(known)
        fields = self._fields(stripe, expected)
        if fields is not None:
            return Parsed(fields, fields.rows, None, (), (ReadBlock(stripe.blocks[0], fields.rows),), expected)
        parsed = [self._parser.parse(block) for block in stripe.blocks]
        strings = _one_batch(pa.concat_tables([one.table for one in parsed]))
        rejects: list[Reject] = []
        numbers, before = [], 0
        for block, one in zip(stripe.blocks, parsed, strict=True):
            sifted = one.sifted
            if sifted and sifted.flawed:
                rejects += _rejects(block, sifted.flawed, before)
            numbers.append(before + (sifted.numbers if sifted else np.arange(one.count)))
            before += one.count
        blocks = [
            ReadBlock(block, one.table.num_rows, one.sifted) for block, one in zip(stripe.blocks, parsed, strict=True)
        ]
        among = np.concatenate(numbers) if rejects else None
        return Parsed(ReadColumns(strings), before, among, tuple(rejects), tuple(blocks), expected)

    def _expected(self, known: Sequence[ColumnEvidence] | None) -> tuple[Expectation | None, ...]:
        """Return what is expected of each column; nothing is of those whose types are given."""
        return tuple(
            None if number in self._fixed else self._expectation(evidence)
            for number, evidence in enumerate(known or ())
        )

    def _fields(self, stripe: Stripe, expected: Sequence[Expectation | None]) -> Fields | None:
        """Return the stripe's fields where they may be read by their places, and where that is less work."""
        block = stripe.blocks[0]
        if len(stripe.blocks) > 1 or not block.is_plain or self._dialect.null_values != NULL_VALUES:
            return None
        if not expectations.favour_places(expected):
            return None
        if not block.data.isascii() and not arrays.is_utf8(block.data):
            return None
        return split(block.data, self._dialect, len(self.names), quoted=block.quoted)

    def observe(self, parsed: Parsed, known: Sequence[ColumnEvidence] | None) -> Observed:
        """Return what the strings show; ``known`` is what earlier records of the file have shown, as ``parse`` knew it.

        None asks for a cast alone, where the types are known already. Records with a value that does not fit the type
        that COLUMN_TYPES gives its column are rejected.
        """
        parsed, seen = self._fitting(parsed)
        if known is not None:
            for expected, numbers in self._alike(parsed.expected or self._expected(known)).items():
                seen |= self._seen(parsed.columns, expected, numbers, known)
        if parsed.numbers is not None:
            seen = {number: _renumbered(one, parsed.numbers) for number, one in seen.items()}
        ordered = tuple(seen.get(number, NOTHING_SEEN) for number in range(len(self.names)))
        return Observed(parsed.columns, ordered, parsed.count, parsed.rejects)

    def _alike(self, expected: Sequence[Expectation | None]) -> dict[Expectation | None, list[int]]:
        """Return the columns of which the same is expected; texts that are expected need no look."""
        found: dict[Expectation | None, list[int]] = {}
        for number, one in enumerate(expected):
            if one != expectations.TEXT and number not in self._fixed:
                found.setdefault(one, []).append(number)
        return found

    def _seen(
        self,
        columns: Columns,
        expected: Expectation | None,
        numbers: Sequence[int],
        known: Sequence[ColumnEvidence],
    ) -> dict[int, Seen]:
        """Return what these columns show, of which the same is ``expected``: together where that shows nothing new."""
        at_once = 1 if expected is None else max(1, VALUES_AT_ONCE // max(columns.rows, 1))
        seen = {}
        for start in range(0, len(numbers), at_once):
            these = numbers[start : start + at_once]
            known_of_these = [known[number] for number in these]
            typed = None
            if expected is not None:
                typed = self._as_expected(columns, expected, these, known_of_these)
            for place, number in enumerate(these):
                if typed is not None:
                    seen[number] = Seen(typed=typed.slice(place * columns.rows, columns.rows))
                else:
                    seen[number] = self._seen_alone(columns.texts([number]), known[number])
        return seen

    def _as_expected(
        self,
        columns: Columns,
        expected: Expectation,
        numbers: Sequence[int],
        known: Sequence[ColumnEvidence],
    ) -> pa.Array[Any] | None:
        """Return these columns, one behind the other, as what is expected of them; None where they are not quite."""
        if isinstance(columns, Fields):
            typed = expectations.read_by_places(columns, numbers, expected, known, self._rules)
            if typed is not None:
                return typed
        strings = columns.texts(numbers)
        texts = Texts.of(strings)
        confirmed = expectations.confirmed(texts, known, self._rules)
        return None if confirmed is None else texts.spread(confirmed, len(strings))

    def _seen_alone(self, strings: pa.Array[Any], known: ColumnEvidence) -> Seen:
        texts = Texts.of(strings)
        observation = inference.observe(texts, known, self._rules)
        return Seen(observation.evidence, strings, texts, observation.cast)

    @property
    def may_reject_one_value(self) -> bool:
        """Whether records of one value are rejected for it: which blank lines are values hangs on what follows them."""
        fixed = self._rules.fixed(self.names[0])
        return len(self.names) == 1 and fixed is not None and fixed.name != "string"

    def fits_alone(self, record: bytes) -> bool:
        """Return whether the value of a good record of one column fits the type that is given."""
        block = Block(record, 0, 1, quoted=True, boundaries=Boundaries(np.array([len(record)])))
        texts = Texts.of(_one_batch(self._parser.parse(block).table).column(0))
        fixed = self._fixed.get(0)
        return fixed is None or not casts.unfit(texts, fixed, self._rules)

    def _fitting(self, parsed: Parsed) -> tuple[Parsed, dict[int, Seen]]:
        """Return the records whose values fit the types that are given, and those columns; the others are rejected."""
        columns = parsed.columns
        strings = {number: columns.texts([number]) for number in self._fixed}
        texts = {number: Texts.of(column) for number, column in strings.items()}
        unfit: dict[int, str] = {}
        for number, kind in self._fixed.items():
            name = self.names[number]
            for row in casts.unfit(texts[number], kind, self._rules):
                unfit.setdefault(row, f"the value of column {name!r} does not fit {kind}, which COLUMN_TYPES gives it")
        if not unfit:
            return parsed, {number: Seen(NO_EVIDENCE, strings[number], texts[number]) for number in self._fixed}
        kept = np.ones(columns.rows, np.bool_)
        kept[list(unfit)] = False
        good = kernels.filter_rows(columns.as_batch(), arrays.boolean_array(kept))
        numbers = np.arange(parsed.count) if parsed.numbers is None else parsed.numbers
        rejects = [*parsed.rejects, *self._unfit_rejects(parsed, unfit, numbers)]
        rejects.sort(key=lambda reject: reject.record)
        return Parsed(
            ReadColumns(good), parsed.count, numbers[kept], tuple(rejects), parsed.blocks, parsed.expected
        ), {}

    def _unfit_rejects(self, parsed: Parsed, unfit: dict[int, str], numbers: Numbers) -> Iterator[Reject]:
        first = 0  # row of the block
        for read in parsed.blocks:
            rows = sorted(row for row in unfit if first <= row < first + read.good)
            if rows:
                sifted = read.sifted or sift(read.block, self._dialect, len(self.names))
                for row in rows:
                    start, end = int(sifted.starts[row - first]), int(sifted.ends[row - first])
                    flawed = FlawedRecord(int(numbers[row]), start, end, Flaw(TYPE, unfit[row]))
                    yield from _rejects(read.block, [flawed])
            first += read.good

    def cast(self, observed: Observed, types: Sequence[ColumnType]) -> pa.RecordBatch | None:
        """Return the strings as ``types``, or None where a value is not of its column's type at all."""
        try:
            columns = [
                self._typed(observed.columns, number, seen, kind)
                for number, (seen, kind) in enumerate(zip(observed.seen, types, strict=True))
            ]
        except pa.ArrowInvalid:
            return None
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow_schema(types))

    def _typed(self, columns: Columns, number: int, seen: Seen, kind: ColumnType) -> pa.Array[Any]:
        if seen.typed is not None and seen.typed.type == kind.arrow:
            return seen.typed
        strings = columns.texts([number]) if seen.strings is None else seen.strings
        if kind.name == "string":
            return strings
        texts = Texts.of(strings) if seen.texts is None else seen.texts
        return casts.to_type(strings, texts, kind, seen.cast, self._rules)

    def arrow_schema(self, types: Sequence[ColumnType]) -> pa.Schema:
        """Return the outputs' schema where the columns have these types."""
        return self._schema(tuple(types))

    def _make_schema(self, types: tuple[ColumnType, ...]) -> pa.Schema:
        return pa.schema([(name, kind.arrow) for name, kind in zip(self.names, types, strict=True)])

    def decide(self, evidence: Sequence[ColumnEvidence]) -> Schema:
        """Return the schema that ``evidence``, one a column, decides."""
        return Schema(tuple(self._column(name, column) for name, column in zip(self.names, evidence, strict=True)))


def _renumbered(seen: Seen, numbers: Numbers) -> Seen:
    """Return the same, of records of which ``numbers`` are the places among all."""
    return replace(seen, evidence=seen.evidence.renumbered(numbers))


def _rejects(block: Block, flawed: Sequence[FlawedRecord], before: int = 0) -> Iterator[Reject]:
    """Yield the flawed records, ``before`` of the stripe's standing before the block."""
    lines = lines_before(block.data, np.array([one.start for one in flawed], np.intp))
    for one, line in zip(flawed, lines.tolist(), strict=True):
        raw = block.data[one.start : one.end]
        reason, detail = one.flaw.reason, one.flaw.detail
        yield Reject(before + one.number + 1, block.line + line, block.offset + one.start, reason, detail, raw)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    """Return the table as one batch: its columns in one piece each."""
    columns = [column.combine_chunks() for column in table.columns]
    pieces = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
    return pa.RecordBatch.from_arrays(pieces, schema=table.schema)

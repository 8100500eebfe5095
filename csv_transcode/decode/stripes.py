"""Stripes → their records as strings, what those show, and typed record batches; rejected records beside.

decoder = StripeDecoder(names, …)           once a file
parsed = decoder.parse(stripe)              any thread
observed = decoder.observe(parsed, …)       any thread
batch = decoder.cast(observed, …)           any thread
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from csv_transcode import kernels
from csv_transcode.decode import arrays, casts, inference
from csv_transcode.decode.arrow_csv import BlockParser
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.sift import Block, FlawedRecord, lines_before, sift
from csv_transcode.decode.texts import Texts
from csv_transcode.decode.walk import Boundaries, Flaw
from csv_transcode.rejects import Reject
from csv_transcode.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from csv_transcode.decode.arrow_csv import ParsedBlock
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.decode.inference import Observation, TypeRules
    from csv_transcode.decode.records import Stripe
    from csv_transcode.schema import ColumnType

    Numbers = npt.NDArray[np.intp]


TYPE: Final = "type"


class Parsed(Struct, frozen=True):
    """One stripe's good records as strings; ``rejects`` are the others, counted from the stripe's start.

    ``numbers`` are those of the good records among all ``count`` (from 0), or None where all are good.
    """

    strings: pa.RecordBatch
    count: int
    numbers: Numbers | None
    rejects: tuple[Reject, ...]
    blocks: tuple[tuple[Block, ParsedBlock], ...]


class Observed(Struct, frozen=True):
    """One stripe's strings, and what they show: per column its non-empty values and the observation.

    ``count`` is that of all its records, of which ``rejects`` (counted from the stripe's start) are no part of the
    strings.
    """

    strings: pa.RecordBatch
    texts: tuple[Texts, ...]
    observations: tuple[Observation, ...]
    count: int
    rejects: tuple[Reject, ...]

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

    def parse(self, stripe: Stripe) -> Parsed:
        """Return the stripe's records, taken apart into good ones and rejected ones."""
        blocks = tuple((block, self._parser.parse(block)) for block in stripe.blocks)
        strings = _one_batch(pa.concat_tables([parsed.table for _, parsed in blocks]))
        rejects: list[Reject] = []
        numbers, before = [], 0
        for block, parsed in blocks:
            sifted = parsed.sifted
            if sifted and sifted.flawed:
                rejects += _rejects(block, sifted.flawed, before)
            numbers.append(before + (sifted.numbers if sifted else np.arange(parsed.count)))
            before += parsed.count
        return Parsed(strings, before, np.concatenate(numbers) if rejects else None, tuple(rejects), blocks)

    def observe(self, parsed: Parsed, known: Sequence[ColumnEvidence] | None) -> Observed:
        """Return what the strings show, ``known`` being what earlier records of the file have shown.

        None asks for a cast alone, where the types are known already. Records with a value that does not fit the type
        that COLUMN_TYPES gives its column are rejected.
        """
        parsed, texts = self._fitting(parsed)
        if known is None:
            nothing = (inference.Observation(ColumnEvidence()),) * len(texts)
            return Observed(parsed.strings, texts, nothing, parsed.count, parsed.rejects)
        observations = []
        for name, column_texts, column_known in zip(self.names, texts, known, strict=True):
            if self._rules.fixed(name) is None:
                seen = inference.observe(column_texts, column_known, self._rules)
                if parsed.numbers is not None:
                    seen = replace(seen, evidence=seen.evidence.renumbered(parsed.numbers))
                observations.append(seen)
            else:
                observations.append(inference.Observation(ColumnEvidence()))
        return Observed(parsed.strings, texts, tuple(observations), parsed.count, parsed.rejects)

    @property
    def may_reject_one_value(self) -> bool:
        """Whether records of one value are rejected for it: which blank lines are values hangs on what follows them."""
        fixed = self._rules.fixed(self.names[0])
        return len(self.names) == 1 and fixed is not None and fixed.name != "string"

    def fits_alone(self, record: bytes) -> bool:
        """Return whether the value of a good record of one column fits the type that is given."""
        block = Block(record, 0, 1, quoted=True, boundaries=Boundaries(np.array([len(record)])))
        texts = Texts.of(_one_batch(self._parser.parse(block).table).column(0))
        fixed = self._rules.fixed(self.names[0])
        return fixed is None or not casts.unfit(texts, fixed, self._rules)

    def _fitting(self, parsed: Parsed) -> tuple[Parsed, tuple[Texts, ...]]:
        """Return the records whose values fit the types that are given; the others are rejected."""
        texts = tuple(Texts.of(column) for column in parsed.strings.columns)
        unfit: dict[int, str] = {}
        for name, column_texts in zip(self.names, texts, strict=True):
            fixed = self._rules.fixed(name)
            for row in casts.unfit(column_texts, fixed, self._rules) if fixed else ():
                unfit.setdefault(row, f"the value of column {name!r} does not fit {fixed}, which COLUMN_TYPES gives it")
        if not unfit:
            return parsed, texts
        kept = np.ones(parsed.strings.num_rows, np.bool_)
        kept[list(unfit)] = False
        strings = kernels.filter_rows(parsed.strings, arrays.boolean_array(kept))
        numbers = np.arange(parsed.count) if parsed.numbers is None else parsed.numbers
        rejects = [*parsed.rejects, *self._unfit_rejects(parsed, unfit, numbers)]
        rejects.sort(key=lambda reject: reject.record)
        found = Parsed(strings, parsed.count, numbers[kept], tuple(rejects), parsed.blocks)
        return found, tuple(Texts.of(column) for column in strings.columns)

    def _unfit_rejects(self, parsed: Parsed, unfit: dict[int, str], numbers: Numbers) -> Iterator[Reject]:
        first = 0  # row of the block
        for block, in_block in parsed.blocks:
            rows = sorted(row for row in unfit if first <= row < first + in_block.table.num_rows)
            if rows:
                sifted = in_block.sifted or sift(block, self._dialect, len(self.names))
                for row in rows:
                    start, end = int(sifted.starts[row - first]), int(sifted.ends[row - first])
                    flawed = FlawedRecord(int(numbers[row]), start, end, Flaw(TYPE, unfit[row]))
                    yield from _rejects(block, [flawed])
            first += in_block.table.num_rows

    def cast(self, observed: Observed, types: Sequence[ColumnType]) -> pa.RecordBatch | None:
        """Return the strings as ``types``, or None where a value is not of its column's type at all."""
        columns: list[pa.Array[Any]] = []
        strings = observed.strings.columns
        try:
            for column, texts, seen, kind in zip(strings, observed.texts, observed.observations, types, strict=True):
                columns.append(casts.to_type(column, texts, kind, seen.cast, self._rules))
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

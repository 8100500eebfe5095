"""A source's records held against outputs, cell by cell, a batch at a time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from msgspec import Struct, field

from csv_transcode.cli.rows import UnreadableError
from csv_transcode.cli.spelling import Spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from csv_transcode.cli.listed_rejects import ListedReject
    from csv_transcode.cli.rows import Rows

CELLS_SHOWN_MAX: Final = 10  # of the differing ones; all are counted
TEXT_SHOWN_MAX: Final = 200


class Column(Struct, frozen=True):
    """What a column is to be: its names, type and spelling, as a manifest's schema has them."""

    name: str
    avro_name: str
    type: str
    spelling: Mapping[str, Any] | None = None


class Findings(Struct):
    """What has been compared, and what differs: sentences, and the first cells."""

    records: int = 0
    cells: int = 0
    cells_differing: int = 0
    problems: list[str] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def are_none(self) -> bool:
        """Whether nothing differs."""
        return not self.problems and not self.cells_differing

    def sentences(self) -> Iterator[str]:
        """Yield what differs, for a person."""
        yield from self.problems
        for cell in self.differences:
            yield (
                f"{cell['output']}, record {cell['record']}, column {cell['column']!r}: the source says "
                f"{_shown(cell['source'])}, the output {_shown(cell['value'])}"
            )
        if self.cells_differing > len(self.differences):
            yield f"and {self.cells_differing - len(self.differences):,} more cells"


class RecordNumbers:
    """From the rows of the outputs to the records of the source: the rejected ones in between are counted, too."""

    def __init__(self) -> None:
        self._rejected = array("q")

    def noting(self, rejects: Iterable[ListedReject]) -> Iterator[ListedReject]:
        """Yield ``rejects``, and keep their numbers."""
        for reject in rejects:
            if reject.is_record:
                self._rejected.append(reject.record)
            yield reject

    @property
    def rejected(self) -> int:
        """How many have been noted."""
        return len(self._rejected)

    def of_row(self, row: int) -> int:
        """Return the record, from 1, that is row ``row``, from 0, of the outputs."""
        number = row + 1
        while (found := row + 1 + bisect_right(self._rejected, number)) != number:
            number = found
        return number


class Comparison:
    """Outputs that are to have ``columns``, held against records; ``findings`` says what differs."""

    def __init__(self, columns: Sequence[Column], numbers: RecordNumbers, decimal_separator: str = ".") -> None:
        self.findings = Findings()
        self._columns = tuple(columns)
        self._numbers = numbers
        self._spellings = [Spelling(column.type, column.spelling, decimal_separator) for column in columns]

    def run(self, batches: Iterable[pa.RecordBatch], outputs: Sequence[Rows]) -> None:
        """Hold every record of the source against the same row of each output, and note what differs."""
        alive = [rows for rows in outputs if self._has_columns(rows)]
        for texts in batches:
            agreed: dict[int, pa.Array[Any]] = {}
            alive = [rows for rows in alive if self._compare(texts, rows, agreed)]
            self.findings.records += texts.num_rows
        for rows in alive:
            self._require_end(rows)

    def require_originals(self, header: Sequence[str], outputs: Sequence[Rows]) -> None:
        """Note where an output does not say the header's own name, beside one that could not be it."""
        for rows in outputs:
            for index, (found, column) in enumerate(zip(rows.originals or (), self._columns, strict=False)):
                original = (header[index] if index < len(header) else "") or column.name
                if found != (None if original == column.avro_name else original):
                    self.note(
                        f"{rows.format}: column {index + 1} says it was {found!r} in the source, not {original!r}"
                    )

    def note(self, problem: str) -> None:
        """Note what differs beside cells."""
        self.findings.problems.append(problem)

    def _has_columns(self, rows: Rows) -> bool:
        names = [column.avro_name if rows.format == "avro" else column.name for column in self._columns]
        if len(rows.names) != len(names):
            self.note(f"{rows.format}: {len(rows.names)} columns, expected {len(names)}")
            return False
        if rows.names != names:
            odd = next(index for index, name in enumerate(names) if rows.names[index] != name)
            self.note(f"{rows.format}: column {odd + 1} is {rows.names[odd]!r}, expected {names[odd]!r}")
            return False
        for column, kind in zip(self._columns, rows.types, strict=True):
            if not _is_of_type(column.type, str(kind)):
                self.note(f"{rows.format}: column {column.name!r} is {kind}, expected {column.type}")
                return False
        return True

    def _compare(self, texts: pa.RecordBatch, rows: Rows, agreed: dict[int, pa.Array[Any]]) -> bool:
        """Compare the next records; return whether there is any sense in going on with this output.

        ``agreed`` holds, by column, values that another output has and that have been found to say the texts.
        """
        first = rows.taken
        try:
            values = rows.take(texts.num_rows)
        except UnreadableError as error:
            self.note(f"{rows.format}, after row {first:,}: {error}")
            return False
        found = rows.taken - first
        for index, (column, cells, column_values) in enumerate(zip(self._columns, texts.columns, values, strict=True)):
            if index in agreed and _bits(agreed[index]).equals(_bits(column_values)):
                continue
            expected = cells.slice(0, found)
            differing = self._spellings[index].differing(expected, column_values)
            if not differing:
                agreed[index] = column_values
            for row in differing:
                record = self._numbers.of_row(first + row)
                self._note_cell(rows.format, record, column.name, (expected[row], column_values[row]))
        self.findings.cells += found * len(self._columns)
        if found < texts.num_rows:
            self.note(f"{rows.format}: it ends after {rows.taken:,} rows, and the source has more records")
            return False
        return True

    def _note_cell(self, output: str, record: int, column: str, pair: tuple[Any, Any]) -> None:
        self.findings.cells_differing += 1
        if len(self.findings.differences) < CELLS_SHOWN_MAX:
            text, value = pair
            source, found = text.as_py(), str(value) if value.is_valid else None
            self.findings.differences.append(
                {"output": output, "record": record, "column": column, "source": _cut(source), "value": _cut(found)}
            )

    def _require_end(self, rows: Rows) -> None:
        try:
            more = rows.take(1)
        except UnreadableError as error:
            self.note(f"{rows.format}, after row {rows.taken:,}: {error}")
            return
        if more and len(more[0]):
            self.note(f"{rows.format}: it has more rows than the source has records, {rows.taken - 1:,}")


def _bits(values: pa.Array[Any]) -> pa.Array[Any]:
    """Return values that are equal where they are the same: -0.0 is not 0.0, and nan is nan."""
    return values.view(pa.int64()) if pa.types.is_floating(values.type) else values


def _is_of_type(name: str, arrow: str) -> bool:
    if name.startswith("decimal"):
        return arrow.replace(" ", "") == name.replace("decimal", "decimal128").replace(" ", "")
    return arrow in _ARROW_NAMES[name]


_ARROW_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "string": ("string",),
    "int64": ("int64",),
    "double": ("double",),
    "boolean": ("bool",),
    "date": ("date32[day]",),
    "timestamp": ("timestamp[us]", "timestamp[ns]"),
    "timestamp_utc": ("timestamp[us, tz=UTC]", "timestamp[ns, tz=UTC]"),
}


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:TEXT_SHOWN_MAX]


def _shown(text: str | None) -> str:
    return "null" if text is None else repr(text)

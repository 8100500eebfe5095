"""Read what an engine wrote with a reader that is nobody's engine here, and compare it with the source, cell by cell.

A fingerprint is the number of records and, for each column, the sum of hash(record number, text of the value): a value
that changed, moved or is missing changes the sum. DuckDB reads all three forms.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import fastavro
import pyarrow as pa
from duckdb_extensions import import_extension

if TYPE_CHECKING:
    from pathlib import Path

_READERS: Final = {"csv": "read_csv", "parquet": "read_parquet", "avro": "read_avro"}
_ROWS: Final = "rows_read"
_NUMBERS: Final = ("BIGINT", "HUGEINT", "INTEGER", "DOUBLE", "FLOAT")
_MOMENTS: Final = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class Disagreement(Exception):  # noqa: N818  # it is what was found, not what went wrong
    """An output does not hold what the source holds."""


@dataclass(frozen=True)
class Fingerprint:
    """Number of records, and a sum of hashes for each column, by name."""

    records: int
    columns: dict[str, int]

    @classmethod
    def of(cls, path: Path, form: str) -> Fingerprint:
        """Return the fingerprint of a file in ``form``: csv, parquet or avro."""
        with _database() as database:
            relation = _relation(database, path, form)
            names = [row[0] for row in database.execute(f"DESCRIBE FROM {relation}").fetchall()]
            sums = ", ".join(f'sum(hash(n, CAST("{name}" AS VARCHAR)))' for name in names)
            numbered = f"SELECT row_number() OVER () AS n, * FROM {relation}"  # noqa: S608
            [(records, *found)] = database.execute(f"SELECT count(*), {sums} FROM ({numbered})").fetchall()  # noqa: S608
        return cls(records, dict(zip(names, found, strict=True)))


@dataclass(frozen=True)
class Sums:
    """Number of records, and a count and a sum for each column, by name: what other types of a text still keep.

    Of numbers and days how many there are and their sum, of texts how many are not empty and how long all are.
    """

    records: int
    columns: dict[str, tuple[int, float]]

    @classmethod
    def of(cls, path: Path, form: str, kinds: dict[str, str]) -> Sums:
        """Return the sums of a file in ``form``, ``kinds`` being the source's types by column."""
        wanted = ", ".join(f"count({value}), sum({value})" for value in map(_summed, kinds, kinds.values()))
        with _database() as database:
            relation = _relation(database, path, form)
            [(records, *found)] = database.execute(f"SELECT count(*), {wanted} FROM {relation}").fetchall()  # noqa: S608
        pairs = zip(found[::2], found[1::2], strict=True)
        return cls(
            records, {name: (count, float(total or 0)) for name, (count, total) in zip(kinds, pairs, strict=True)}
        )

    def differing(self, other: Sums) -> list[str]:
        """Return the columns that differ by more than what adding up doubles in another order may."""
        return [
            name
            for name, (count, total) in self.columns.items()
            if other.columns[name][0] != count
            or not math.isclose(total, other.columns[name][1], rel_tol=1e-9, abs_tol=1e-6)
        ]


def _summed(name: str, kind: str) -> str:
    column = f'"{name}"'
    if kind in _NUMBERS:
        return f"TRY_CAST({column} AS DOUBLE)"
    if kind in _MOMENTS:
        return f"epoch(TRY_CAST({column} AS TIMESTAMP))"
    return f"nullif(length(CAST({column} AS VARCHAR)), 0)"


def _relation(database: duckdb.DuckDBPyConnection, path: Path, form: str) -> str:
    """Return what a query reads the file from: DuckDB's own reader, or fastavro's rows, where that lacks a type."""
    relation = f"{_READERS[form]}('{path}')"
    try:
        database.execute(f"DESCRIBE FROM {relation}")
    except duckdb.NotImplementedException:  # local-timestamp-micros, of Avro 1.10, in its Avro extension 1.5
        with path.open("rb") as file:
            rows = fastavro.reader(file)
            database.register(_ROWS, pa.Table.from_pylist(list(rows)))  # type: ignore[arg-type]  # its union has more
        return _ROWS
    return relation


def _database() -> duckdb.DuckDBPyConnection:
    import_extension("avro")
    database = duckdb.connect(config={"preserve_insertion_order": True})
    database.execute("LOAD avro")
    return database


class Judge:
    """Compares outputs with one source; the same bytes are not read twice."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._expected = Fingerprint.of(source, "csv")
        self._agreed: dict[str, bool] = {}
        self._sums: Sums | None = None

    @property
    def records(self) -> int:
        """The number of records of the source."""
        return self._expected.records

    def compare(self, output: Path, form: str) -> None:
        """Raise Disagreement unless ``output`` holds the source's records, in order, every column the same."""
        self._judge(output, form, sums_are_enough=False)

    def is_exact(self, output: Path, form: str) -> bool:
        """Return whether all cells of ``output`` are the source's; Disagreement where not even counts and sums are."""
        return self._judge(output, form, sums_are_enough=True)

    def _judge(self, output: Path, form: str, *, sums_are_enough: bool) -> bool:
        with output.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest not in self._agreed:
            found = Fingerprint.of(output, form)
            if found != self._expected and not sums_are_enough:
                raise Disagreement(self._difference(found, form))
            if found != self._expected:
                self._compare_sums(output, form)
            self._agreed[digest] = found == self._expected
        return self._agreed[digest]

    def _compare_sums(self, output: Path, form: str) -> None:
        kinds = self._kinds()
        self._sums = self._sums or Sums.of(self._source, "csv", kinds)
        found = Sums.of(output, form, kinds)
        differing = self._sums.differing(found)
        if found.records != self._sums.records or differing:
            message = f"{form}: {found.records} records of {self._sums.records}; columns whose sums differ: {differing}"
            raise Disagreement(message)

    def _kinds(self) -> dict[str, str]:
        with _database() as database:
            return {row[0]: row[1] for row in database.execute(f"DESCRIBE FROM read_csv('{self._source}')").fetchall()}

    def _difference(self, found: Fingerprint, form: str) -> str:
        expected = self._expected.columns
        columns = [name for name in expected | found.columns if found.columns.get(name) != expected.get(name)]
        return f"{form}: {found.records} records of {self._expected.records}; columns that differ: {columns}"

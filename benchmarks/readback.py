"""Read what an engine wrote with a reader that is nobody's engine here, and compare it with the source, cell by cell.

A fingerprint is the number of records and, for each column, the sum of hash(record number, text of the value): a value
that changed, moved or is missing changes the sum. DuckDB reads all three forms.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
from duckdb_extensions import import_extension

if TYPE_CHECKING:
    from pathlib import Path

_READERS: Final = {"csv": "read_csv", "parquet": "read_parquet", "avro": "read_avro"}


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
        import_extension("avro")
        with duckdb.connect(config={"preserve_insertion_order": True}) as database:
            database.execute("LOAD avro")
            relation = f"{_READERS[form]}('{path}')"
            names = [row[0] for row in database.execute(f"DESCRIBE FROM {relation}").fetchall()]
            sums = ", ".join(f'sum(hash(n, CAST("{name}" AS VARCHAR)))' for name in names)
            numbered = f"SELECT row_number() OVER () AS n, * FROM {relation}"  # noqa: S608
            [(records, *found)] = database.execute(f"SELECT count(*), {sums} FROM ({numbered})").fetchall()  # noqa: S608
        return cls(records, dict(zip(names, found, strict=True)))


class Judge:
    """Compares outputs with one source; the same bytes are not read twice."""

    def __init__(self, source: Path) -> None:
        self._expected = Fingerprint.of(source, "csv")
        self._agreed: set[str] = set()

    @property
    def records(self) -> int:
        """The number of records of the source."""
        return self._expected.records

    def compare(self, output: Path, form: str) -> None:
        """Raise Disagreement unless ``output`` holds the source's records, in order, every column the same."""
        with output.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest in self._agreed:
            return
        found = Fingerprint.of(output, form)
        if found != self._expected:
            raise Disagreement(self._difference(found, form))
        self._agreed.add(digest)

    def _difference(self, found: Fingerprint, form: str) -> str:
        expected = self._expected.columns
        columns = [name for name in expected | found.columns if found.columns.get(name) != expected.get(name)]
        return f"{form}: {found.records} records of {self._expected.records}; columns that differ: {columns}"

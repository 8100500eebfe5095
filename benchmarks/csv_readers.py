"""Readers of CSV, each with the options that its documentation names: its own choice, the dialect given, and a report.

A setting is a function of a file and its dialect that returns what came out, or raises: an error is a refusal.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
import fastavro
import pandas as pd
import polars as pl
import pyarrow as pa
from moto import mock_aws
from pyarrow import csv, parquet

from benchmarks.strict_csv import read
from benchmarks.verdicts import Reading, Refusal, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from benchmarks.strict_csv import Dialect

    Read = Callable[[Path, Dialect], Reading | Refusal]

AUTO: Final = "auto"
GIVEN: Final = "dialect given"
REPORT: Final = "given, with its report"

_INPUT: Final = "pollock-in"
_OUTPUT: Final = "pollock-out"
_OPERATOR: Final = {
    "INPUT_BUCKET": _INPUT,
    "OUTPUT_BUCKET": _OUTPUT,
    "PREFIX": "in/",
    "MAX_REJECTED_RATIO": "1",
    "LOG_LEVEL": "CRITICAL",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
}
_DIALECT: Final = ("DELIMITER", "QUOTE_CHAR", "ESCAPE_CHAR", "ENCODING", "HEADER")
_SOMEBODY: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION")
_TWO_CHARACTERS: Final = ", "


@dataclass(frozen=True)
class Setting:
    """One reader with one set of options, which ``options`` names for people."""

    reader: str
    settings: str
    options: str
    read: Read


def attempt(setting: Setting, path: Path, dialect: Dialect) -> Reading | Refusal:
    """Return what ``setting`` makes of a file; whatever a peer raises is its refusal."""
    try:
        return setting.read(path, dialect)
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - no tree of errors is common
        return Refusal(f"{type(error).__name__}: {error}"[:300])


def peers() -> tuple[Setting, ...]:
    """Return the readers that this program is compared with."""
    return (
        Setting("pandas", AUTO, "`read_csv(path)`", _pandas_auto),
        Setting(
            "pandas",
            GIVEN,
            '`dtype=str, keep_default_na=False, on_bad_lines="error"`; for the delimiter of two characters, '
            "`skipinitialspace=True` behind a comma",
            _pandas_given,
        ),
        Setting("pyarrow", AUTO, "`csv.read_csv(path)`", _pyarrow_auto),
        Setting("pyarrow", GIVEN, "all columns `string`, `newlines_in_values=True`", _pyarrow_given),
        Setting("pyarrow", REPORT, "the same, `invalid_row_handler` skips and keeps the row's number", _pyarrow_report),
        Setting("DuckDB", AUTO, "`FROM read_csv(path)`", _duckdb_auto),
        Setting("DuckDB", GIVEN, "`all_varchar, strict_mode`, no `null_padding`, `skip = 0`", _duckdb_given),
        Setting(
            "DuckDB",
            REPORT,
            "the same, `auto_detect = false` with the header's names, `store_rejects` and the lines of `reject_errors`",
            _duckdb_report,
        ),
        Setting("Polars", AUTO, "`read_csv(path)`", _polars_auto),
        Setting(
            "Polars",
            GIVEN,
            '`infer_schema=False, truncate_ragged_lines=False, missing_columns="raise", extra_columns="raise"` '
            "(it has no escape character)",
            _polars_given,
        ),
    )


# --- pandas


def _pandas_auto(path: Path, _: Dialect) -> Reading:
    return _of_frame(pd.read_csv(path))


def _pandas_given(path: Path, dialect: Dialect) -> Reading:
    spaced = dialect.delimiter == _TWO_CHARACTERS  # a longer separator would be a regular expression, blind to quotes
    options: dict[str, Any] = {
        "sep": dialect.delimiter.rstrip(" ") or " ",
        "skipinitialspace": spaced,
        "quotechar": dialect.quote,
        "doublequote": dialect.escape is None,
        "escapechar": dialect.escape,
        "encoding": "utf-8",
        "header": 0 if dialect.header else None,
        "dtype": str,
        "keep_default_na": False,
        "on_bad_lines": "error",
    }
    return _of_frame(pd.read_csv(path, **options))


def _of_frame(frame: pd.DataFrame) -> Reading:
    if not isinstance(frame.index, pd.RangeIndex):  # records wider than the header: their first cells became the index
        frame = frame.reset_index(allow_duplicates=True)
    columns = [
        [None if pd.isna(value) else value for value in frame.iloc[:, index].tolist()]
        for index in range(frame.shape[1])
    ]
    return Reading([Table([str(name) for name in frame.columns], columns)], {})


# --- pyarrow


def _pyarrow_auto(path: Path, _: Dialect) -> Reading:
    return _of_arrow(csv.read_csv(path))


def _pyarrow_given(path: Path, dialect: Dialect) -> Reading:
    return _of_arrow(_pyarrow(path, dialect))


def _pyarrow_report(path: Path, dialect: Dialect) -> Reading:
    numbers: list[int] = []

    def skip(row: csv.InvalidRow) -> str:
        numbers.append(row.number or 0)
        return "skip"

    return _of_arrow(_pyarrow(path, dialect, skip), dict.fromkeys(numbers))


def _pyarrow(path: Path, dialect: Dialect, handler: Any = None) -> pa.Table:  # noqa: ANN401 - as pyarrow takes it
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(
            encoding="utf8", autogenerate_column_names=not dialect.header, use_threads=handler is None
        ),
        parse_options=csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote,
            double_quote=True,
            escape_char=dialect.escape or False,
            newlines_in_values=True,
            invalid_row_handler=handler,
        ),
        convert_options=_strings(),
    )


def _strings() -> csv.ConvertOptions:
    options: dict[str, Any] = {"default_column_type": pa.string()}  # newer than the stubs
    return csv.ConvertOptions(**options)


def _of_arrow(table: pa.Table, reported: Mapping[int, bytes | None] | None = None) -> Reading:
    return Reading([_table_of_arrow(table)], reported or {})


def _table_of_arrow(table: pa.Table) -> Table:
    return Table(table.column_names, [column.to_pylist() for column in table.columns])


# --- DuckDB


def _duckdb_auto(path: Path, _: Dialect) -> Reading:
    return _duckdb(f"FROM read_csv({_literal(str(path))})")


def _duckdb_given(path: Path, dialect: Dialect) -> Reading:
    return _duckdb(f"FROM read_csv({_literal(str(path))}, {_duckdb_options(dialect)}, strict_mode = true)")


def _duckdb_report(path: Path, dialect: Dialect) -> Reading:
    options = f"{_duckdb_options(dialect)}, strict_mode = true, store_rejects = true"
    names = _column_names(path, dialect)
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
    return _duckdb(
        f"FROM read_csv({_literal(str(path))}, {options}, auto_detect = false, columns = {{{columns}}})",
        "SELECT DISTINCT line FROM reject_errors",
    )


def _column_names(path: Path, dialect: Dialect) -> list[str]:
    """Return the header's names, made up where they are empty or repeated: without sniffing, DuckDB has to be told."""
    truth = read(path.read_bytes().decode("utf-8-sig"), dialect)
    header = truth.header or [""] * len(truth.columns)
    return [name if name and header.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(header)]


def _duckdb_options(dialect: Dialect) -> str:
    options = {
        "delim": _literal(dialect.delimiter),
        "quote": _literal(dialect.quote),
        "escape": _literal(dialect.escape or dialect.quote),
        "header": str(dialect.header).lower(),
        "encoding": "'utf-8'",
        "skip": "0",
        "all_varchar": "true",
        "null_padding": "false",
    }
    if dialect.line_end == "\r":
        options["new_line"] = "'\\r'"
    return ", ".join(f"{name} = {value}" for name, value in options.items())


def _duckdb(query: str, rejects: str = "") -> Reading:
    with duckdb.connect() as database:
        rows = database.execute(query).fetchall()
        names = [name for name, *_ in database.description or ()]
        lines = [line for (line,) in database.execute(rejects).fetchall()] if rejects else []
    columns = [[row[index] for row in rows] for index in range(len(names))]
    return Reading([Table(names, columns)], dict.fromkeys(lines))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- Polars


def _polars_auto(path: Path, _: Dialect) -> Reading:
    return _of_polars(pl.read_csv(path))


def _polars_given(path: Path, dialect: Dialect) -> Reading:
    frame = pl.read_csv(
        path,
        separator=dialect.delimiter,
        quote_char=dialect.quote,
        has_header=dialect.header,
        eol_char=dialect.line_end,
        encoding="utf8",
        infer_schema=False,
        truncate_ragged_lines=False,
        missing_columns="raise",
        extra_columns="raise",
    )
    return _of_polars(frame)


def _of_polars(frame: pl.DataFrame) -> Reading:
    return Reading([Table(frame.columns, [column.to_list() for column in frame.get_columns()])], {})


# --- this program


class Ours:
    """The handler as Lambda calls it, between buckets that moto imitates in this process; a ``with`` block."""

    def __enter__(self) -> Self:
        """Imitate S3, and make the environment that of the function."""
        self._environment = dict(os.environ)
        for name in _SOMEBODY:
            os.environ.pop(name, None)
        os.environ.update(_OPERATOR)
        self._mock = mock_aws()
        self._mock.start()
        self._s3 = _client()
        for bucket in (_INPUT, _OUTPUT):
            self._s3.create_bucket(Bucket=bucket)
        return self

    def __exit__(self, *_: object) -> None:
        """Take both back."""
        self._mock.stop()
        os.environ.clear()
        os.environ.update(self._environment)

    def settings(self) -> tuple[Setting, ...]:
        """Return what is compared with the peers."""
        given = "`DELIMITER`, `QUOTE_CHAR`, `ESCAPE_CHAR`, `ENCODING`, `HEADER`"
        return (
            Setting("this program", AUTO, "defaults, but for `MAX_REJECTED_RATIO=1`", self._auto),
            Setting("this program", GIVEN, f"the same, {given}", self._given),
        )

    def _auto(self, path: Path, _: Dialect) -> Reading | Refusal:
        return self._convert(path, {})

    def _given(self, path: Path, dialect: Dialect) -> Reading | Refusal:
        values = (dialect.delimiter, dialect.quote, dialect.escape or "none", "utf-8", str(dialect.header).lower())
        return self._convert(path, dict(zip(_DIALECT, values, strict=True)))

    def _convert(self, path: Path, dialect: Mapping[str, str]) -> Reading | Refusal:
        from lambda_handler import lambda_handler  # noqa: PLC0415 - after moto, as it makes a client

        for name in _DIALECT:
            os.environ.pop(name, None)
        os.environ.update(dialect)
        key = f"in/{path.name}"
        self._s3.put_object(Bucket=_INPUT, Key=key, Body=path.read_bytes())
        result = lambda_handler({"keys": [key], "force": True}, None)["results"][0]
        self._s3.delete_object(Bucket=_INPUT, Key=key)
        if result["outcome"] != "converted":
            return Refusal(result["reason"])
        return self._published(path.name)

    def _published(self, relative: str) -> Reading:
        manifest = json.loads(self._get(f"processed/_manifests/{relative}.json"))
        outputs = {output["format"]: self._get(output["key"]) for output in manifest["outputs"]}
        tables = [
            _table_of_arrow(parquet.read_table(pa.BufferReader(outputs["parquet"]))),
            _table_of_avro(outputs["avro"]),
        ]
        rejects = self._get(manifest["rejects"]["key"]).splitlines() if manifest["rejects"] else []
        return Reading(tables, {reject["line"]: _raw(reject) for reject in map(json.loads, rejects)})

    def _get(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=_OUTPUT, Key=key)["Body"].read()
        return body


def _client() -> S3Client:
    import boto3  # noqa: PLC0415 - under moto

    client: S3Client = boto3.client("s3", region_name="us-east-1")
    return client


def _raw(reject: Mapping[str, str]) -> bytes:
    return reject["raw"].encode() if "raw" in reject else base64.b64decode(reject["raw_base64"])


def _table_of_avro(data: bytes) -> Table:
    reader = fastavro.reader(BytesIO(data))
    schema: Any = reader.writer_schema
    records: list[Any] = list(reader)
    names = [field["name"] for field in schema["fields"]]
    originals = [field.get("doc", field["name"]) for field in schema["fields"]]
    return Table(originals, [[record[name] for record in records] for name in names])

"""Other people's readers and writers of Avro, and what Arrow says the values are, as plain Python.

Expected values come from Arrow's own conversions, found ones from fastavro and Apache avro. Where a judge returns a
logical type's integer, or a datetime, the schema says which integer it is; nothing of ours takes part.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
import warnings
from typing import TYPE_CHECKING, Any, Final, cast

import avro.datafile
import avro.errors
import avro.io
import fastavro
import pyarrow as pa

from tests.formats.avro.avro_tables import EXACT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND: Final = dt.timedelta(microseconds=1)

Rows = list[tuple[Any, ...]]


def by_fastavro(file: bytes) -> Rows:
    reader = fastavro.reader(io.BytesIO(file))
    kinds = _logical_types(reader.writer_schema)
    return [_plain_row(cast("Any", record), kinds) for record in reader]


def by_apache(file: bytes) -> Rows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)
        with avro.datafile.DataFileReader(io.BytesIO(file), avro.io.DatumReader()) as reader:
            kinds = _logical_types(json.loads(reader.schema))
            return [_plain_row(cast("Any", record), kinds) for record in reader]


def judges(codec: str) -> list[Callable[[bytes], Rows]]:
    """Return the judges that know ``codec``; for the last two Apache's needs libraries of its own."""
    return [by_fastavro] if codec in {"snappy", "zstandard"} else [by_fastavro, by_apache]


def expected(batch: pa.RecordBatch) -> Rows:
    """Return the rows of ``batch``: dates in days, timestamps in their micro- or nanoseconds, numbers by their bits."""
    columns = [[_plain(value, None) for value in _countable(column).to_pylist()] for column in batch.columns]
    return list(zip(*columns, strict=True)) if columns else [()] * batch.num_rows


def written_by_fastavro(batch: pa.RecordBatch, schema: Mapping[str, Any]) -> bytes:
    """Return the records that fastavro writes, given the integers and bytes that the logical types stand for."""
    fields = [{**field, "type": ["null", _bare(field["type"][1])]} for field in schema["fields"]]
    parsed = fastavro.parse_schema({**schema, "fields": fields})
    names = [field["name"] for field in fields]
    out = io.BytesIO()
    for row in zip(*(_bare_values(column) for column in batch.columns), strict=True):
        fastavro.schemaless_writer(out, parsed, dict(zip(names, row, strict=True)))
    return out.getvalue()


def _logical_types(schema: Any) -> dict[str, str | None]:
    branches = {field["name"]: field["type"][1] for field in schema["fields"]}
    return {name: kind.get("logicalType") if isinstance(kind, dict) else None for name, kind in branches.items()}


def _countable(column: pa.Array[Any]) -> pa.Array[Any]:
    values = column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
    if pa.types.is_date32(values.type):
        return values.cast(pa.int32())
    if pa.types.is_timestamp(values.type):
        unit = "ns" if values.type.unit == "ns" else "us"
        return values.cast(pa.timestamp(unit, values.type.tz)).cast(pa.int64())
    return values


def _plain_row(record: Mapping[str, Any], kinds: Mapping[str, str | None]) -> tuple[Any, ...]:
    return tuple(_plain(record[name], kind) for name, kind in kinds.items())


def _plain(value: Any, kind: str | None) -> Any:
    if isinstance(value, float):
        return "nan" if value != value else struct.pack("<d", value)  # noqa: PLR0124  # NaN alone is unlike itself
    if isinstance(value, dt.datetime):
        since = (value if value.tzinfo else value.replace(tzinfo=dt.UTC)) - EPOCH
        return since // MICROSECOND * (1000 if kind and kind.endswith("nanos") else 1)
    if isinstance(value, dt.date):
        return (value - EPOCH.date()).days
    return value


def _bare(kind: Any) -> str:
    return str(kind["type"] if isinstance(kind, dict) else kind)


def _bare_values(column: pa.Array[Any]) -> list[Any]:
    values = _countable(column).to_pylist()
    if not pa.types.is_decimal(column.type):
        return values
    size, scale = 8 if column.type.precision <= 18 else 16, column.type.scale
    unscaled = [None if value is None else int(value.scaleb(scale, EXACT)) for value in values]
    return [None if value is None else value.to_bytes(size, "big", signed=True) for value in unscaled]

"""Every cell of the source is in both outputs, so that the source's text could be written again, or there is an error.

Nothing here is the product's: the source is read by Python's csv module, the Parquet object by pyarrow, the Avro object
by fastavro. What comes out of an output is *written as text again* (``spellings``), and must be the text that the csv
module read.

The csv module does not tell ``""`` from an empty cell: there the two outputs must agree with each other.
"""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demo.spellings import agreements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH_RECORDS: Final = 20_000  # read as Python objects at a time


class DisagreementError(Exception):
    """An output does not say what the source says: where, and what both say."""


def verify(source: bytes, parquet: bytes, avro: bytes) -> int:
    """Compare both outputs with the source, names, counts and every cell, and return the number of records.

    Raises DisagreementError at the first difference, and whatever the readers raise for bytes that they cannot read.
    """
    texts, from_parquet, from_avro = read_csv(source), read_parquet(parquet), read_avro(avro)
    _equal("column names", texts.column_names, parquet=from_parquet.column_names)
    _equal("records", texts.num_rows, parquet=from_parquet.num_rows, avro=from_avro.num_rows)
    _equal("columns", texts.num_columns, avro=from_avro.num_columns)
    for title, *columns in zip(texts.column_names, texts.columns, from_parquet.columns, from_avro.columns, strict=True):
        _check_columns(title, *(column.combine_chunks() for column in columns))
    return texts.num_rows


def read_csv(source: bytes) -> pa.Table:
    """Return the cells of a CSV as text, as Python's csv module reads them."""
    lines = io.TextIOWrapper(io.BytesIO(source), encoding="utf-8", newline="")
    records = filter(None, csv.reader(lines, strict=True))  # a blank line is no record
    header = next(records)
    return _table([pa.field(title, pa.string()) for title in header], records)


def read_parquet(data: bytes) -> pa.Table:
    """Return what pyarrow reads, which holds every page against its checksum."""
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read()


def read_avro(data: bytes) -> pa.Table:
    """Return what fastavro reads, under the types of the schema in the object."""
    reader: Any = fastavro.reader(io.BytesIO(data))
    fields = [pa.field(field["name"], _avro_type(field["type"])) for field in reader.writer_schema["fields"]]
    return _table(fields, (record.values() for record in reader))


def _avro_type(avro_type: object) -> pa.DataType:
    match avro_type:
        case ["null", other]:
            return _avro_type(other)
        case {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            return pa.decimal128(precision, scale)
        case {"logicalType": str(name)} | {"type": str(name)} | str(name):
            return _ARROW_TYPES[name]
        case _:
            message = f"an Avro type that no column has: {avro_type}"
            raise DisagreementError(message)


_ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-micros": pa.timestamp("us"),
}


def _table(fields: list[pa.Field[Any]], records: Iterator[Iterable[Any]]) -> pa.Table:
    schema = pa.schema(fields)
    batches = []
    while rows := list(islice(records, BATCH_RECORDS)):
        columns = [pa.array(cells, field.type) for field, cells in zip(schema, zip(*rows, strict=True), strict=True)]
        batches.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _check_columns(title: str, texts: pa.Array[Any], parquet: pa.Array[Any], avro: pa.Array[Any]) -> None:
    if parquet.type != avro.type:
        _fail(f"column {title!r}: {parquet.type} in parquet, {avro.type} in avro")
    _check_column(f"parquet, column {title!r}", texts, parquet)
    if not _bits(avro).equals(_bits(parquet)):
        _check_column(f"avro, column {title!r}", texts, avro)
        _fail(f"column {title!r}: null in one output, the empty text in the other")


def _bits(values: pa.Array[Any]) -> pa.Array[Any]:
    return values.view(pa.int64()) if pa.types.is_floating(values.type) else values  # -0.0 is not 0.0


def _check_column(where: str, texts: pa.Array[Any], values: pa.Array[Any]) -> None:
    furthest = -1
    for agreement in agreements(texts, values):
        wrong = pc.index(pc.if_else(values.is_null(), pc.equal(texts, pa.scalar("")), agreement), value=False).as_py()
        if wrong < 0:
            return
        furthest = max(furthest, wrong)
    _fail(f"{where}, record {furthest + 1}: {texts[furthest].as_py()!r} became {values[furthest].as_py()!r}")


def _equal(what: str, expected: object, **found: object) -> None:
    for output, value in found.items():
        if value != expected:
            _fail(f"{output}: {what}: {value}, in the source {expected}")


def _fail(message: str) -> NoReturn:
    raise DisagreementError(message)

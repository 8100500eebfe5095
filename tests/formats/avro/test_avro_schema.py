"""Names and types of the Avro schema, held against the parsers of fastavro and Apache avro."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any, Final

import avro.errors
import avro.schema
import fastavro
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.errors import FrameError
from csv_transcode.formats.avro.schema import ORIGINAL_NAME, avro_names, field_type, record_schema

NAMES: Final = {
    "valid ones stay": (["id", "_x", "A1"], ["id", "_x", "A1"]),
    "other characters": (["unit price", "größe", "a-b.c", "東京"], ["unit_price", "gr__e", "a_b_c", "__"]),
    "a digit in front": (["2024", "1st"], ["_2024", "_1st"]),
    "an empty name": (["", ""], ["_", "__2"]),
    "repeated": (["a", "a", "a"], ["a", "a_2", "a_3"]),
    "unlike in case only": (["Id", "ID", "id"], ["Id", "ID_2", "id_3"]),
    "made equal": (["a b", "a-b"], ["a_b", "a_b_2"]),
    "a number that is taken": (["a", "a_2", "a", "a"], ["a", "a_2", "a_3", "a_4"]),
    "a number that is taken later": (["a", "a", "a_2"], ["a", "a_2", "a_2_2"]),
    "a digit that is not ASCII": (["٣x"], ["_x"]),
    "none": ([], []),
}


@pytest.mark.parametrize(("names", "valid"), NAMES.values(), ids=NAMES.keys())
def test_names(names: list[str], valid: list[str]) -> None:
    assert avro_names(names) == valid


@given(st.lists(st.text("aA_2 é.", max_size=4), max_size=30))
def test_names_are_valid_and_unique_in_any_case(names: list[str]) -> None:
    found = avro_names(names)
    assert len({name.lower() for name in found}) == len(names)
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) for name in found)


TYPES: Final[dict[pa.DataType, Any]] = {
    pa.int8(): "int",
    pa.int16(): "int",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.uint8(): "int",
    pa.uint16(): "int",
    pa.uint32(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.null(): "string",
    pa.binary(): "bytes",
    pa.large_binary(): "bytes",
    pa.date32(): {"type": "int", "logicalType": "date"},
    pa.timestamp("s"): {"type": "long", "logicalType": "local-timestamp-micros"},
    pa.timestamp("us"): {"type": "long", "logicalType": "local-timestamp-micros"},
    pa.timestamp("ns"): {"type": "long", "logicalType": "local-timestamp-nanos"},
    pa.timestamp("ms", "UTC"): {"type": "long", "logicalType": "timestamp-micros"},
    pa.timestamp("us", "Europe/Rome"): {"type": "long", "logicalType": "timestamp-micros"},
    pa.timestamp("ns", "UTC"): {"type": "long", "logicalType": "timestamp-nanos"},
    pa.decimal128(18, 2): {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2},
    pa.decimal128(38, 38): {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 38},
    pa.dictionary(pa.int32(), pa.string()): "string",
    pa.dictionary(pa.int8(), pa.date32()): {"type": "int", "logicalType": "date"},
}


@pytest.mark.parametrize(("arrow_type", "avro_type"), TYPES.items(), ids=str)
def test_types(arrow_type: pa.DataType, avro_type: Any) -> None:
    assert field_type(arrow_type) == avro_type


def test_every_field_may_be_null_and_says_its_first_name() -> None:
    fields: list[tuple[str, pa.DataType]] = [("id", pa.int64()), ("Größe (cm)", pa.float64())]
    schema = record_schema(pa.schema(fields))
    assert schema == {
        "type": "record",
        "name": "Record",
        "namespace": "csv_transcode",
        "fields": [
            {"name": "id", "type": ["null", "long"], "default": None},
            {"name": "Gr__e__cm_", "type": ["null", "double"], "default": None, "doc": "Größe (cm)"},
        ],
    }


DOCS: Final = {
    "the column's name": ("a b", None, "a b"),
    "the original, where the column's name is not": ("column_1", "", ""),
    "the original of a repeated name": ("id_2", "id", "id"),
    "none where Avro's name is the original": ("id", "id", None),
    "the original that Avro's name hides": ("Größe_2", "Größe", "Größe"),
}


@pytest.mark.parametrize(("name", "original", "doc"), DOCS.values(), ids=DOCS.keys())
def test_the_doc_is_the_original_name(name: str, original: str | None, doc: str | None) -> None:
    metadata = None if original is None else {ORIGINAL_NAME: original.encode()}
    (field,) = record_schema(pa.schema([pa.field(name, pa.int64(), metadata=metadata)]))["fields"]
    assert field.get("doc") == doc


def test_both_judges_accept_the_schema() -> None:
    columns = [pa.field(f"{number} {kind}", kind) for number, kind in enumerate(TYPES)]
    schema = record_schema(pa.schema(columns))
    fastavro.parse_schema(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", avro.errors.IgnoredLogicalType)
        avro.schema.parse(json.dumps(schema), validate_names=True)


REFUSED: Final = {
    pa.uint64(): r"decimal128\(20, 0\)",
    pa.float16(): "float32",
    pa.date64(): "date32",
    pa.time64("us"): "string",
    pa.duration("s"): "int64",
    pa.decimal128(10, -2): "scale",
    pa.decimal256(50, 2): "decimal128",
    pa.binary(16): "binary",
    pa.string_view(): "string",
    pa.list_(pa.int64()): "columns of their own",
    pa.struct([("x", pa.int64())]): "columns of their own",
    pa.map_(pa.string(), pa.int64()): "columns of their own",
    pa.dictionary(pa.int32(), pa.uint64()): "int64",
    pa.month_day_nano_interval(): "cast it to string, binary, a number, boolean, date32 or timestamp$",
}


@pytest.mark.parametrize(("arrow_type", "advice"), REFUSED.items(), ids=str)
def test_types_that_avro_cannot_hold_are_refused_with_advice(arrow_type: pa.DataType, advice: str) -> None:
    with pytest.raises(FrameError, match=f"^column 'the one': .*{re.escape(str(arrow_type))}.*{advice}"):
        record_schema(pa.schema([pa.field("fine", pa.int64()), pa.field("the one", arrow_type)]))
    with pytest.raises(FrameError, match=advice):
        field_type(arrow_type)

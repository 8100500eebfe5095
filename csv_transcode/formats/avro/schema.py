"""The Avro schema of an Arrow schema (contract section 4; Avro 1.12 specification, "Names" and "Logical Types").

Every field is ``["null", T]`` with default null, so branch 0 is null and branch 1 the value: :mod:`.cells` writes these
two. Names are made valid and unique; where that changed one, the original is the field's ``doc``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from csv_transcode.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RECORD_NAME: Final = "Record"
NAMESPACE: Final = "csv_transcode"
ORIGINAL_NAME: Final = b"original_name"  # key of a column's metadata
DECIMAL_PRECISION_LONG: Final = 18  # the most digits that eight bytes always hold

_NOT_IN_NAMES: Final = re.compile("[^A-Za-z0-9_]")

_SIMPLE: Final[dict[pa.DataType, Any]] = {
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
}
_TIMESTAMP_UNITS: Final = {"s": "micros", "ms": "micros", "us": "micros", "ns": "nanos"}

_ADVICE: Final[tuple[tuple[Callable[[pa.DataType], bool], str], ...]] = (
    (pa.types.is_uint64, "it does not fit Avro's long: cast it to int64, decimal128(20, 0) or string"),
    (pa.types.is_float16, "cast it to float32"),
    (pa.types.is_date64, "cast it to date32 or timestamp('us')"),
    (pa.types.is_time, "cast it to string"),
    (pa.types.is_duration, "cast it to int64"),
    (pa.types.is_decimal, "cast it to decimal128 with a scale from 0 to its precision"),
    (pa.types.is_fixed_size_binary, "cast it to binary"),
    (pa.types.is_nested, "write its parts as columns of their own, or as JSON text"),
)
_ADVICE_ELSE: Final = "cast it to string, binary, a number, boolean, date32 or timestamp"


def record_schema(schema: pa.Schema) -> dict[str, Any]:
    """Return the Avro schema, ready for ``json.dumps``, of records with the columns of ``schema``.

    A column's own name is its ``doc`` where Avro's differs; ``ORIGINAL_NAME`` in a field's metadata says it where the
    schema's name is not the original either.

    FrameError, naming the column, for a type that Avro, or this encoder, cannot write exactly.
    """
    names = avro_names(schema.names)
    fields = [_field(name, column) for name, column in zip(names, schema, strict=True)]
    return {"type": "record", "name": RECORD_NAME, "namespace": NAMESPACE, "fields": fields}


def avro_names(names: Sequence[str]) -> list[str]:
    """Return a valid Avro name for each of ``names``, in order, no two equal when case is ignored.

    Characters outside ``[A-Za-z0-9_]`` become ``_``, a digit in front gets one before it, an empty name is ``_``, and a
    name that an earlier column has already gets ``_2``, ``_3``, ….
    """
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    return [_unique(_valid(name), taken, numbers) for name in names]


def field_type(arrow_type: pa.DataType) -> Any:  # noqa: ANN401  # a JSON value: a name or an object
    """Return the Avro type, without the union with null, for ``arrow_type``; FrameError where there is none."""
    found = _field_type(arrow_type)
    if found is None:
        message = f"Avro output cannot hold {arrow_type} exactly: {_advice(arrow_type)}"
        raise FrameError(message)
    return found


def _field(name: str, column: pa.Field[Any]) -> dict[str, Any]:
    try:
        value_type = field_type(column.type)
    except FrameError as error:
        message = f"column {column.name!r}: {error}"
        raise FrameError(message) from error
    field = {"name": name, "type": ["null", value_type], "default": None}
    original = (column.metadata or {}).get(ORIGINAL_NAME, column.name.encode()).decode()
    return field if name == original else {**field, "doc": original}


def _field_type(arrow_type: pa.DataType) -> Any:  # noqa: ANN401  # as field_type
    if pa.types.is_dictionary(arrow_type):
        return _field_type(arrow_type.value_type)
    if pa.types.is_timestamp(arrow_type):
        local = "" if arrow_type.tz else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-{_TIMESTAMP_UNITS[arrow_type.unit]}"}
    if pa.types.is_decimal128(arrow_type) and 0 <= arrow_type.scale <= arrow_type.precision:
        return _decimal(arrow_type.precision, arrow_type.scale)
    return _SIMPLE.get(arrow_type)


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _advice(arrow_type: pa.DataType) -> str:
    value_type = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
    return next((advice for applies, advice in _ADVICE if applies(value_type)), _ADVICE_ELSE)


def _valid(name: str) -> str:
    valid = _NOT_IN_NAMES.sub("_", name) or "_"
    return f"_{valid}" if valid[0].isdigit() else valid


def _unique(name: str, taken: set[str], numbers: dict[str, int]) -> str:
    """Return ``name``, or with the first number from 2 that makes it new; ``numbers`` is where to go on counting."""
    key = candidate = name.lower()
    number = numbers.get(key, 1)
    while candidate in taken:
        number += 1
        candidate = f"{key}_{number}"
    taken.add(candidate)
    numbers[key] = number
    return name if candidate == key else f"{name}_{number}"

"""What a source is, in the words of a manifest: for results that have no manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from csv_transcode.formats.avro.schema import avro_names, field_type

if TYPE_CHECKING:
    from csv_transcode.decode.dialect import Dialect
    from csv_transcode.schema import Schema


def described_source(dialect: Dialect, schema: Schema) -> dict[str, Any]:
    """Return ``dialect`` and ``schema`` as they stand in a manifest (contract section 6)."""
    names = avro_names([column.name for column in schema.columns])
    entries = [
        {
            "name": column.name,
            "avro_name": name,
            "type": str(column.type),
            "avro_type": field_type(column.type.arrow),
            **({"spelling": dict(column.spelling)} if column.spelling else {}),
            **({"ruled_out": dict(column.ruled_out)} if column.ruled_out else {}),
        }
        for column, name in zip(schema.columns, names, strict=True)
    ]
    return {"dialect": asdict(dialect) | {"null_values": list(dialect.null_values)}, "schema": entries}

"""The manifest's text and the fingerprint, after contract section 6."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode.errors import ConservationError, ManifestError
from csv_transcode.manifest import (
    Dialect,
    Manifest,
    OutputRef,
    RecordCounts,
    RejectsRef,
    SchemaEntry,
    SourceRef,
    fingerprint,
)
from csv_transcode.schema import ColumnType
from csv_transcode.settings import Settings, setting_rows
from tests.profiles import examples

BUCKETS = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket"}
SOURCE = SourceRef("source-bucket", "in/Größe 100%+.csv", "v1", "0123", 2048)
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}
COMMITTED = Manifest(
    "committed",
    SOURCE,
    "f" * 64,
    Dialect(),
    (
        SchemaEntry("id", "id", "int64", "long"),
        SchemaEntry("prix (€)", "prix____", "decimal(18,2)", DECIMAL, {"scale": 2}, {"type": "double", "record": 7}),
    ),
    RecordCounts(100, 99, 1),
    (
        OutputRef("parquet", "target-bucket", "processed/Größe 100%+.parquet", "aa", "v2", 900, 99),
        OutputRef("avro", "target-bucket", "processed/Größe 100%+.avro", "bb", None, 1200, 99),
    ),
    RejectsRef("target-bucket", "processed/_rejects/Größe 100%+.csv.jsonl", "cc", 1, 120),
)


def test_a_committed_manifest_is_what_the_contract_shows() -> None:
    content = COMMITTED.to_json()
    assert content.endswith(b"}\n")
    assert "Größe" in content.decode()
    described = json.loads(content)
    assert list(described) == [
        "manifest_version",
        "state",
        "source",
        "settings_fingerprint",
        "dialect",
        "schema",
        "records",
        "outputs",
        "rejects",
    ]
    assert described["manifest_version"] == 1
    assert described["source"] == {
        "bucket": "source-bucket",
        "key": "in/Größe 100%+.csv",
        "version_id": "v1",
        "etag": "0123",
        "size": 2048,
    }
    assert described["dialect"] == {
        "compression": None,
        "encoding": "utf-8",
        "delimiter": ",",
        "quote_char": '"',
        "escape_char": None,
        "header": True,
        "null_values": [""],
        "decimal_separator": ".",
    }
    assert described["schema"] == [
        {"name": "id", "avro_name": "id", "type": "int64", "avro_type": "long"},
        {
            "name": "prix (€)",
            "avro_name": "prix____",
            "type": "decimal(18,2)",
            "avro_type": DECIMAL,
            "spelling": {"scale": 2},
            "ruled_out": {"type": "double", "record": 7},
        },
    ]
    assert described["records"] == {"read": 100, "written": 99, "rejected": 1}
    assert list(described["outputs"][0]) == ["format", "bucket", "key", "etag", "version_id", "bytes", "rows"]
    assert list(described["rejects"]) == ["bucket", "key", "etag", "records", "bytes"]


def test_a_pending_manifest_is_a_claim_that_can_be_told_from_another_s() -> None:
    claim = Manifest.pending(SOURCE, "f" * 64, "attempt-1")
    described = json.loads(claim.to_json())
    assert (described["state"], described["attempt_id"]) == ("pending", "attempt-1")
    assert not claim.is_committed
    assert claim != Manifest.pending(SOURCE, "f" * 64, "attempt-2")
    assert Manifest.from_json(claim.to_json()) == claim


@pytest.mark.parametrize(
    "manifest",
    [
        COMMITTED,
        replace(COMMITTED, rejects=None, records=RecordCounts(99, 99, 0)),
        replace(COMMITTED, schema=(), outputs=()),
        replace(COMMITTED, dialect=Dialect("gzip", "latin-1", "\t", None, "\\", False, ("NA", ""), ",")),  # noqa: FBT003
        replace(COMMITTED, schema=(SchemaEntry("\u2028\x00", "_", "string", ["null", "string"]),)),
        Manifest.pending(SourceRef("b", "k", None, "e", 0), "", ""),
    ],
)
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(manifest.to_json()).to_json() == manifest.to_json()


def changed(path: str, value: Any) -> bytes:
    """Return a good manifest with one thing changed; ``...`` takes it away."""
    described = json.loads(COMMITTED.to_json())
    *parents, last = [int(name) if name.isdigit() else name for name in path.split(".")]
    at = described
    for parent in parents:
        at = at[parent]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(described).encode()


@pytest.mark.parametrize("path", ["later", "source.later", "schema.0.later", "outputs.1.later", "rejects.later"])
def test_fields_that_a_later_version_adds_are_let_be(path: str) -> None:
    assert Manifest.from_json(changed(path, {"x": 1})) == COMMITTED


@pytest.mark.parametrize("path", ["source.version_id", "rejects", "dialect.quote_char", "schema.1.spelling"])
def test_what_may_be_null_may_be_missing(path: str) -> None:
    assert Manifest.from_json(changed(path, ...)) == Manifest.from_json(changed(path, None))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        COMMITTED.to_json()[:-20],
        b"[" * 100_000,
        b'{"manifest_version": ' + b"9" * 5000 + b"}",
        changed("manifest_version", 2),
        changed("manifest_version", value=True),
        changed("manifest_version", ...),
        changed("state", "done"),
        changed("source", None),
        changed("source.key", None),
        changed("source.size", "2048"),
        changed("source.size", 2048.0),
        changed("source.size", -1),
        changed("source.size", value=True),
        changed("settings_fingerprint", ...),
        changed("dialect", None),
        changed("dialect", []),
        changed("dialect.header", "true"),
        changed("dialect.null_values", [None]),
        changed("dialect.null_values", ""),
        changed("schema", {}),
        changed("schema", ...),
        changed("schema.0", "id"),
        changed("schema.0.avro_type", None),
        changed("schema.1.spelling", []),
        changed("records", None),
        changed("records.read", None),
        changed("outputs", None),
        changed("outputs.0.rows", "99"),
        changed("outputs.0.etag", ...),
        changed("rejects.records", None),
        changed("attempt_id", 7),
    ],
)
def test_a_damaged_manifest_says_so(content: bytes) -> None:
    with pytest.raises(ManifestError, match="the manifest is"):
        Manifest.from_json(content)


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for name, item in inner for path in ((*at, name), *paths(item, (*at, name)))]


ANYTHING: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)


@examples(300)
@given(st.sampled_from(paths(json.loads(COMMITTED.to_json()))), ANYTHING)
def test_a_manifest_with_anything_in_any_place_is_read_or_is_damaged(path: tuple[Any, ...], value: object) -> None:
    try:
        found = Manifest.from_json(changed(".".join(map(str, path)), value))
    except ManifestError:
        return
    assert found.state in ("pending", "committed")


@given(st.binary(max_size=30))
def test_any_bytes_are_a_manifest_or_damaged(content: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_json(content)


def test_counts_that_add_up_pass() -> None:
    COMMITTED.check_counts()
    # Lines before the header are rejected too, and are no records.
    replace(COMMITTED, rejects=RejectsRef("b", "k", "e", 5, 9)).check_counts()


@pytest.mark.parametrize(
    "manifest",
    [
        replace(COMMITTED, records=None),
        replace(COMMITTED, records=RecordCounts(101, 99, 1)),
        replace(COMMITTED, records=RecordCounts(99, 98, 1)),
        replace(COMMITTED, outputs=(*COMMITTED.outputs, replace(COMMITTED.outputs[0], rows=98))),
        replace(COMMITTED, rejects=None),
        replace(COMMITTED, records=RecordCounts(101, 99, 2)),
    ],
)
def test_counts_that_do_not_add_up_raise(manifest: Manifest) -> None:
    with pytest.raises(ConservationError):
        manifest.check_counts()


# For every setting that decides bytes, a value other than the default.
DECIDING = {
    "KEY_TEMPLATE": "{output_prefix}{format}/{stem}.{format}",
    "OUTPUT_FORMATS": "avro",
    "PARQUET_COMPRESSION": "zstd",
    "AVRO_CODEC": "null",
    "TYPES": "string",
    "COLUMN_TYPES": '{"a": "date"}',
    "DECIMALS": "decimal",
    "NANOSECONDS": "true",
    "DELIMITER": ",",
    "QUOTE_CHAR": '"',
    "ESCAPE_CHAR": "\\",
    "ENCODING": "utf-8",
    "HEADER": "false",
    "DECIMAL_SEPARATOR": ",",
    "NULL_VALUES": '["NA"]',
    "MAX_RECORD_BYTES": "1000",
    "MAX_COLUMNS": "5",
}
INDIFFERENT = {
    "TRACES": "true",
    "INPUT_BUCKET": "another-bucket",
    "OUTPUT_BUCKET": "another-bucket-2",
    "PREFIX": "in/",
    "OUTPUT_PREFIX": "out/",
    "SOURCE_SUFFIXES": ".txt,.csv",
    "MAX_WORKERS": "3",
    "USE_WRANGLER": "true",
    "CACHE_SIZE": "0",
    "MAX_REJECTED_RATIO": "1",
    "MAX_DECOMPRESSED_BYTES": "1000",
    "MAX_DECOMPRESSION_RATIO": "9",
    "MEMORY_BUDGET_MB": "512",
    "DEADLINE_MARGIN_SECONDS": "5",
    "EXPECTED_INPUT_BUCKET_OWNER": "111122223333",
    "EXPECTED_OUTPUT_BUCKET_OWNER": "111122223333",
    "OUTPUT_KMS_KEY_ID": "alias/outputs",
    "LOG_LEVEL": "DEBUG",
    "RETRIES_MAX": "1",
    "RETRY_BUDGET": "100",
    "CONNECT_TIMEOUT_SECONDS": "9",
    "READ_TIMEOUT_SECONDS": "9",
    "PART_BYTES_MAX": "6000000",
}


def test_every_setting_is_known_to_decide_bytes_or_not() -> None:
    assert {variable for variable, _, _ in setting_rows()} == {*DECIDING, *INDIFFERENT}
    assert not DECIDING.keys() & INDIFFERENT.keys()


@pytest.mark.parametrize("variable", DECIDING)
def test_a_setting_that_decides_bytes_changes_the_fingerprint(variable: str) -> None:
    plain, other = (Settings.from_mapping(BUCKETS | more) for more in ({}, {variable: DECIDING[variable]}))
    assert fingerprint(plain) != fingerprint(other)


@pytest.mark.parametrize("variable", INDIFFERENT)
def test_any_other_setting_does_not(variable: str) -> None:
    plain, other = (Settings.from_mapping(BUCKETS | more) for more in ({}, {variable: INDIFFERENT[variable]}))
    assert fingerprint(plain) == fingerprint(other)


def test_suffixes_beyond_the_usual_ones_decide_keys_and_so_do_change_it() -> None:
    plain, other, more = (
        fingerprint(Settings.from_mapping(BUCKETS | {"SOURCE_SUFFIXES": text})) for text in ("", ".dat", ".dat,.csv.gz")
    )
    assert len({plain, other, more}) == 3


@pytest.mark.parametrize(
    ("variable", "one", "other"),
    [
        ("SOURCE_SUFFIXES", ".dat,.out", ".csv,.out,.dat"),
        ("COLUMN_TYPES", '{"a": "date", "b": "decimal(9,2)"}', '{"b": "decimal(9, 2)", "a": "date"}'),
        ("NULL_VALUES", '["", "NA"]', '["NA", "", "NA"]'),
        ("OUTPUT_FORMATS", "avro,parquet", "parquet,avro"),
        ("NANOSECONDS", "0", "false"),
    ],
)
def test_settings_that_mean_the_same_have_one_fingerprint(variable: str, one: str, other: str) -> None:
    first, second = (fingerprint(Settings.from_mapping(BUCKETS | {variable: text})) for text in (one, other))
    assert first == second


def test_a_fingerprint_is_a_sha_256_in_hexadecimal() -> None:
    found = fingerprint(Settings.of("source-bucket", "target-bucket", column_types={"é\ud7ff": ColumnType("date")}))
    assert len(bytes.fromhex(found)) == 32

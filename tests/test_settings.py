"""Settings, after contract section 1."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.errors import AccessDeniedError, RetryableStoreError, SettingsError
from csv_transcode.schema import ColumnType
from csv_transcode.settings import Settings, expected_owners, setting_rows, variables

BUCKETS = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket"}
ONE_BUCKET = {"INPUT_BUCKET": "bucket", "OUTPUT_BUCKET": "bucket"}


def refused(mapping: dict[str, str], **arguments: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(mapping, **arguments)
    return str(caught.value)


def test_the_defaults_are_the_contract_s() -> None:
    found = Settings.from_mapping(BUCKETS)
    assert found == Settings.of("source-bucket", "target-bucket")
    assert (found.prefix, found.output_prefix, found.key_template) == (
        "",
        "processed/",
        "{output_prefix}{stem}.{format}",
    )
    assert (found.max_workers, found.use_wrangler, found.cache_size) == (20, False, 128)
    assert (found.output_formats, found.parquet_compression, found.avro_codec) == (
        ("parquet", "avro"),
        "snappy",
        "snappy",
    )
    assert (found.types, dict(found.column_types), found.decimals, found.nanoseconds) == ("infer", {}, "double", False)
    assert (found.delimiter, found.quote_char, found.escape_char, found.encoding) == (None, None, None, None)
    assert (found.header, found.null_values, found.max_rejected_ratio, found.log_level) == ("true", ("",), 0.1, "INFO")


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("PREFIX", " in/", "prefix", " in/"),
        ("OUTPUT_PREFIX", "out/é", "output_prefix", "out/é"),
        ("KEY_TEMPLATE", "{format}/{stem}", "key_template", "{format}/{stem}"),
        ("MAX_WORKERS", "1", "max_workers", 1),
        ("USE_WRANGLER", "TRUE", "use_wrangler", True),
        ("USE_WRANGLER", "0", "use_wrangler", False),
        ("CACHE_SIZE", "0", "cache_size", 0),
        ("OUTPUT_FORMATS", "avro", "output_formats", ("avro",)),
        ("OUTPUT_FORMATS", " Avro, parquet,avro", "output_formats", ("parquet", "avro")),
        ("PARQUET_COMPRESSION", "ZSTD", "parquet_compression", "zstd"),
        ("PARQUET_COMPRESSION", "none", "parquet_compression", "none"),
        ("AVRO_CODEC", "deflate", "avro_codec", "deflate"),
        ("TYPES", "string", "types", "string"),
        ("DECIMALS", "decimal", "decimals", "decimal"),
        ("NANOSECONDS", "yes", "nanoseconds", True),
        ("DELIMITER", ",", "delimiter", ","),
        ("QUOTE_CHAR", '"', "quote_char", '"'),
        ("ENCODING", "UTF8", "encoding", "utf-8"),
        ("ENCODING", "utf_8", "encoding", "utf-8"),
        ("HEADER", "false", "header", "false"),
        ("NULL_VALUES", '["NA", "", "é"]', "null_values", ("NA", "", "é")),
        ("NULL_VALUES", "[]", "null_values", ()),
        ("MAX_REJECTED_RATIO", "1", "max_rejected_ratio", 1.0),
        ("MAX_REJECTED_RATIO", "0", "max_rejected_ratio", 0.0),
        ("MAX_RECORD_BYTES", "1024", "max_record_bytes", 1024),
        ("MAX_COLUMNS", "7", "max_columns", 7),
        ("LOG_LEVEL", "critical", "log_level", "CRITICAL"),
        ("RETRIES_MAX", "0", "retries_max", 0),
        ("RETRY_BUDGET", "0", "retry_budget", 0),
        ("CONNECT_TIMEOUT_SECONDS", "0.5", "connect_timeout_seconds", 0.5),
        ("READ_TIMEOUT_SECONDS", "30", "read_timeout_seconds", 30.0),
        ("PART_BYTES_MAX", "5242880", "part_bytes", 5242880),
    ],
)
def test_a_text_becomes_a_value(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_mapping(BUCKETS | {variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("INPUT_BUCKET", "", "required: the name of a bucket"),
        ("OUTPUT_BUCKET", "arn:aws:s3:::b", "required: the name of a bucket"),
        ("OUTPUT_BUCKET", "s3://bucket", "required: the name of a bucket"),
        ("PREFIX", "x" * 1024, "fewer than 1024 bytes"),
        ("OUTPUT_PREFIX", "\udce9/", "valid UTF-8"),
        ("KEY_TEMPLATE", "{output_prefix}{name}.{format}", "{stem} once"),
        ("MAX_WORKERS", "0", "a whole number from 1 to 256"),
        ("MAX_WORKERS", "1_0", "a whole number from 1 to 256"),
        ("MAX_WORKERS", "٣", "a whole number from 1 to 256"),
        ("MAX_WORKERS", "2.0", "a whole number from 1 to 256"),
        ("MAX_WORKERS", "9" * 5000, "a whole number from 1 to 256"),
        ("USE_WRANGLER", "maybe", "one of true, 1, yes, on, false, 0, no, off"),
        ("CACHE_SIZE", "-1", "a whole number from 0"),
        ("OUTPUT_FORMATS", "parquet,orc", "one or more of parquet, avro"),
        ("OUTPUT_FORMATS", ",", "one or more of parquet, avro"),
        ("PARQUET_COMPRESSION", "lzo", "one of none, snappy, gzip, zstd, lz4, brotli"),
        ("AVRO_CODEC", "bzip2", "one of null, deflate, snappy, zstandard"),
        ("TYPES", "guess", "one of infer, string"),
        ("DECIMALS", "float", "one of double, decimal"),
        ("NULL_VALUES", "NA", "a JSON array"),
        ("NULL_VALUES", '{"a": 1}', "a JSON array"),
        ("NULL_VALUES", "[1]", "a JSON array"),
        ("NULL_VALUES", '["\\ud800"]', "a JSON array"),
        ("NULL_VALUES", "[" * 100_000, "a JSON array"),
        ("COLUMN_TYPES", '["int64"]', "a JSON object of column types"),
        ("COLUMN_TYPES", '{"a": 64}', "a JSON object of column types"),
        ("COLUMN_TYPES", '{"a": "int64", "a": "string"}', "a JSON object of column types"),
        ("COLUMN_TYPES", '{"prix": "decimal(39,2)"}', "column 'prix'"),
        ("COLUMN_TYPES", '{"prix": "float"}', "'float' is none of string, int64"),
        ("COLUMN_TYPES", "s3://bucket/types.json", "must be inline JSON"),
        ("MAX_REJECTED_RATIO", "1.01", "a number from 0 to 1"),
        ("MAX_REJECTED_RATIO", "nan", "a number from 0 to 1"),
        ("MAX_REJECTED_RATIO", "10 %", "a number from 0 to 1"),
        ("MAX_RECORD_BYTES", "0", "a whole number from 1"),
        ("MAX_COLUMNS", "1000000", "a whole number from 1 to 100000"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO"),
        ("RETRIES_MAX", "many", "a whole number from 0 to 20"),
        ("RETRY_BUDGET", "-1", "a whole number from 0 to 1000000"),
        ("READ_TIMEOUT_SECONDS", "0", "a number from 0.1 to 900"),
        ("CONNECT_TIMEOUT_SECONDS", "inf", "a number from 0.1 to 900"),
        ("PART_BYTES_MAX", "5242879", "a whole number from 5242880"),
        ("DELIMITER", ";;", "one ASCII character"),
        ("DELIMITER", "\n", "one ASCII character"),
        ("QUOTE_CHAR", "«", "one ASCII character"),
        ("ENCODING", "klingon", "the name of a character encoding"),
        ("ENCODING", "utf\0-8", "the name of a character encoding"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(variable: str, text: str, allowed: str) -> None:
    message = refused(BUCKETS | {variable: text})
    assert message.startswith("1 setting is wrong:\n")
    assert re.search(rf"^  {variable}=", message, re.MULTILINE)
    assert allowed in message


KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("MEMORY_BUDGET_MB", "512", "memory_budget_mb", 512),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769", "function_memory_mb", 1769),
        ("DEADLINE_MARGIN_SECONDS", "2.5", "deadline_margin_seconds", 2.5),
        ("DEADLINE_MARGIN_SECONDS", "0", "deadline_margin_seconds", 0.0),
        ("EXPECTED_INPUT_BUCKET_OWNER", "011122223333", "expected_input_bucket_owner", "011122223333"),
        ("EXPECTED_OUTPUT_BUCKET_OWNER", "111122223333", "expected_output_bucket_owner", "111122223333"),
        ("OUTPUT_KMS_KEY_ID", "alias/outputs", "output_kms_key_id", "alias/outputs"),
        ("OUTPUT_KMS_KEY_ID", KEY_ARN, "output_kms_key_id", KEY_ARN),
        ("SOURCE_SUFFIXES", " .DAT,.csv, .csv.GZ,.dat", "source_suffixes", (".dat", ".csv", ".csv.gz")),
    ],
)
def test_budgets_owners_and_suffixes_can_be_given(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_mapping(BUCKETS | {variable: text}), field) == value


def test_without_them_nothing_is_expected_and_the_budget_is_left_to_the_program() -> None:
    found = Settings.from_mapping(BUCKETS)
    assert (found.memory_budget_mb, found.function_memory_mb, found.deadline_margin_seconds) == (None, None, 10.0)
    assert (found.owners, found.output_kms_key_id) == ({}, None)
    assert found.source_suffixes == (".csv", ".tsv", ".psv", ".txt")


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("MEMORY_BUDGET_MB", "63", "a whole number from 64"),
        ("MEMORY_BUDGET_MB", "2GB", "a whole number from 64"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "much", "a whole number from 1"),
        ("DEADLINE_MARGIN_SECONDS", "-1", "a number from 0 to 900"),
        ("DEADLINE_MARGIN_SECONDS", "901", "a number from 0 to 900"),
        ("EXPECTED_INPUT_BUCKET_OWNER", "11122223333", "the 12 digits of an AWS account"),
        ("EXPECTED_INPUT_BUCKET_OWNER", "1111-2222-3333", "the 12 digits of an AWS account"),
        ("EXPECTED_OUTPUT_BUCKET_OWNER", "\u0661" * 12, "the 12 digits of an AWS account"),
        ("EXPECTED_OUTPUT_BUCKET_OWNER", "111122223333\n", "the 12 digits of an AWS account"),
        ("OUTPUT_KMS_KEY_ID", "key 1", "the ARN of a KMS key"),
        ("SOURCE_SUFFIXES", "csv", "suffixes in small letters"),
        ("SOURCE_SUFFIXES", ".csv,,.txt", "suffixes in small letters"),
        ("SOURCE_SUFFIXES", ".", "suffixes in small letters"),
        ("SOURCE_SUFFIXES", ".csv.csv", "suffixes in small letters"),
        ("SOURCE_SUFFIXES", ".*", "suffixes in small letters"),
    ],
)
def test_budgets_owners_and_suffixes_that_cannot_be_are_refused(variable: str, text: str, allowed: str) -> None:
    message = refused(BUCKETS | {variable: text})
    assert re.search(rf"^  {variable}=", message, re.MULTILINE)
    assert allowed in message


INPUT_OWNER, OUTPUT_OWNER = "111111111111", "222222222222"


@pytest.mark.parametrize(
    ("given", "owners"),
    [
        (BUCKETS | {"EXPECTED_INPUT_BUCKET_OWNER": INPUT_OWNER}, {"source-bucket": INPUT_OWNER}),
        (BUCKETS | {"EXPECTED_OUTPUT_BUCKET_OWNER": OUTPUT_OWNER}, {"target-bucket": OUTPUT_OWNER}),
        (
            BUCKETS | {"EXPECTED_INPUT_BUCKET_OWNER": INPUT_OWNER, "EXPECTED_OUTPUT_BUCKET_OWNER": OUTPUT_OWNER},
            {"source-bucket": INPUT_OWNER, "target-bucket": OUTPUT_OWNER},
        ),
        (ONE_BUCKET | {"PREFIX": "in/", "EXPECTED_INPUT_BUCKET_OWNER": INPUT_OWNER}, {"bucket": INPUT_OWNER}),
        (ONE_BUCKET | {"PREFIX": "in/", "EXPECTED_OUTPUT_BUCKET_OWNER": OUTPUT_OWNER}, {"bucket": OUTPUT_OWNER}),
    ],
)
def test_every_bucket_has_the_owner_that_is_given(given: dict[str, str], owners: dict[str, str]) -> None:
    assert Settings.from_mapping(given).owners == owners


@pytest.mark.parametrize("given", [BUCKETS, ONE_BUCKET | {"PREFIX": "in/"}])
@pytest.mark.parametrize("variable", ["EXPECTED_INPUT_BUCKET_OWNER", "EXPECTED_OUTPUT_BUCKET_OWNER"])
def test_owners_are_known_before_settings_hold(given: dict[str, str], variable: str) -> None:
    mapping = given | {variable: INPUT_OWNER}
    assert expected_owners(mapping) == Settings.from_mapping(mapping).owners
    assert expected_owners({variable: INPUT_OWNER, "MAX_WORKERS": "x"}) == {}


def test_one_bucket_cannot_have_two_owners() -> None:
    owners = {"EXPECTED_INPUT_BUCKET_OWNER": INPUT_OWNER, "EXPECTED_OUTPUT_BUCKET_OWNER": OUTPUT_OWNER}
    assert "EXPECTED_OUTPUT_BUCKET_OWNER='222222222222': must be '111111111111'" in refused(
        ONE_BUCKET | {"PREFIX": "in/"} | owners
    )


@pytest.mark.parametrize("variable", variables())
def test_an_empty_text_is_the_same_as_none(variable: str) -> None:
    if variable not in BUCKETS:
        assert Settings.from_mapping(BUCKETS | {variable: ""}) == Settings.from_mapping(BUCKETS)


def test_the_usual_decimal_separator_is_taken() -> None:
    assert Settings.from_mapping(BUCKETS | {"DECIMAL_SEPARATOR": "."}) == Settings.from_mapping(BUCKETS)


def test_all_that_is_wrong_is_in_one_message() -> None:
    message = refused({"OUTPUT_BUCKET": "b", "MAX_WORKERS": "x", "SOURCE_SUFFIXES": "x", "TYPES": "y", "PREFIX": ""})
    assert message.startswith("5 settings are wrong:\n")
    for variable in ("INPUT_BUCKET=''", "OUTPUT_BUCKET='b'", "MAX_WORKERS='x'", "SOURCE_SUFFIXES='x'", "TYPES='y'"):
        assert f"\n  {variable}: " in message


def test_a_long_value_is_shown_in_part() -> None:
    assert len(refused(BUCKETS | {"TYPES": "x" * 100_000})) < 300


@pytest.mark.parametrize(
    ("prefix", "output_prefix", "template", "loops"),
    [
        pytest.param("in/", "processed/", None, False, id="apart"),
        pytest.param("in/", "in/processed/", None, True, id="outputs inside"),
        pytest.param("processed/in/", "processed/", None, True, id="sources inside"),
        pytest.param("in/", "in/", None, True, id="the same"),
        pytest.param("", "processed/", None, True, id="everything is a source"),
        pytest.param("in", "inbox/", None, True, id="taken literally: in matches inbox/"),
        pytest.param("inbox/", "in/", None, False, id="a common beginning is no overlap"),
        pytest.param("in/", "processed/", "{stem}.{format}", True, id="template without a head"),
        pytest.param("in/", "processed/", "in/{stem}.{format}", True, id="template under the sources"),
        pytest.param("in/", "processed/", "i{stem}.{format}", True, id="template that could begin so"),
        pytest.param("in/", "processed/", "tables/{format}/{stem}", False, id="template elsewhere"),
        pytest.param("processed/in/", "processed/", "tables/{format}/{stem}", True, id="sources among the records"),
        pytest.param("avro/", "processed/", "{format}/{stem}.{format}", True, id="one format's folder is the sources'"),
    ],
)
def test_outputs_can_never_become_sources(
    prefix: str,
    output_prefix: str,
    template: str | None,
    loops: bool,  # noqa: FBT001 - a column of the table
) -> None:
    chosen = {"PREFIX": prefix, "OUTPUT_PREFIX": output_prefix, "KEY_TEMPLATE": template or ""}
    if loops:
        assert "overlaps PREFIX" in refused(ONE_BUCKET | chosen)
    else:
        assert Settings.from_mapping(ONE_BUCKET | chosen).prefix == prefix
    # In two buckets nothing can loop.
    assert Settings.from_mapping(BUCKETS | chosen).prefix == prefix


def test_an_output_can_never_take_a_manifest_s_key() -> None:
    assert "processed/_manifests/" in refused(BUCKETS | {"KEY_TEMPLATE": "{output_prefix}{stem}.{format}.json"})


@given(*[st.text("ab/", max_size=4)] * 3, st.sampled_from(["", "a", "b/", "{output_prefix}", "a/{output_prefix}"]))
def test_what_passes_the_loop_guard_makes_no_sources(prefix: str, output: str, stem: str, head: str) -> None:
    try:
        accepted = Settings.of(
            "bucket", "bucket", prefix=prefix, output_prefix=output, key_template=head + "{stem}.{format}"
        )
    except SettingsError:
        return
    assert not any(key.startswith(prefix) for key in accepted.key_map.map(prefix + stem))


def test_column_types_are_read_from_inline_json() -> None:
    found = Settings.from_mapping(BUCKETS | {"COLUMN_TYPES": '{"id": "string", "prix (€)": "decimal(18, 2)"}'})
    assert dict(found.column_types) == {"id": ColumnType("string"), "prix (€)": ColumnType("decimal", 18, 2)}


def test_column_types_are_fetched_from_s3() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return b'{"id": "int64"}'

    found = Settings.from_mapping(BUCKETS | {"COLUMN_TYPES": "s3://bucket/types.json"}, fetch)
    assert (dict(found.column_types), asked) == ({"id": ColumnType("int64")}, ["s3://bucket/types.json"])


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"{", b"[]", b'{"a": "b"}', b" " * (1 << 20) + b"{}"],
    ids=["bytes", "text", "list", "type", "size"],
)
def test_a_fetched_object_is_held_to_the_same_rules(content: bytes) -> None:
    assert "COLUMN_TYPES='s3://b/k'" in refused(BUCKETS | {"COLUMN_TYPES": "s3://b/k"}, fetch=lambda _: content)


def test_a_fetch_that_is_denied_is_a_wrong_setting_and_one_that_may_be_repeated_is_not() -> None:
    def denied(url: str) -> bytes:
        raise AccessDeniedError(url)

    def throttled(url: str) -> bytes:
        raise RetryableStoreError(url)

    assert "cannot be read" in refused(BUCKETS | {"COLUMN_TYPES": "s3://b/k"}, fetch=denied)
    with pytest.raises(RetryableStoreError):
        Settings.from_mapping(BUCKETS | {"COLUMN_TYPES": "s3://b/k"}, throttled)


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ({}, {"snappy"}),
        ({"PARQUET_COMPRESSION": "zstd", "AVRO_CODEC": "null"}, {"zstd"}),
        ({"AVRO_CODEC": "zstandard", "OUTPUT_FORMATS": "avro"}, {"zstd"}),
        ({"PARQUET_COMPRESSION": "none", "AVRO_CODEC": "deflate"}, set()),
    ],
)
def test_arrow_is_asked_for_the_codecs_that_are_used(chosen: dict[str, str], asked: set[str]) -> None:
    found: set[str] = set()

    def has_codec(codec: str) -> bool:
        found.add(codec)
        return True

    Settings.from_mapping(BUCKETS | chosen, has_codec=has_codec)
    assert found == asked


def test_a_codec_that_arrow_lacks_is_refused() -> None:
    message = refused(BUCKETS | {"PARQUET_COMPRESSION": "zstd"}, has_codec=lambda codec: codec != "zstd")
    assert "PARQUET_COMPRESSION='zstd': the installed Arrow lacks this codec" in message


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "lz4", "brotli"])
def test_the_installed_arrow_has_every_codec(codec: str) -> None:
    assert Settings.from_mapping(BUCKETS | {"PARQUET_COMPRESSION": codec}).parquet_compression == codec


def test_wrangler_is_refused_where_it_is_not_installed() -> None:
    message = refused(BUCKETS | {"USE_WRANGLER": "True"}, has_module=lambda name: name != "awswrangler")
    assert "USE_WRANGLER=True: awswrangler is not installed here; unset USE_WRANGLER, or deploy" in message


def test_wrangler_is_asked_for_only_where_it_is_used() -> None:
    asked: list[str] = []

    def has_module(name: str) -> bool:
        asked.append(name)
        return True

    assert not Settings.from_mapping(BUCKETS, has_module=has_module).use_wrangler
    assert asked == []
    assert Settings.from_mapping(BUCKETS | {"USE_WRANGLER": "True"}, has_module=has_module).use_wrangler
    assert asked == ["awswrangler"]


def test_the_installed_wrangler_is_found() -> None:
    assert Settings.from_mapping(BUCKETS | {"USE_WRANGLER": "True"}).use_wrangler
    assert Settings.of("source-bucket", "target-bucket", use_wrangler=True).use_wrangler


def test_codecs_that_many_readers_lack_are_warned_of() -> None:
    assert "brotli" in Settings.of("source-bucket", "target-bucket", parquet_compression="brotli").warnings[0]
    assert not Settings.of("source-bucket", "target-bucket").warnings


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"max_workers": "20"}, "MAX_WORKERS='20'"),
        ({"max_workers": True}, "MAX_WORKERS=True"),
        ({"max_rejected_ratio": None}, "MAX_REJECTED_RATIO=None"),
        ({"nanoseconds": "yes"}, "NANOSECONDS='yes'"),
        ({"output_formats": ["parquet"]}, "OUTPUT_FORMATS=['parquet']"),
        ({"output_formats": ("avro", "parquet")}, "OUTPUT_FORMATS=('avro', 'parquet')"),
        ({"output_formats": ()}, "OUTPUT_FORMATS=()"),
        ({"null_values": [""]}, "NULL_VALUES=['']"),
        ({"column_types": {"a": "int64"}}, "COLUMN_TYPES="),
        ({"column_types": {"a": ColumnType("timestamp", nanoseconds=True)}}, "COLUMN_TYPES="),
        ({"column_types": 3}, "COLUMN_TYPES=3"),
        ({"header": "maybe"}, "HEADER='maybe'"),
        ({"delimiter": "\n"}, r"DELIMITER='\n'"),
        ({"log_level": "info"}, "LOG_LEVEL='info'"),
        ({"prefix": None}, "PREFIX=None"),
        ({"memory_budget_megabytes": 3}, "memory_budget_megabytes: there is no such setting"),
        ({"memory_budget_mb": 3}, "MEMORY_BUDGET_MB=3"),
        ({"source_suffixes": (".CSV",)}, "SOURCE_SUFFIXES=('.CSV',)"),
        ({"source_suffixes": ()}, "SOURCE_SUFFIXES=()"),
        ({"source_suffixes": ".csv"}, "SOURCE_SUFFIXES='.csv'"),
        ({"expected_input_bucket_owner": 111122223333}, "EXPECTED_INPUT_BUCKET_OWNER=111122223333"),
        ({"column_typos": {}, "workers": 3}, "2 settings are wrong"),
    ],
)
def test_typed_values_pass_the_same_checks(overrides: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of("source-bucket", "target-bucket", **overrides)
    assert named in str(caught.value)


def test_settings_do_not_change_once_they_are_made() -> None:
    types = {"a": ColumnType("date")}
    found = Settings.of("source-bucket", "target-bucket", column_types=types)
    types["b"] = ColumnType("date")
    assert set(found.column_types) == {"a"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.prefix = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.column_types["b"] = ColumnType("date")  # type: ignore[index]
    with pytest.raises(SettingsError, match="MAX_WORKERS"):
        dataclasses.replace(found, max_workers=0)


def test_the_rows_for_the_readme_are_complete_and_true() -> None:
    rows = setting_rows()
    documented = [item for item in dataclasses.fields(Settings) if item.name != "function_memory_mb"]  # Lambda's own
    assert len(rows) == len(documented) == len({variable for variable, _, _ in rows})
    words = ("required", "empty", "detected", "the function's memory, else the cgroup's")
    stated = {variable: text for variable, text, _ in rows if text not in words}
    assert Settings.from_mapping(BUCKETS | stated) == Settings.from_mapping(BUCKETS)
    assert all(meaning and "\n" not in meaning and "|" not in meaning for _, _, meaning in rows)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("DELIMITER", "tab", "delimiter", "\t"),
        ("DELIMITER", "\\t", "delimiter", "\t"),
        ("DELIMITER", "|", "delimiter", "|"),
        ("QUOTE_CHAR", "none", "quote_char", ""),
        ("QUOTE_CHAR", "'", "quote_char", "'"),
        ("ESCAPE_CHAR", "\\", "escape_char", "\\"),
        ("ESCAPE_CHAR", "None", "escape_char", ""),
        ("ENCODING", "latin-1", "encoding", "iso8859-1"),
        ("ENCODING", "UTF-8-SIG", "encoding", "utf-8"),
        ("HEADER", "auto", "header", "auto"),
        ("DECIMAL_SEPARATOR", ",", "decimal_separator", ","),
        ("MAX_DECOMPRESSED_BYTES", "1000", "max_decompressed_bytes", 1000),
        ("MAX_DECOMPRESSION_RATIO", "1.5", "max_decompression_ratio", 1.5),
    ],
)
def test_how_a_source_is_written_can_be_given(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_mapping(BUCKETS | {variable: text}), field) == value


@pytest.mark.parametrize(
    "given",
    [
        {"DELIMITER": "ab"},
        {"DELIMITER": "\u00a7"},
        {"DELIMITER": "none"},
        {"QUOTE_CHAR": "\r"},
        {"DELIMITER": ";", "QUOTE_CHAR": ";"},
        {"DELIMITER": ";", "ESCAPE_CHAR": ";"},
        {"ENCODING": "punycode"},
    ],
)
def test_characters_that_cannot_be_told_apart_or_are_none_are_refused(given: dict[str, str]) -> None:
    assert any(variable in refused(BUCKETS | given) for variable in given)

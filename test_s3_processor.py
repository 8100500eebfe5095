"""What csv_transcode promises, read from top to bottom as a specification.

Everything runs in one process, against moto's imitation of S3: no account, no network. What is written is read back by
pandas, pyarrow and fastavro, never by the code that wrote it. Real servers, faults and races are in ``tests/``.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import re
import threading
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import boto3
import fastavro
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import lambda_handler
from csv_transcode import errors
from csv_transcode.report import Outcome
from csv_transcode.settings import Settings
from s3_data_processor import S3DataProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

LANDING: Final = "source-bucket"  # as the events in tests/events name it
LAKE: Final = "target-bucket"
EVENTS: Final = Path(__file__).parent / "tests" / "events"
PLAIN_KEY: Final = "in/orders/2026-11-01.csv"
SPECIAL_KEY: Final = "in/Größe 100%+Rabatt.csv"
DAY: Final = b"id,name,price\n1,apple,1.50\n2,,2.25\n3,p\xc3\xa4r,0.75\n"
BAD: Final = b"id,name\n1,apple\n2,pear,and one more\n"
BAD_REASON: Final = r"record 2 \(line 3, byte 16\): 3 fields, header has 2"
MESSY: Final = b'id,name,price\n1,apple,1.50\n9,orange\n2,,2.25\n9,"plum,0.50\n3,p\xc3\xa4r,0.75\n'
ROWS: Final = [
    {"id": 1, "name": "apple", "price": 1.5},
    {"id": 2, "name": None, "price": 2.25},
    {"id": 3, "name": "pär", "price": 0.75},
]


@pytest.fixture(scope="module")
def _client() -> Iterator[S3Client]:
    """Yield one client for all tests: making one takes longer than most of them."""
    with pytest.MonkeyPatch.context() as environment:
        use_no_account(environment)
        yield boto3.client("s3")


@pytest.fixture(autouse=True)
def s3(_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    """Yield the client, with an empty imitation of S3 behind it and both buckets made."""
    use_no_account(monkeypatch)
    with mock_aws():
        _client.create_bucket(Bucket=LANDING)
        _client.create_bucket(Bucket=LAKE)
        yield _client


@pytest.fixture
def sent(s3: S3Client) -> Iterator[list[str]]:
    """Yield a list that grows by "operation bucket/key" with every request that leaves the client."""
    requests: list[str] = []

    def before_send(event_name: str, request: Any, **_: object) -> None:
        url = urlsplit(request.url)
        bucket = str(url.hostname).partition(".")[0]
        requests.append(f"{event_name.rpartition('.')[2]} {bucket}{unquote(url.path)}")

    with listening(s3, "before-send.s3", before_send):
        yield requests


@contextmanager
def listening(s3: S3Client, event: str, handler: Callable[..., None]) -> Iterator[None]:
    """Hang ``handler`` into the client's requests for a while."""
    s3.meta.events.register_first(event, handler)
    yield
    s3.meta.events.unregister(event, handler)


def use_no_account(environment: pytest.MonkeyPatch) -> None:
    """See to it that nobody's own account is met."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        environment.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def processor(s3: S3Client) -> Iterator[S3DataProcessor]:
    with S3DataProcessor(LANDING, LAKE, "in/", s3_client=s3) as made:
        yield made


@contextmanager
def configured(s3: S3Client, **overrides: Any) -> Iterator[S3DataProcessor]:
    """Make a processor with other settings than the defaults."""
    settings = Settings.of(LANDING, LAKE, **({"prefix": "in/"} | overrides))
    with S3DataProcessor(LANDING, LAKE, settings=settings, s3_client=s3) as made:
        yield made


def put(s3: S3Client, key: str, body: bytes) -> None:
    s3.put_object(Bucket=LANDING, Key=key, Body=body)


def get(s3: S3Client, key: str, bucket: str = LAKE) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def keys(s3: S3Client) -> list[str]:
    """Return the keys of everything in the output bucket."""
    return sorted(entry["Key"] for entry in s3.list_objects_v2(Bucket=LAKE).get("Contents", ()))


def parquet(s3: S3Client, key: str) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(get(s3, key)), page_checksum_verification=True).read()


def avro(s3: S3Client, key: str) -> list[Any]:
    return list(fastavro.reader(io.BytesIO(get(s3, key))))


def avro_types(s3: S3Client, key: str) -> dict[str, Any]:
    """Return what each field can be beside null, by name."""
    schema: Any = fastavro.reader(io.BytesIO(get(s3, key))).writer_schema
    return {field["name"]: field["type"][1] for field in schema["fields"]}


def rejects(s3: S3Client) -> list[Any]:
    """Return what is said of the records of ``in/day.csv`` that were rejected."""
    return [json.loads(line) for line in get(s3, "processed/_rejects/day.csv.jsonl").splitlines()]


class TestOneObject:
    """An object becomes a Parquet and an Avro object with the same records, and a manifest that says so."""

    def test_both_outputs_hold_every_record(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/2026/day.csv", DAY)
        assert processor.convert("in/2026/day.csv").outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/2026/day.parquet").to_pylist() == ROWS
        assert avro(s3, "processed/2026/day.avro") == ROWS
        read_by_pandas = pd.read_parquet(io.BytesIO(get(s3, "processed/2026/day.parquet")), dtype_backend="pyarrow")
        assert read_by_pandas["id"].tolist() == [1, 2, 3]

    def test_the_manifest_names_what_stands(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        processor.convert("in/day.csv")
        manifest = json.loads(get(s3, "processed/_manifests/day.csv.json"))
        source = s3.head_object(Bucket=LANDING, Key="in/day.csv")
        assert (manifest["manifest_version"], manifest["state"]) == (1, "committed")
        assert manifest["source"] == {
            "bucket": LANDING,
            "key": "in/day.csv",
            "version_id": None,
            "etag": source["ETag"].strip('"'),
            "size": len(DAY),
        }
        assert manifest["records"] == {"read": 3, "written": 3, "rejected": 0}
        assert manifest["rejects"] is None
        assert [(one["name"], one["type"]) for one in manifest["schema"]] == [
            ("id", "int64"),
            ("name", "string"),
            ("price", "double"),
        ]
        assert [one["format"] for one in manifest["outputs"]] == ["parquet", "avro"]
        for output in manifest["outputs"]:
            head = s3.head_object(Bucket=LAKE, Key=output["key"])
            assert (output["bytes"], f'"{output["etag"]}"') == (head["ContentLength"], head["ETag"])
            assert (output["bucket"], output["rows"], output["version_id"]) == (LAKE, 3, None)

    def test_five_requests_convert_and_two_see_that_it_stands(
        self, s3: S3Client, processor: S3DataProcessor, sent: list[str]
    ) -> None:
        put(s3, "in/day.csv", DAY)
        sent.clear()
        processor.convert("in/day.csv")
        manifest, source = f"{LAKE}/processed/_manifests/day.csv.json", f"{LANDING}/in/day.csv"
        assert sent[:2] == [f"GetObject {manifest}", f"GetObject {source}"]
        outputs = [f"PutObject {LAKE}/processed/day.{name}" for name in ("avro", "parquet")]
        assert sorted(sent[2:4]) == outputs
        assert sent[4:] == [f"PutObject {manifest}"]
        sent.clear()
        assert processor.convert("in/day.csv").outcome is Outcome.SKIPPED
        assert sent == [f"GetObject {manifest}", f"GetObject {source}"]

    def test_process_file_answers_with_key_and_seconds(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        put(s3, "in/bad.csv", BAD)
        bad, day = processor.list_s3_objects()
        key, seconds = processor.process_file(day)
        assert key == "in/day.csv"
        assert seconds > 0
        assert processor.process_file("in/day.csv") == ("in/day.csv", 0.0)  # stands converted: skipped
        assert processor.process_file(bad) == ("in/bad.csv", -1.0)
        assert processor.process_file("in/none.csv") == ("in/none.csv", -1.0)
        assert processor.process_file("elsewhere/day.csv") == ("elsewhere/day.csv", 0.0)

    @pytest.mark.parametrize(
        ("content", "rows"),
        [
            (b"a,b\n", []),
            (b"a,b", []),
            (b"a,b\n1,x", [{"a": 1, "b": "x"}]),
            (b"a,b\r\n1,x\r\n2,y\r\n", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
            (b"\xef\xbb\xbfa,b\n1,x\n", [{"a": 1, "b": "x"}]),
            (b'a,b\n1,"x, ""y""\nz"\n', [{"a": 1, "b": 'x, "y"\nz'}]),
            (b'a,b\n1,""\n2,\n', [{"a": 1, "b": ""}, {"a": 2, "b": None}]),
            (b"a,b\n\n1,x\n\n", [{"a": 1, "b": "x"}]),
            (b"a\n1\n\n3\n\n\n", [{"a": 1}, {"a": None}, {"a": 3}]),
            (b"a,a,\n1,2,3\n", [{"a": 1, "a_2": 2, "column_3": 3}]),
        ],
        ids=[
            *("header only", "header without line end", "no last line end", "CR LF", "byte-order mark"),
            *("quoted", "empty text and null", "blank lines", "blank lines of one column", "repeated and empty names"),
        ],
    )
    def test_records_are_those_of_the_text(
        self, s3: S3Client, processor: S3DataProcessor, content: bytes, rows: list[dict[str, Any]]
    ) -> None:
        put(s3, "in/day.csv", content)
        assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/day.parquet").to_pylist() == rows
        assert avro(s3, "processed/day.avro") == rows
        assert json.loads(get(s3, "processed/_manifests/day.csv.json"))["records"]["written"] == len(rows)


class TestManyObjects:
    """Everything under the prefix, at once, and one that fails is nobody else's trouble."""

    @pytest.mark.long
    def test_thousands_of_keys_are_listed_page_by_page(self, processor: S3DataProcessor, sent: list[str]) -> None:
        names = [f"in/{number:04}.csv" for number in range(1005)]
        for name in names:  # into the imitation itself: as many requests would take seconds
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(LANDING, name, b"a\n1\n")
        assert [found["Key"] for found in processor.list_s3_objects()] == names
        assert sent == [f"ListObjectsV2 {LANDING}/"] * 2

    def test_only_sources_are_listed(self, s3: S3Client, processor: S3DataProcessor) -> None:
        sources = ["in/A.CSV", "in/a.tsv", "in/b.psv", "in/c.txt", "in/d.csv", "in/d.csv.GZ", "in/sub/e.csv.zst"]
        others = ["day.csv", "in/", "in/image.png", "in/noise", "in/sub/", "inbox/day.csv", "processed/day.csv"]
        for name in sources + others:
            put(s3, name, b"")
        assert [found["Key"] for found in processor.list_s3_objects()] == sources
        with configured(s3, prefix="in") as literal:  # a prefix is taken literally: it has no slash of its own
            assert "inbox/day.csv" in [found["Key"] for found in literal.list_s3_objects()]

    def test_a_listed_object_is_what_s3_says_of_it(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        told = s3.list_objects_v2(Bucket=LANDING)["Contents"][0]
        found = processor.list_s3_objects()[0]
        assert {name: told[name] for name in found} == found  # type: ignore[literal-required]
        assert found.keys() >= {"Key", "Size", "ETag", "LastModified", "StorageClass"}

    def test_a_failed_listing_raises(self, s3: S3Client, processor: S3DataProcessor) -> None:
        s3.delete_bucket(Bucket=LANDING)
        for listing in (processor.list_s3_objects, processor.process_all_files, processor.run):
            with pytest.raises(errors.BucketNotFoundError, match=f"ListObjectsV2 s3://{LANDING}/in/: 404"):
                listing()

    def test_one_bad_object_among_good_ones(self, s3: S3Client, processor: S3DataProcessor) -> None:
        for number in range(12):
            put(s3, f"in/{number:02}.csv", BAD if number == 5 else DAY)
        put(s3, "in/readme.md", b"")
        report = processor.run()
        outcomes = {"in/05.csv": Outcome.FAILED, "in/readme.md": Outcome.SKIPPED}
        names = [*(f"in/{number:02}.csv" for number in range(12)), "in/readme.md"]
        assert [(one.key, one.outcome) for one in report.results] == [
            (name, outcomes.get(name, Outcome.CONVERTED)) for name in names
        ]
        told = report.to_dict()
        assert told["statusCode"] == 500
        assert told["files"] == {"converted": 11, "skipped": 1, "failed": 1, "deferred": 0}
        assert told["records"] == {"read": 33, "written": 33, "rejected": 0}
        assert told["bytes"]["read"] == 11 * len(DAY)
        assert parquet(s3, "processed/11.parquet").num_rows == 3

    def test_process_all_files_answers_with_the_seconds_of_those_converted(
        self, s3: S3Client, processor: S3DataProcessor
    ) -> None:
        for name in ("in/a.csv", "in/b.csv"):
            put(s3, name, DAY)
        put(s3, "in/bad.csv", BAD)
        processor.process_file("in/a.csv")
        seconds = processor.process_all_files()
        assert list(seconds) == ["in/b.csv"]
        assert seconds["in/b.csv"] > 0

    def test_objects_are_converted_at_once_by_as_many_threads_as_asked_for(self, s3: S3Client) -> None:
        for number in range(9):
            put(s3, f"in/{number}.csv", DAY)
        meeting = threading.Barrier(3)  # nobody goes on before three requests are under way
        threads = set()

        def before_send(request: Any, **_: object) -> None:
            if "_manifests" in request.url and request.method == "GET":
                threads.add(threading.current_thread().name)
                meeting.wait(timeout=10)

        with configured(s3, max_workers=3) as processor, listening(s3, "before-send.s3.GetObject", before_send):
            assert len(processor.process_all_files()) == 9
        assert len(threads) == 3

    def test_every_worker_finds_a_connection(self) -> None:
        with S3DataProcessor(LANDING, LAKE, max_workers=50) as processor:
            assert processor._client.meta.config.max_pool_connections >= 2 * 50

    def test_chosen_objects(self, s3: S3Client, processor: S3DataProcessor) -> None:
        for name in ("in/a.csv", "in/b.csv", "in/c.csv"):
            put(s3, name, DAY)
        b, c = (found for found in processor.list_s3_objects() if found["Key"] != "in/a.csv")
        assert [one.key for one in processor.run([c, b, "in/none.csv"]).results] == [
            *("in/c.csv", "in/b.csv", "in/none.csv"),
        ]
        assert "processed/a.parquet" not in keys(s3)


class TestTypes:
    """A column's type is the narrowest from which every cell's text can be written again (contract section 4)."""

    @pytest.mark.parametrize(
        ("cells", "kind", "avro_kind", "values"),
        [
            ("0 -1 9223372036854775807", pa.int64(), "long", [0, -1, 2**63 - 1]),
            ("007 2", pa.string(), "string", ["007", "2"]),
            ("9223372036854775808 1", pa.string(), "string", ["9223372036854775808", "1"]),
            ("1.50 2.25", pa.float64(), "double", [1.5, 2.25]),
            ("1.9 1.10", pa.string(), "string", ["1.9", "1.10"]),
            ("1.5E10 -2.5e-7", pa.float64(), "double", [1.5e10, -2.5e-7]),
            ("1e5 2e5", pa.string(), "string", ["1e5", "2e5"]),
            (
                "12345678901234567.89 0.01",
                pa.decimal128(38, 2),
                {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2},
                [Decimal("12345678901234567.89"), Decimal("0.01")],
            ),
            ("true false", pa.bool_(), "boolean", [True, False]),
            ("true False", pa.string(), "string", ["true", "False"]),
            (
                *("2026-02-28 1582-10-15", pa.date32(), {"type": "int", "logicalType": "date"}),
                [dt.date(2026, 2, 28), dt.date(1582, 10, 15)],
            ),
            ("2026-02-29 2026-01-01", pa.string(), "string", ["2026-02-29", "2026-01-01"]),
            (
                "2026-01-02T03:04:05.25 2026-01-02T03:04:05",
                pa.timestamp("us"),
                {"type": "long", "logicalType": "local-timestamp-micros"},
                [dt.datetime(2026, 1, 2, 3, 4, 5, 250_000), dt.datetime(2026, 1, 2, 3, 4, 5)],  # noqa: DTZ001 -- local
            ),
            (
                "2026-01-02T03:04Z",
                pa.timestamp("us", "UTC"),
                {"type": "long", "logicalType": "timestamp-micros"},
                [dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)],
            ),
            ("2026-01-02T03:04+02:00", pa.string(), "string", ["2026-01-02T03:04+02:00"]),
            ("NA null", pa.string(), "string", ["NA", "null"]),
        ],
    )
    def test_a_column_s_type(
        self, s3: S3Client, cells: str, kind: pa.DataType, avro_kind: Any, values: list[Any]
    ) -> None:
        put(s3, "in/day.csv", "\n".join(["c,other", *(f"{cell}," for cell in cells.split())]).encode())
        with configured(s3) as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        table = parquet(s3, "processed/day.parquet")
        assert (table.schema.field("c").type, table["c"].to_pylist()) == (kind, values)
        assert avro_types(s3, "processed/day.avro")["c"] == avro_kind
        assert [record["c"] for record in avro(s3, "processed/day.avro")] == values

    def test_the_whole_file_decides(self, s3: S3Client, processor: S3DataProcessor) -> None:
        cells = [*(str(number) for number in range(6000)), "n/a"]  # and the exception is far behind the beginning
        put(s3, "in/day.csv", "\n".join(["c,other", *(f"{cell},{'x' * 1000}" for cell in cells)]).encode())
        assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/day.parquet")["c"].to_pylist() == cells
        assert [record["c"] for record in avro(s3, "processed/day.avro")] == cells
        entry = json.loads(get(s3, "processed/_manifests/day.csv.json"))["schema"][0]
        assert (entry["type"], entry["ruled_out"]) == ("string", {"type": "int64", "record": 6001})


class TestSettings:
    """Other settings, other outputs."""

    @pytest.mark.parametrize(
        ("overrides", "schema"),
        [
            ({"types": "string"}, {"n": pa.string(), "d": pa.string(), "t": pa.string()}),
            ({"decimals": "decimal"}, {"n": pa.int64(), "d": pa.decimal128(18, 2), "t": pa.string()}),
            ({"nanoseconds": True}, {"n": pa.int64(), "d": pa.float64(), "t": pa.timestamp("ns")}),
            ({"null_values": ("7",)}, {"n": pa.int64(), "d": pa.float64(), "t": pa.string()}),
            ({"header": "false"}, {"column_1": pa.string(), "column_2": pa.string(), "column_3": pa.string()}),
        ],
        ids=str,
    )
    def test_typing(self, s3: S3Client, overrides: dict[str, Any], schema: dict[str, pa.DataType]) -> None:
        put(s3, "in/day.csv", b"n,d,t\n7,1.50,2026-01-01T00:00:00.123456789\n8,2.25,2026-01-01T00:00:00.5\n")
        with configured(s3, **overrides) as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        table = parquet(s3, "processed/day.parquet")
        assert dict(zip(table.column_names, table.schema.types, strict=True)) == schema
        assert (table[0].null_count == 1) == ("null_values" in overrides)

    def test_column_types_are_kept(self, s3: S3Client) -> None:
        types = {"COLUMN_TYPES": '{"zip": "string", "price": "decimal(10,2)"}'}
        settings = Settings.from_mapping({"INPUT_BUCKET": LANDING, "OUTPUT_BUCKET": LAKE, "PREFIX": "in/"} | types)
        put(s3, "in/day.csv", b"zip,price\n2134,1.50\n")
        with S3DataProcessor(LANDING, LAKE, settings=settings, s3_client=s3) as processor:
            processor.convert("in/day.csv")
        assert parquet(s3, "processed/day.parquet").to_pylist() == [{"zip": "2134", "price": Decimal("1.50")}]

    def test_a_value_that_does_not_fit_its_column_type_is_rejected(self, s3: S3Client) -> None:
        settings = Settings.from_mapping(
            {"INPUT_BUCKET": LANDING, "OUTPUT_BUCKET": LAKE, "COLUMN_TYPES": '{"id": "int64"}', "PREFIX": "in/"}
            | {"MAX_REJECTED_RATIO": "0.25"}
        )
        put(s3, "in/day.csv", b"id\n1\n2\nsecret\n4\n")
        with S3DataProcessor(LANDING, LAKE, settings=settings, s3_client=s3) as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        assert avro(s3, "processed/day.avro") == [{"id": 1}, {"id": 2}, {"id": 4}]
        (told,) = rejects(s3)
        assert (told["record"], told["line"], told["reason"], told["raw"]) == (3, 4, "type", "secret\n")
        assert "'id' does not fit int64, which COLUMN_TYPES gives it" in told["detail"]

    @pytest.mark.parametrize("name", ["parquet", "avro"])
    def test_one_format_alone(self, s3: S3Client, name: str) -> None:
        put(s3, "in/day.csv", DAY)
        with configured(s3, output_formats=(name,)) as processor:
            processor.convert("in/day.csv")
        assert keys(s3) == ["processed/_manifests/day.csv.json", f"processed/day.{name}"]

    def test_a_folder_for_each_format(self, s3: S3Client) -> None:
        put(s3, "in/day.csv", DAY)
        with configured(s3, key_template="{output_prefix}{format}/{stem}.{format}", output_prefix="out/") as processor:
            processor.convert("in/day.csv")
        assert keys(s3) == ["out/_manifests/day.csv.json", "out/avro/day.avro", "out/parquet/day.parquet"]

    @pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
    def test_parquet_compression(self, s3: S3Client, codec: str) -> None:
        put(s3, "in/day.csv", DAY)
        with configured(s3, parquet_compression=codec) as processor:
            processor.convert("in/day.csv")
        file = pq.ParquetFile(pa.BufferReader(get(s3, "processed/day.parquet")))
        assert file.metadata.row_group(0).column(0).compression == {"none": "UNCOMPRESSED"}.get(codec, codec.upper())
        assert file.read().to_pylist() == ROWS

    @pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
    def test_avro_codec(self, s3: S3Client, codec: str) -> None:
        put(s3, "in/day.csv", DAY)
        with configured(s3, avro_codec=codec) as processor:
            processor.convert("in/day.csv")
        assert fastavro.reader(io.BytesIO(get(s3, "processed/day.avro"))).codec == codec
        assert avro(s3, "processed/day.avro") == ROWS

    def test_wrangler_fetches_and_changes_nothing(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        put(s3, "in/day.csv.bak", BAD)  # a prefix read would take this one too
        processor.convert("in/day.csv")
        plain = {name: get(s3, name) for name in keys(s3)}
        with configured(s3, use_wrangler=True) as wrangling:
            assert wrangling.convert("in/day.csv").outcome is Outcome.SKIPPED
            assert wrangling.convert("in/day.csv", force=True).outcome is Outcome.CONVERTED
        assert {name: get(s3, name) for name in keys(s3)} == plain

    def test_wrong_settings_are_refused_at_start_all_of_them(self) -> None:
        with pytest.raises(errors.SettingsError, match=r"(?s)2 settings.*MAX_WORKERS.*AVRO_CODEC"):
            Settings.of(LANDING, LAKE, max_workers=0, avro_codec="lzma")
        with pytest.raises(errors.SettingsError, match=r"OUTPUT_PREFIX='processed/': overlaps PREFIX=''"):
            S3DataProcessor(LANDING, LANDING)


class TestAgain:
    """What stands converted, from the same version and settings, is left alone."""

    @pytest.fixture(autouse=True)
    def _converted(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        processor.convert("in/day.csv")

    def test_a_second_run_writes_nothing(self, processor: S3DataProcessor, sent: list[str]) -> None:
        report = processor.run()
        assert [(one.outcome, one.reason) for one in report.results] == [
            (Outcome.SKIPPED, "converted already, from this version and settings")
        ]
        assert not [request for request in sent if request.startswith("PutObject")]

    def test_a_new_version_replaces_both_outputs(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", b"id\n7\n")
        assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/day.parquet").to_pylist() == [{"id": 7}]
        assert avro(s3, "processed/day.avro") == [{"id": 7}]
        assert json.loads(get(s3, "processed/_manifests/day.csv.json"))["records"]["read"] == 1

    def test_other_settings_convert_anew(self, s3: S3Client) -> None:
        with configured(s3, types="string") as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
            assert processor.convert("in/day.csv").outcome is Outcome.SKIPPED
        assert parquet(s3, "processed/day.parquet").schema.field("id").type == pa.string()

    def test_settings_that_change_no_byte_do_not(self, s3: S3Client) -> None:
        with configured(s3, max_workers=1, cache_size=0, use_wrangler=True, part_bytes=64 << 20) as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.SKIPPED

    def test_force_converts_and_gives_the_same_bytes(self, s3: S3Client, processor: S3DataProcessor) -> None:
        before = {name: get(s3, name) for name in keys(s3)}
        assert processor.run(force=True).results[0].outcome is Outcome.CONVERTED
        assert {name: get(s3, name) for name in keys(s3)} == before

    def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
        self, s3: S3Client, processor: S3DataProcessor, sent: list[str]
    ) -> None:
        put(s3, "in/new.csv", DAY)
        sent.clear()
        plan = [(one.key, one.outcome.value) for one in processor.run(dry_run=True).results]
        assert plan == [("in/day.csv", "skipped"), ("in/new.csv", "planned")]
        assert {one.outcome.value for one in processor.run(dry_run=True, force=True).results} == {"planned"}
        assert {request.split()[0] for request in sent} == {"ListObjectsV2", "GetObject", "HeadObject"}


class TestRejects:
    """A record that cannot be read costs that record: it is kept, with its place, its reason and its bytes."""

    def test_good_records_are_delivered_and_the_others_kept(self, s3: S3Client) -> None:
        put(s3, "in/day.csv", MESSY)
        with configured(s3, max_rejected_ratio=0.5) as processor:
            result = processor.convert("in/day.csv")
        assert result.outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/day.parquet").to_pylist() == ROWS
        assert avro(s3, "processed/day.avro") == ROWS
        assert get(s3, "processed/_rejects/day.csv.jsonl").decode() == (
            '{"record": 2, "line": 3, "offset": 27, "length": 9, "reason": "field_count", '
            '"detail": "2 fields, header has 3", "raw": "9,orange\\n"}\n'
            '{"record": 4, "line": 5, "offset": 44, "length": 13, "reason": "quote", '
            '"detail": "at byte 2 of the record, a quoted field begins here and never ends", '
            '"raw": "9,\\"plum,0.50\\n"}\n'
        )

    def test_the_manifest_counts_and_names_them(self, s3: S3Client) -> None:
        put(s3, "in/day.csv", MESSY)
        with configured(s3, max_rejected_ratio=0.5) as processor:
            processor.convert("in/day.csv")
        manifest = json.loads(get(s3, "processed/_manifests/day.csv.json"))
        head = s3.head_object(Bucket=LAKE, Key="processed/_rejects/day.csv.jsonl")
        assert manifest["records"] == {"read": 5, "written": 3, "rejected": 2}
        assert manifest["rejects"] == {
            "bucket": LAKE,
            "key": "processed/_rejects/day.csv.jsonl",
            "etag": head["ETag"].strip('"'),
            "records": 2,
            "bytes": head["ContentLength"],
        }

    def test_a_version_without_any_empties_what_the_one_before_it_left(self, s3: S3Client) -> None:
        with configured(s3, max_rejected_ratio=0.5) as processor:
            for content, count in [(MESSY, 2), (DAY, 0), (MESSY, 2)]:
                put(s3, "in/day.csv", content)
                assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
                assert len(rejects(s3)) == count

    def test_too_many_fail_the_file(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", MESSY)
        assert processor.convert("in/day.csv").outcome is Outcome.FAILED
        assert keys(s3) == ["processed/_failed/day.csv.json"]
        told = json.loads(get(s3, "processed/_failed/day.csv.json"))
        assert told["records"] == {"read": 5, "written": 3, "rejected": 2}
        assert [(one["record"], one["line"], one["reason"]) for one in told["rejects"]] == [
            (2, 3, "field_count"),
            (4, 5, "quote"),
        ]

    def test_a_ratio_of_1_lets_any_share_pass(self, s3: S3Client) -> None:
        put(s3, "in/day.csv", b"a,b\n" + b"1\n" * 9)
        with configured(s3, max_rejected_ratio=1.0, delimiter=",") as processor:
            assert processor.convert("in/day.csv").outcome is Outcome.CONVERTED
        assert parquet(s3, "processed/day.parquet").num_rows == 0
        assert len(rejects(s3)) == 9


class TestFailure:
    """A file of which too much cannot be read fails with where and why, and changes nothing."""

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (BAD, f"1 of 2 records are rejected.*MAX_REJECTED_RATIO=0.1 .*{BAD_REASON}"),
            (DAY * 2 + b"7,x\n", r"1 of 8 records.* record 8 \(line 9, byte 94\): 2 fields, header has 3"),
            (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", r"gzip"),
            (b"BZh91AY&SY", r"bzip2"),
            (b"\x28\xb5\x2f\xfd\x00\x00", r"zstd"),
            ("a,b\n1,2\n".encode("utf-16")[:-1], r"utf-16"),
        ],
        ids=["one of two", "one of eight", "gzip", "bzip2", "zstd", "UTF-16"],
    )
    def test_where_and_why(self, s3: S3Client, processor: S3DataProcessor, content: bytes, reason: str) -> None:
        put(s3, "in/day.csv", content)
        result = processor.convert("in/day.csv")
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert keys(s3) == ["processed/_failed/day.csv.json"]
        told = json.loads(get(s3, "processed/_failed/day.csv.json"))
        assert told["reason"] == result.reason
        assert re.search(reason, told["reason"]), told["reason"]
        assert told["source"]["etag"] == s3.head_object(Bucket=LANDING, Key="in/day.csv")["ETag"].strip('"')

    def test_what_was_converted_before_stays(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        processor.convert("in/day.csv")
        before = {name: get(s3, name) for name in keys(s3)}
        put(s3, "in/day.csv", BAD)
        assert processor.convert("in/day.csv").outcome is Outcome.FAILED
        after = {name: get(s3, name) for name in keys(s3)}
        assert after.pop("processed/_failed/day.csv.json")
        assert after == before

    def test_no_cell_s_value_is_told_but_in_the_rejects(
        self, s3: S3Client, processor: S3DataProcessor, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="csv_transcode")
        put(s3, "in/day.csv", b"id,name\n1,hush-hush\n2,hush-hush,hush-hush\n")
        result = processor.convert("in/day.csv")
        told = json.loads(get(s3, "processed/_failed/day.csv.json"))
        assert told.pop("rejects")[0]["raw"] == "2,hush-hush,hush-hush\n"
        logged = [vars(record) for record in caplog.records]
        assert "hush" not in f"{told} {result.reason} {result.to_dict()} {caplog.text} {logged}"

    def test_a_missing_object_fails(self, s3: S3Client, processor: S3DataProcessor) -> None:
        result = processor.convert("in/none.csv")
        assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
        assert "404 NoSuchKey" in str(result.reason)
        assert keys(s3) == ["processed/_failed/none.csv.json"]

    @pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"], ids=["empty", "line ends", "mark"])
    def test_nothing_to_convert_is_skipped(self, s3: S3Client, processor: S3DataProcessor, content: bytes) -> None:
        put(s3, "in/day.csv", content)
        result = processor.convert("in/day.csv")
        assert (result.outcome, result.reason) == (Outcome.SKIPPED, "empty: it holds no record, and no header")
        assert keys(s3) == []


class TestNotebook:
    """For people: reading and writing by hand."""

    def test_what_has_not_changed_is_not_read_again(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        statuses: list[int] = []

        def after_call(http_response: Any, **_: object) -> None:
            statuses.append(http_response.status_code)

        with listening(s3, "after-call.s3.GetObject", after_call):
            assert [processor.read_s3_file(LANDING, "in/day.csv") for _ in range(3)] == [DAY] * 3
            assert statuses == [200, 304, 304]
            put(s3, "in/day.csv", BAD)
            assert processor.read_s3_file(LANDING, "in/day.csv") == BAD
            processor.end_invocation()
            assert processor.read_s3_file(LANDING, "in/day.csv") == BAD
            assert statuses == [200, 304, 304, 200, 200]

    def test_a_csv_as_a_dataframe_with_arrow_dtypes(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        frame = processor.read_csv_to_dataframe(LANDING, "in/day.csv")
        assert frame.dtypes.map(str).to_dict() == {
            "id": "int64[pyarrow]",
            "name": "string[pyarrow]",
            "price": "double[pyarrow]",
        }
        assert frame["id"].tolist() == [1, 2, 3]
        assert frame["name"].isna().tolist() == [False, True, False]

    def test_a_csv_with_a_bad_record_is_no_dataframe(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", BAD)
        with pytest.raises(errors.RecordError, match=BAD_REASON):
            processor.read_csv_to_dataframe(LANDING, "in/day.csv")

    def test_a_dataframe_comes_back_as_it_was(self, s3: S3Client, processor: S3DataProcessor) -> None:
        put(s3, "in/day.csv", DAY)
        frame = processor.read_csv_to_dataframe(LANDING, "in/day.csv")
        processor.write_parquet_to_s3(frame, LAKE, "mine/day.parquet")
        processor.write_avro_to_s3(frame, LAKE, "mine/day.avro")
        assert keys(s3) == ["mine/day.avro", "mine/day.parquet"]
        back = pd.read_parquet(io.BytesIO(get(s3, "mine/day.parquet")), dtype_backend="pyarrow")
        pd.testing.assert_frame_equal(back, frame)
        assert avro(s3, "mine/day.avro") == ROWS

    def test_a_plain_pandas_frame(self, s3: S3Client, processor: S3DataProcessor) -> None:
        frame = pd.DataFrame(
            {
                "id": pd.array([1, None], "Int64"),
                "name": ["apple", None],
                "kind": pd.Categorical(["fruit", "fruit"]),
                "at": pd.to_datetime(pd.Series(["2026-01-02T03:04:05.25", None])),
            }
        )
        rows = [
            {"id": 1, "name": "apple", "kind": "fruit", "at": dt.datetime(2026, 1, 2, 3, 4, 5, 250_000)},  # noqa: DTZ001
            {"id": None, "name": None, "kind": "fruit", "at": None},
        ]
        processor.write_parquet_to_s3(frame, LAKE, "mine/day.parquet")
        processor.write_avro_to_s3(frame, LAKE, "mine/day.avro")
        assert parquet(s3, "mine/day.parquet").to_pylist() == rows
        assert avro(s3, "mine/day.avro") == rows

    def test_a_dataframe_that_cannot_be_written_exactly_is_refused(
        self, s3: S3Client, processor: S3DataProcessor
    ) -> None:
        for write in (processor.write_parquet_to_s3, processor.write_avro_to_s3):
            with pytest.raises(errors.FrameError, match="several types"):
                write(pd.DataFrame({"mixed": [1, "one"]}), LAKE, "mine/mixed")
        assert keys(s3) == []


class TestHandler:
    """The same as a Lambda function: events as AWS sends them (tests/events), and what their senders get."""

    @pytest.fixture(autouse=True)
    def _function(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        environment = {"INPUT_BUCKET": LANDING, "OUTPUT_BUCKET": LAKE, "PREFIX": "in/", "LOG_LEVEL": "CRITICAL"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        logger = logging.getLogger("csv_transcode")
        before = (logger.handlers[:], logger.level, logger.propagate)
        yield
        logger.handlers[:], logger.level, logger.propagate = before

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _ended() -> Iterator[None]:
        yield
        lambda_handler._FUNCTION._discard()

    @staticmethod
    def event(name: str) -> Any:
        return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))

    @pytest.mark.parametrize(
        "name",
        [
            *("s3_put", "s3_put_2_6_versioned", "eventbridge_object_created", "direct_keys"),
            *("s3_put_special_key", "s3_put_2_6_versioned_special_key", "eventbridge_object_created_special_key"),
            *("direct_keys_special_key", "sqs_s3", "sqs_s3_special_key", "sqs_eventbridge"),
            *("sqs_eventbridge_special_key", "eventbridge_rule", "scheduler", "direct_everything"),
            *("sns_s3", "sns_s3_special_key", "sqs_sns_s3", "sqs_sns_s3_special_key"),
            *("step_functions_item", "step_functions_batch", "step_functions_batch_special_key"),
            *("step_functions_inventory", "step_functions_inventory_special_key"),
        ],
    )
    def test_an_event_converts_its_object(self, s3: S3Client, name: str) -> None:
        key = SPECIAL_KEY if "special_key" in name else PLAIN_KEY
        put(s3, key, DAY)
        answer = lambda_handler.lambda_handler(self.event(name), None)
        stem = key.removeprefix("in/").removesuffix(".csv")
        assert set(keys(s3)) == {
            f"processed/_manifests/{stem}.csv.json",
            f"processed/{stem}.avro",
            f"processed/{stem}.parquet",
        }
        assert parquet(s3, f"processed/{stem}.parquet").to_pylist() == ROWS
        if name.startswith("sqs"):
            assert answer == {"batchItemFailures": []}
        else:
            assert (answer["statusCode"], answer["files"]["converted"]) == (200, 1)
            assert answer["results"][0]["key"] == key

    @pytest.mark.parametrize("name", ["s3_put", "eventbridge_object_created", "scheduler"])
    def test_who_does_not_read_the_answer_gets_an_exception(self, s3: S3Client, name: str) -> None:
        put(s3, PLAIN_KEY, BAD)
        with pytest.raises(errors.FilesFailedError, match=BAD_REASON):
            lambda_handler.lambda_handler(self.event(name), None)

    def test_of_a_batch_of_messages_only_those_that_failed_come_again(self, s3: S3Client) -> None:
        good, bad, torn = "in/good.csv", "in/bad.csv", "not json"
        put(s3, good, DAY)
        put(s3, bad, BAD)
        records = [
            {"messageId": name, "eventSource": "aws:sqs", "body": body}
            for name, body in [
                ("1", json.dumps(self._created(good))),
                ("2", json.dumps(self._created(bad))),
                ("3", torn),
                ("4", json.dumps(self._created(good))),
            ]
        ]
        answer = lambda_handler.lambda_handler({"Records": records}, None)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]}
        assert "processed/good.parquet" in keys(s3)

    def _created(self, key: str) -> Any:
        event = self.event("eventbridge_object_created")
        event["detail"]["object"]["key"] = key
        return event

    def test_a_direct_invocation_chooses(self, s3: S3Client) -> None:
        for name in ("in/a.csv", "in/b/1.csv", "in/b/2.csv", "in/b/3.dat"):
            put(s3, name, DAY)

        def outcomes(**event: Any) -> dict[str, str]:
            answer = lambda_handler.lambda_handler(event, None)
            return {one["key"]: one["outcome"] for one in answer["results"]}

        assert outcomes(keys=["in/b/3.dat"]) == {"in/b/3.dat": "converted"}  # named by hand: no suffix asked for
        assert outcomes(prefix="in/b/", start_after="in/b/1.csv", dry_run=True) == {
            "in/b/2.csv": "planned",
            "in/b/3.dat": "skipped",
        }
        assert outcomes(prefix="in/b/") == {
            "in/b/1.csv": "converted",
            "in/b/2.csv": "converted",
            "in/b/3.dat": "skipped",
        }
        assert outcomes(keys=["in/b/1.csv"]) == {"in/b/1.csv": "skipped"}
        assert outcomes(keys=["in/b/1.csv"], force=True) == {"in/b/1.csv": "converted"}
        assert outcomes() == {
            "in/a.csv": "converted",
            "in/b/1.csv": "skipped",
            "in/b/2.csv": "skipped",
            "in/b/3.dat": "skipped",
        }

    def test_a_direct_invocation_reads_of_failures_in_the_report(self, s3: S3Client) -> None:
        put(s3, "in/bad.csv", BAD)
        answer = lambda_handler.lambda_handler({"keys": ["in/bad.csv"]}, None)
        assert (answer["statusCode"], answer["files"]["failed"]) == (500, 1)
        assert re.search(BAD_REASON, answer["results"][0]["reason"])

    @pytest.mark.parametrize(
        "name", ["s3_removed", "s3_removed_special_key", "eventbridge_object_deleted", "s3_test_event"]
    )
    def test_what_creates_no_object_is_skipped(self, s3: S3Client, name: str) -> None:
        answer = lambda_handler.lambda_handler(self.event(name), None)
        assert (answer["statusCode"], answer["files"]["skipped"]) == (200, 1)
        assert keys(s3) == []

    @pytest.mark.parametrize(
        "event",
        [{"unknown": 1}, [], {"prefix": "elsewhere/"}, {"keys": "in/day.csv"}, {"keys": [1]}],
        ids=str,
    )
    def test_what_is_no_event_is_refused(self, event: object) -> None:
        with pytest.raises(errors.EventError):
            lambda_handler.lambda_handler(event, None)

    @pytest.mark.parametrize("name", ["s3_batch_1_0", "s3_batch_2_0"])
    def test_a_task_of_s3_batch_operations_gets_its_result(self, s3: S3Client, name: str) -> None:
        put(s3, PLAIN_KEY, DAY)
        event = self.event(name)
        answer = lambda_handler.lambda_handler(event, None)
        assert set(answer) == {"invocationSchemaVersion", "treatMissingKeysAs", "invocationId", "results"}
        assert answer["invocationId"] == event["invocationId"]
        (result,) = answer["results"]
        assert (result["taskId"], result["resultCode"]) == (event["tasks"][0]["taskId"], "Succeeded")
        put(s3, PLAIN_KEY, BAD)
        (result,) = lambda_handler.lambda_handler(event, None)["results"]
        assert result["resultCode"] == "PermanentFailure"
        assert re.search(BAD_REASON, result["resultString"])

    def test_column_types_may_lie_in_s3(self, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
        put(s3, PLAIN_KEY, DAY)
        put(s3, "types.json", b'{"id": "boolean"}')
        monkeypatch.setenv("COLUMN_TYPES", f"s3://{LANDING}/types.json")
        with pytest.raises(errors.FilesFailedError, match=r"record 1 \(line 2, byte 14\): the value of column 'id'"):
            lambda_handler.lambda_handler(self.event("s3_put"), None)
        put(s3, "types.json", b'{"id": "string"}')
        monkeypatch.setenv("MAX_WORKERS", "3")  # another environment is another function
        lambda_handler.lambda_handler(self.event("s3_put"), None)
        assert parquet(s3, "processed/orders/2026-11-01.parquet")["id"].to_pylist() == ["1", "2", "3"]

    def test_an_event_tells_a_key_and_the_newest_version_is_converted(self, s3: S3Client) -> None:
        """Size, ETag and version of the event may be those of an older one, for events come late and out of order."""
        put(s3, PLAIN_KEY, DAY * 100)
        put(s3, PLAIN_KEY, DAY)
        for _ in range(3):
            lambda_handler.lambda_handler(self.event("s3_put_2_6_versioned"), None)
        assert parquet(s3, "processed/orders/2026-11-01.parquet").to_pylist() == ROWS

    def test_another_bucket_is_never_read(self, s3: S3Client) -> None:
        s3.create_bucket(Bucket="another-bucket")
        s3.put_object(Bucket="another-bucket", Key=PLAIN_KEY, Body=DAY)
        event = self.event("s3_put")
        event["Records"][0]["s3"]["bucket"]["name"] = "another-bucket"
        answer = lambda_handler.lambda_handler(event, None)
        assert answer["results"][0]["reason"] == "in bucket 'another-bucket', not in the input bucket"
        assert keys(s3) == []

    def test_wrong_settings_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEADLINE_MARGIN_SECONDS", "half a minute")
        with pytest.raises(errors.SettingsError, match="DEADLINE_MARGIN_SECONDS"):
            lambda_handler.lambda_handler({}, None)

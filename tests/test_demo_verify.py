"""The demo's comparison says no: to one byte changed in an output, and to every kind of difference by itself."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import data
from demo.__main__ import exit_code
from demo.deploy import OUTPUT_BUCKET
from demo.verdict import judge
from demo.verify import DisagreementError, read_csv, verify
from demo.watch import Arrival

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TYPES: Final[dict[str, tuple[pa.DataType, Any]]] = {
    "int64": (pa.int64(), "long"),
    "double": (pa.float64(), "double"),
    "decimal": (pa.decimal128(9, 2), {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
    "boolean": (pa.bool_(), "boolean"),
    "string": (pa.string(), "string"),
    "date": (pa.date32(), {"type": "int", "logicalType": "date"}),
    "local": (pa.timestamp("us"), {"type": "long", "logicalType": "local-timestamp-micros"}),
    "utc": (pa.timestamp("us", "UTC"), {"type": "long", "logicalType": "timestamp-micros"}),
}
NOON: Final = datetime(2026, 11, 23, 12, 0, 5, 250_000)  # noqa: DTZ001 - local is what it is to be

# one column: its type, the cells as text, the values that say so
AGREEING: Final[dict[str, tuple[str, list[str], list[Any]]]] = {
    "integers to the limits": ("int64", ["0", "-1", str(2**63 - 1)], [0, -1, 2**63 - 1]),
    "one scale, trailing zeros": ("double", ["17.00", "-3.50", ""], [17.0, -3.5, None]),
    "no scale, no trailing zeros": ("double", ["0.1", "12.345", "-7.0"], [0.1, 12.345, -7.0]),
    "whole numbers without a point": ("double", ["17", "3.5"], [17.0, 3.5]),
    "no integer part": ("double", [".5", "-.25", "1.75"], [0.5, -0.25, 1.75]),
    "exponents": ("double", ["1e-05", "1.5E+10", "2.25"], [1e-05, 1.5e10, 2.25]),
    "small, without an exponent": ("double", ["0.00001", "0.1"], [0.00001, 0.1]),
    "negative zero": ("double", ["-0.0", "0.0"], [-0.0, 0.0]),
    "decimals": ("decimal", ["0.10", "-7.25"], [Decimal("0.10"), Decimal("-7.25")]),
    "booleans, lower": ("boolean", ["true", "false", ""], [True, False, None]),
    "booleans, upper": ("boolean", ["TRUE", "FALSE"], [True, False]),
    "dates": ("date", ["2026-11-23", "0001-01-01"], [date(2026, 11, 23), date(1, 1, 1)]),
    "local time": ("local", ["2026-11-23 12:00:05.25", "2026-11-23 12:00:05.250"], [NOON, NOON]),
    "minutes": ("local", ["2026-11-23T12:00"], [NOON.replace(second=0, microsecond=0)]),
    "UTC": ("utc", ["2026-11-23T12:00:05.250000Z"], [NOON.replace(tzinfo=UTC)]),
    "UTC as an offset": ("utc", ["2026-11-23T12:00:05.250+00:00"], [NOON.replace(tzinfo=UTC)]),
    "text": ("string", ["007", "NA", '"a, ""b""\n"', "Ἀθῆναι"], ["007", "NA", 'a, "b"\n', "Ἀθῆναι"]),
    "null and the empty text": ("string", ["", '""'], [None, ""]),
}

DISAGREEING: Final[dict[str, tuple[str, list[str], list[Any]]]] = {
    "an integer off by one": ("int64", ["9007199254740993"], [9007199254740992]),
    "a null that was a number": ("int64", ["1", "2"], [1, None]),
    "a number that was empty": ("int64", ["1", ""], [1, 0]),
    "leading zeros lost": ("int64", ["007"], [7]),
    "two scales": ("double", ["1.9", "1.10"], [1.9, 1.1]),
    "1 beside 1.0": ("double", ["1", "1.0", "2.5"], [1.0, 1.0, 2.5]),
    "rounded to the scale": ("double", ["17.00", "3.50"], [17.004, 3.5]),
    "the sign of zero": ("double", ["-0.0", "1.0"], [0.0, 1.0]),
    "a digit of an exponent": ("double", ["1e-05"], [1.0000000001e-05]),
    "another decimal": ("decimal", ["0.10"], [Decimal("0.11")]),
    "booleans in two spellings": ("boolean", ["true", "FALSE"], [True, False]),
    "the other boolean": ("boolean", ["true"], [False]),
    "the day before": ("date", ["2026-11-23"], [date(2026, 11, 22)]),
    "a microsecond": ("local", ["2026-11-23 12:00:05.250"], [NOON.replace(microsecond=250_001)]),
    "seconds that minutes hide": ("local", ["2026-11-23 12:00"], [NOON.replace(microsecond=0)]),
    "UTC as local time": ("local", ["2026-11-23T12:00:05.250Z"], [NOON]),
    "local time as UTC": ("utc", ["2026-11-23T12:00:05.250"], [NOON.replace(tzinfo=UTC)]),
    "text trimmed": ("string", [" 1"], ["1"]),
    "NA as null": ("string", ["NA"], [None]),
}


@pytest.mark.parametrize(("kind", "cells", "values"), AGREEING.values(), ids=AGREEING)
def test_agrees(kind: str, cells: list[str], values: list[Any]) -> None:
    assert verify(source(cells), parquet(kind, values), avro(kind, values)) == len(cells)


@pytest.mark.parametrize(("kind", "cells", "values"), DISAGREEING.values(), ids=DISAGREEING)
def test_disagrees(kind: str, cells: list[str], values: list[Any]) -> None:
    with pytest.raises(DisagreementError, match="'cell'"):
        verify(source(cells), parquet(kind, values), avro(kind, values))


def test_an_avro_object_alone_is_found_out() -> None:
    with pytest.raises(DisagreementError, match="avro, column 'cell', record 2: '2' became 3"):
        verify(source(["1", "2"]), parquet("int64", [1, 2]), avro("int64", [1, 3]))


def test_null_in_one_output_and_empty_text_in_the_other() -> None:
    with pytest.raises(DisagreementError, match="null in one output"):
        verify(source(["", "x"]), parquet("string", [None, "x"]), avro("string", ["", "x"]))


def test_typed_in_one_output_only() -> None:
    with pytest.raises(DisagreementError, match="int64 in parquet, string in avro"):
        verify(source(["1"]), parquet("int64", [1]), avro("string", ["1"]))


@pytest.mark.parametrize(("in_parquet", "in_avro"), [([1], [1, 2]), ([1, 2], [1]), ([1, 2, 3], [1, 2])])
def test_another_number_of_records(in_parquet: list[int], in_avro: list[int]) -> None:
    with pytest.raises(DisagreementError, match="records"):
        verify(source(["1", "2"]), parquet("int64", in_parquet), avro("int64", in_avro))


def test_another_name() -> None:
    with pytest.raises(DisagreementError, match="column names"):
        verify(source(["1"]).replace(b"cell", b"Cell"), parquet("int64", [1]), avro("int64", [1]))


@pytest.mark.long
@pytest.mark.parametrize("output", ["parquet", "avro"])
def test_one_flipped_byte_makes_the_demo_fail(arrived: Arrived, output: str) -> None:
    good = arrived.objects[output]
    middle = len(good) // 2  # in the data, where a reader must see it: the manifest is made to name the damaged object
    for offset in range(middle - 20, middle + 20):
        arrived.store(output, flipped(good, offset))
        judge(arrived.s3, arrived.arrival)
        assert exit_code([arrived.arrival]) == 1, f"byte {offset} of {len(good)}"
    arrived.store(output, good)
    judge(arrived.s3, arrived.arrival)
    assert exit_code([arrived.arrival]) == 0, arrived.arrival.difference


def test_an_object_that_the_manifest_does_not_name_is_not_read(arrived: Arrived) -> None:
    etag = arrived.manifest["outputs"][0]["etag"]
    arrived.store("parquet", flipped(arrived.objects["parquet"], 50))
    arrived.manifest["outputs"][0]["etag"] = etag
    judge(arrived.s3, arrived.arrival)
    assert exit_code([arrived.arrival]) == 1
    assert "PreconditionFailed" in str(arrived.arrival.difference)


def test_counts_that_the_manifest_does_not_have(arrived: Arrived) -> None:
    arrived.manifest["records"]["rejected"] = 1
    judge(arrived.s3, arrived.arrival)
    assert exit_code([arrived.arrival]) == 1


def test_what_never_arrived_makes_the_demo_fail() -> None:
    assert exit_code([Arrival(data.Source("x.csv", b"a\n1\n"), refusal="no reason given")]) == 1


def test_the_large_file_is_the_same_every_time_and_regular() -> None:
    large = data.large_file(100_000)
    assert large == data.large_file(100_000)
    assert read_csv(large).num_columns == len(data.HEADER.split(","))


def test_the_real_files_are_there() -> None:
    assert len(data.real_files()) >= 8


class Arrived:
    """A source of 2,000 records that was converted, and the bucket that its outputs stand in."""

    def __init__(self, s3: S3Client) -> None:
        cells = [f"text {i}" for i in range(2_000)]
        counts = {"read": len(cells), "written": len(cells), "rejected": 0}
        named = [{"format": kind, "bucket": OUTPUT_BUCKET, "key": f"x.{kind}"} for kind in ("parquet", "avro")]
        self.s3 = s3
        self.objects = {"parquet": parquet("string", cells), "avro": avro("string", cells)}
        self.manifest: dict[str, Any] = {"records": counts, "schema": [{}, {}], "outputs": named}
        self.arrival = Arrival(data.Source("x.csv", source(cells)), manifest=self.manifest)
        for kind, content in self.objects.items():
            self.store(kind, content)

    def store(self, kind: str, content: bytes) -> None:
        """Put the object, and have the manifest name it."""
        output = next(output for output in self.manifest["outputs"] if output["format"] == kind)
        output["etag"] = self.s3.put_object(Bucket=output["bucket"], Key=output["key"], Body=content)["ETag"]


@pytest.fixture
def arrived(s3: S3Client) -> Arrived:
    s3.create_bucket(Bucket=OUTPUT_BUCKET)
    return Arrived(s3)


def flipped(content: bytes, offset: int) -> bytes:
    return content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :]


def source(cells: list[str]) -> bytes:
    records = "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    return f"record,cell\n{records}".encode()


def parquet(kind: str, values: list[Any]) -> bytes:
    table = pa.table({"record": pa.array(range(len(values)), pa.int64()), "cell": pa.array(values, TYPES[kind][0])})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()


def avro(kind: str, values: list[Any]) -> bytes:
    fields = [{"name": "record", "type": ["null", "long"]}, {"name": "cell", "type": ["null", TYPES[kind][1]]}]
    schema = fastavro.parse_schema({"type": "record", "name": "Record", "fields": fields})
    records = [{"record": i, "cell": value} for i, value in enumerate(values)]
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, records, codec="snappy")
    return buffer.getvalue()

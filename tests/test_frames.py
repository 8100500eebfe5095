"""DataFrames as people have them: written exactly, or refused in words that help."""

from __future__ import annotations

import datetime as dt
import io
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pytest

from csv_transcode.errors import FrameError
from csv_transcode.frames import from_dataframe
from tests.conftest import OUTPUT_BUCKET
from tests.standing import avro_records, parquet_table, processor

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BERLIN: Final = "Europe/Berlin"
NOON: Final = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
NAN: Final = float("nan")


def arrow(values: list[Any], kind: pa.DataType) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


# dtype as people get it: the column, its Arrow type in Parquet, its values in both formats
EXACT: Final[dict[str, tuple[Any, pa.DataType, list[Any]]]] = {
    "texts": (["a", None, "ä"], pa.string(), ["a", None, "ä"]),
    "texts as objects": (pd.Series(["a", None], dtype=object), pa.string(), ["a", None]),
    "texts of the older kind": (pd.array(["a", None], "string[python]"), pa.string(), ["a", None]),
    "large texts": (arrow(["a"], pa.large_string()), pa.string(), ["a"]),
    "text views": (arrow(["a"], pa.string_view()), pa.string(), ["a"]),
    "empty text": (["", None], pa.string(), ["", None]),
    "nothing at all": ([None, None], pa.string(), [None, None]),
    "no value known": ([pd.NA, pd.NA], pa.string(), [None, None]),
    "no rows": (pd.Series([], dtype=object), pa.string(), []),
    "whole numbers": ([1, -(2**63)], pa.int64(), [1, -(2**63)]),
    "nullable whole numbers": (pd.array([2**63 - 1, None], "Int64"), pa.int64(), [2**63 - 1, None]),
    "small numbers": (pd.array([255, None], "UInt8"), pa.uint8(), [255, None]),
    "unsigned numbers": (pd.array([2**32 - 1, 0], "UInt32"), pa.uint32(), [2**32 - 1, 0]),
    "numbers": ([0.1, NAN], pa.float64(), [0.1, None]),  # NaN is pandas' missing value
    "nullable numbers": (pd.array([0.1, None], "Float64"), pa.float64(), [0.1, None]),
    "infinities": ([float("inf"), float("-inf")], pa.float64(), [float("inf"), float("-inf")]),
    "single precision": (pd.Series([0.1], dtype="float32"), pa.float32(), [0.10000000149011612]),
    "truths": ([True, False], pa.bool_(), [True, False]),
    "nullable truths": (pd.array([True, None], "boolean"), pa.bool_(), [True, None]),
    "dates": ([dt.date(1, 1, 1), dt.date(9999, 12, 31)], pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)]),
    "local timestamps": (
        pd.to_datetime(["2026-07-01T12:00:00.000001"]),
        pa.timestamp("us"),
        [NOON.replace(tzinfo=None, microsecond=1)],
    ),
    "timestamps in seconds": (
        arrow([NOON.replace(tzinfo=None)], pa.timestamp("s")),
        pa.timestamp("us"),
        [NOON.replace(tzinfo=None)],
    ),
    "timestamps of UTC": (pd.to_datetime(pd.Series([NOON, None])), pa.timestamp("us", "UTC"), [NOON, None]),
    "timestamps of a zone": (pd.to_datetime([NOON]).tz_convert(BERLIN), pa.timestamp("us", BERLIN), [NOON]),
    "decimals": ([Decimal("1.10"), Decimal("22.2")], pa.decimal128(4, 2), [Decimal("1.10"), Decimal("22.20")]),
    "Arrow's decimals": (arrow([Decimal("1.10")], pa.decimal128(18, 2)), pa.decimal128(18, 2), [Decimal("1.10")]),
    "categories": (pd.Categorical(["a", None, "a"]), pa.string(), ["a", None, "a"]),
    "categories of numbers": (pd.Categorical([2, 1]), pa.int64(), [2, 1]),
    "Arrow's dictionaries": (arrow(["a"], pa.dictionary(pa.int8(), pa.large_string())), pa.string(), ["a"]),
    "bytes": ([b"\xff", None], pa.binary(), [b"\xff", None]),
}
REFUSED: Final[dict[str, tuple[Any, str]]] = {
    "numbers and texts": ([1, "one"], "several types"),
    "truths and numbers": (pd.Series([1, True], dtype=object), "several types"),
    "dates and timestamps": (
        pd.Series([dt.date(2026, 7, 1), dt.datetime(2026, 7, 1, 12)], dtype=object),  # noqa: DTZ001 -- local
        r"'c' holds values of several types: datetime.datetime\(2026, 7, 1, 12, 0\) would become datetime.date",
    ),
    "numbers beyond 64 bits": (pd.Series([2**70], dtype=object), "of none that Arrow has"),
    "lists": ([[1], [2]], "'c' is of type list"),
    "dicts": ([{"a": 1}], "'c' is of type struct"),
    "periods": (pd.period_range("2026", periods=2, freq="M"), "'c' is of type extension"),
    "intervals": (pd.interval_range(0, 2), "'c' is of type extension"),
    "complex numbers": ([1j], "of none that Arrow has"),
    "sparse columns": (pd.arrays.SparseArray([0, 0, 1]), "Sparse"),
}
NOT_IN_AVRO: Final = {
    "unsigned beyond a long": pd.array([2**64 - 1], "UInt64"),
    "times of day": [dt.time(1, 2)],
    "durations": pd.to_timedelta([1], unit="s"),
    "decimals beyond 38 digits": [Decimal("1" * 50)],
    "half precision": pd.Series([1.5], dtype="float16"),
}
FRAMES: Final = {
    "names that are no texts": (pd.DataFrame({1: [1]}), "must be strings, found"),
    "names of several levels": (pd.DataFrame({("a", "b"): [1]}), "must be strings, found"),
    "repeated names": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "repeated"),
    "an index of dates": (pd.DataFrame({"a": [1]}, index=pd.to_datetime(["2026-07-01"])), "reset_index"),
    "an index with a name": (pd.DataFrame({"a": [1]}).rename_axis("id"), "reset_index"),
    "an index of several levels": (pd.DataFrame({"a": [1], "b": [2], "c": [3]}).set_index(["a", "b"]), "reset_index"),
}


def written(client: S3Client, frame: pd.DataFrame) -> tuple[bytes, bytes]:
    """Write both formats; return their bytes."""
    with processor(client) as made:
        made.write_parquet_to_s3(frame, OUTPUT_BUCKET, "frame.parquet")
        made.write_avro_to_s3(frame, OUTPUT_BUCKET, "frame.avro")
    keys = ("frame.parquet", "frame.avro")
    parquet, avro = (client.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read() for key in keys)
    return parquet, avro


@pytest.mark.filterwarnings("ignore:Series.values returning an ndarray that drops")  # pyarrow asks pandas for it
@pytest.mark.parametrize(("column", "kind", "values"), EXACT.values(), ids=EXACT)
def test_a_column_is_written_exactly(s3: S3Client, column: Any, kind: pa.DataType, values: list[Any]) -> None:
    parquet, avro = written(s3, pd.DataFrame({"c": column}))
    table = parquet_table(parquet)
    assert (table.schema.field("c").type, table["c"].to_pylist()) == (kind, values)
    assert [record["c"] for record in avro_records(avro)] == values


def test_a_nan_that_is_a_value_stays_one(s3: S3Client) -> None:
    parquet, avro = written(s3, pd.DataFrame({"c": arrow([NAN, None], pa.float64())}))
    for values in (parquet_table(parquet)["c"].to_pylist(), [record["c"] for record in avro_records(avro)]):
        assert [str(value) for value in values] == ["nan", "None"]


def test_nanoseconds_are_kept_where_they_say_something(s3: S3Client) -> None:
    stamps = pd.to_datetime(["2026-07-01T12:00:00.123456789"])
    parquet, avro = written(s3, pd.DataFrame({"c": stamps}))
    table = parquet_table(parquet)
    assert (table.schema.field("c").type, table["c"].cast(pa.int64()).to_pylist()) == (
        pa.timestamp("ns"),
        [stamps[0].value],
    )
    assert avro_records(avro) == [{"c": stamps[0].value}]  # a logical type that fastavro does not know


@pytest.mark.parametrize(
    ("frame", "why"),
    [*FRAMES.values(), *((pd.DataFrame({"c": column}), why) for column, why in REFUSED.values())],
    ids=[*FRAMES, *REFUSED],
)
def test_what_cannot_be_written_exactly_is_refused(frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        from_dataframe(frame)


@pytest.mark.parametrize("column", NOT_IN_AVRO.values(), ids=NOT_IN_AVRO)
def test_what_only_parquet_can_say(s3: S3Client, column: Any) -> None:
    frame = pd.DataFrame({"c": column})
    with processor(s3) as made:
        made.write_parquet_to_s3(frame, OUTPUT_BUCKET, "frame.parquet")
        with pytest.raises(FrameError, match="'c'"):
            made.write_avro_to_s3(frame, OUTPUT_BUCKET, "frame.avro")
    content = s3.get_object(Bucket=OUTPUT_BUCKET, Key="frame.parquet")["Body"].read()
    assert pd.read_parquet(io.BytesIO(content))["c"].tolist() == frame["c"].tolist()


def test_an_index_that_only_numbers_rows_is_left_out(s3: S3Client) -> None:
    parquet, avro = written(s3, pd.DataFrame({"c": [1, 2, 3]}).iloc[1:])
    assert parquet_table(parquet).to_pylist() == avro_records(avro) == [{"c": 2}, {"c": 3}]


def test_names_that_avro_does_not_have(s3: S3Client) -> None:
    parquet, avro = written(s3, pd.DataFrame({"a b": [1], "ä": [2], "a_b": [3], "": [4]}))
    assert parquet_table(parquet).to_pylist() == [{"a b": 1, "ä": 2, "a_b": 3, "": 4}]
    assert [list(record.values()) for record in avro_records(avro)] == [[1, 2, 3, 4]]


def test_a_frame_of_many_parts_goes_up_in_parts(s3: S3Client) -> None:
    texts = [f"{number:0200}" for number in range(60_000)]
    with processor(s3, part_bytes=5 << 20, parquet_compression="none", avro_codec="null") as made:
        made.write_parquet_to_s3(pd.DataFrame({"c": texts}), OUTPUT_BUCKET, "frame.parquet")
        made.write_avro_to_s3(pd.DataFrame({"c": texts}), OUTPUT_BUCKET, "frame.avro")
    for key in ("frame.parquet", "frame.avro"):
        assert s3.head_object(Bucket=OUTPUT_BUCKET, Key=key)["ETag"].endswith('-3"')
    content = s3.get_object(Bucket=OUTPUT_BUCKET, Key="frame.parquet")["Body"].read()
    assert parquet_table(content)["c"].to_pylist() == texts


def test_without_pandas_the_error_says_so(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(Bucket=OUTPUT_BUCKET, Key="day.csv", Body=b"a,b\n1,2\n")
    monkeypatch.setitem(sys.modules, "pandas", None)  # importing it raises, as where it is not installed
    with processor(s3) as made, pytest.raises(FrameError, match=r"without pandas.*built without SLIM=1"):
        made.read_csv_to_dataframe(OUTPUT_BUCKET, "day.csv")

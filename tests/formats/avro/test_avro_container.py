"""Avro files: both judges read every batch back; blocks, sync markers and bytes are what the contract says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import fastavro
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from duckdb_extensions import import_extension
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csv_transcode.errors import FrameError, SettingsError
from csv_transcode.formats.avro.container import (
    AVRO_BLOCK_BYTES_MAX,
    AVRO_BLOCK_ROWS_MAX,
    AvroContainer,
    AvroEncoder,
    EncodedBatch,
)
from csv_transcode.formats.avro.schema import record_schema
from tests.formats.avro.avro_judges import by_apache, by_fastavro, expected, judges
from tests.formats.avro.avro_tables import batch_of, batches, empty_records, shifted

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).parents[3]
CODECS: Final = ("null", "deflate", "snappy", "zstandard")
GENERATED: Final = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def avro_file(schema: pa.Schema, codec: str, parts: Iterable[pa.RecordBatch]) -> bytes:
    encoder = AvroEncoder.plan(schema, codec)
    file = io.BytesIO()
    container = AvroContainer(encoder, file.write)
    for part in parts:
        container.append(encoder.encode(part))
    container.close()
    return file.getvalue()


def block_sizes(file: bytes) -> list[tuple[int, int]]:
    """Return records and uncompressed bytes of every Avro block, as fastavro finds them."""
    blocks: Any = fastavro.block_reader(io.BytesIO(file))
    return [(block.num_records, len(block.bytes_.read())) for block in blocks]


@pytest.mark.long
@given(st.lists(batches(), min_size=1, max_size=1), st.sampled_from(CODECS), st.integers(1, 3))
@GENERATED
def test_both_judges_read_every_batch_back(parts: list[pa.RecordBatch], codec: str, times: int) -> None:
    file = avro_file(parts[0].schema, codec, parts * times)
    for judge in judges(codec):
        assert judge(file) == expected(parts[0]) * times


@pytest.mark.long
@given(batches(), st.sampled_from(CODECS), st.integers(0, 20), st.integers(0, 20))
@GENERATED
def test_slices_offsets_and_padding_change_no_byte(batch: pa.RecordBatch, codec: str, before: int, after: int) -> None:
    alone = avro_file(batch.schema, codec, [batch])
    assert avro_file(batch.schema, codec, [shifted(batch, before, after)]) == alone
    assert avro_file(batch.schema, codec, [_sent(batch)]) == alone


def _sent(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return ``batch`` as it comes out of a file: all columns in one buffer, cut to size."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


SIMPLE: Final = batch_of(
    {
        "id": pa.array([1, None, -(2**63)]),
        "name": pa.array(["Zürich", "", None]),
        "price": pa.array([1.5, None, -0.0]),
        "day": pa.array([0, None, 19_000], pa.date32()),
        "done": pa.array([True, False, None]),
        "at": pa.array([0, 1_700_000_000_000_001, None], pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_polars_reads_it(codec: str) -> None:
    found = pl.read_avro(io.BytesIO(avro_file(SIMPLE.schema, codec, [SIMPLE, SIMPLE])))
    polars.testing.assert_frame_equal(found, pl.concat([pl.DataFrame(pl.from_arrow(SIMPLE))] * 2))


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_duckdb_reads_it(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "simple.avro"
    path.write_bytes(avro_file(SIMPLE.schema, codec, [SIMPLE, SIMPLE]))
    import_extension("avro")
    with duckdb.connect() as database:
        database.execute("LOAD avro")
        found = database.sql(f"FROM read_avro('{path}')").fetchall()
    rows = [(*rest, at and at.replace(tzinfo=None)) for *rest, at in zip(*SIMPLE.to_pydict().values(), strict=True)]
    assert found == rows * 2


BLOCKS: Final[dict[str, tuple[list[Any], list[int]]]] = {
    "one record": ([1], [1]),
    "rows of one block": (list(range(AVRO_BLOCK_ROWS_MAX)), [8192]),
    "one row more": (list(range(AVRO_BLOCK_ROWS_MAX + 1)), [8192, 1]),
    "many rows": (list(range(20_000)), [8192, 8192, 3616]),
    "bytes of one block": (["x" * (2**18 - 4)] * 4, [4]),
    "one byte more": (["x" * (2**18 - 4)] * 3 + ["x" * (2**18 - 3)], [3, 1]),
    "a record larger than a block": (["a", "x" * 2**21, "b", "c"], [1, 1, 2]),
    "larger records only": (["x" * 2**20] * 3, [1, 1, 1]),
}


@pytest.mark.parametrize(("values", "record_counts"), BLOCKS.values(), ids=BLOCKS.keys())
@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_avro_blocks_end_by_rows_and_by_bytes(values: list[Any], record_counts: list[int], codec: str) -> None:
    batch = batch_of({"it": values})
    file = avro_file(batch.schema, codec, [batch])
    assert [records for records, _ in block_sizes(file)] == record_counts
    assert all(size <= AVRO_BLOCK_BYTES_MAX for records, size in block_sizes(file) if records > 1)
    assert by_fastavro(file) == expected(batch)


def test_each_avro_block_can_be_read_alone() -> None:
    batch = batch_of({"n": range(20_000)})
    file = avro_file(batch.schema, "snappy", [batch])
    blocks: list[Any] = list(fastavro.block_reader(io.BytesIO(file)))
    numbers = [[record["n"] for record in block] for block in reversed(blocks)]
    assert [number for block in reversed(numbers) for number in block] == list(range(20_000))


@pytest.mark.long
def test_large_batches_are_encoded_in_chunks() -> None:
    batch = batch_of({"n": range(200_000), "text": ["some text"] * 200_000})
    file = avro_file(batch.schema, "null", [batch])
    assert sum(records for records, _ in block_sizes(file)) == 200_000
    assert by_fastavro(file) == [(number, "some text") for number in range(200_000)]


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_without_records_is_a_header(codec: str) -> None:
    schema = pa.schema({"größe": pa.int64()})
    for parts in ([], [pa.RecordBatch.from_pylist([], schema)]):
        file = avro_file(schema, codec, parts)
        reader = fastavro.reader(io.BytesIO(file))
        assert list(reader) == []
        assert codec == "snappy" or by_apache(file) == []
        assert reader.metadata["avro.codec"] == codec
        assert json.loads(reader.metadata["avro.schema"]) == record_schema(schema)


def test_records_without_columns_are_counted() -> None:
    batch = empty_records(3)
    for codec in CODECS:
        file = avro_file(batch.schema, codec, [batch])
        assert list(fastavro.reader(io.BytesIO(file))) == [{}, {}, {}]
        assert all(judge(file) == [(), (), ()] for judge in judges(codec))


def test_the_container_counts_what_it_wrote() -> None:
    encoder = AvroEncoder.plan(SIMPLE.schema, "null")
    container = AvroContainer(encoder, lambda _: None)
    container.append(encoder.encode(SIMPLE))
    container.append(encoder.encode(SIMPLE.slice(3)))
    container.append(encoder.encode(SIMPLE.slice(1)))
    assert container.record_count == 5


def test_a_batch_without_rows_gives_no_avro_block() -> None:
    assert AvroEncoder.plan(SIMPLE.schema, "null").encode(SIMPLE.slice(0, 0)) == EncodedBatch(())


def test_nothing_is_written_before_the_first_block() -> None:
    written: list[Any] = []
    encoder = AvroEncoder.plan(SIMPLE.schema, "null")
    container = AvroContainer(encoder, written.append)
    container.append(EncodedBatch(()))
    assert written == []
    container.close()
    assert b"".join(written).startswith(b"Obj\x01")


def test_closing_twice_writes_one_header() -> None:
    written: list[Any] = []
    container = AvroContainer(AvroEncoder.plan(SIMPLE.schema, "null"), written.append)
    container.close()
    once = len(written)
    container.close()
    assert len(written) == once


def test_the_sync_marker_depends_on_schema_codec_and_first_block() -> None:
    other_name = SIMPLE.rename_columns(["ID", *SIMPLE.schema.names[1:]])
    files = [
        avro_file(SIMPLE.schema, "null", [SIMPLE]),
        avro_file(SIMPLE.schema, "null", [SIMPLE, SIMPLE]),
        avro_file(SIMPLE.schema, "null", []),
        avro_file(SIMPLE.schema, "null", [SIMPLE.slice(1)]),
        avro_file(SIMPLE.schema, "snappy", [SIMPLE]),
        avro_file(other_name.schema, "null", [other_name]),
    ]
    first, same, *others = [file[_header_end(file) - 16 : _header_end(file)] for file in files]
    assert first == same
    assert len({first, *others}) == 5


def _header_end(file: bytes) -> int:
    stream = io.BytesIO(file)
    header = fastavro.reader(stream)._header
    return file.index(header["sync"]) + 16


def test_the_same_batches_give_the_same_bytes_whoever_encodes_them() -> None:
    parts = [batch_of({"n": range(start, start + 9_000), "t": ["text"] * 9_000}) for start in range(0, 90_000, 9_000)]
    encoder = AvroEncoder.plan(parts[0].schema, "snappy")
    with ThreadPoolExecutor(4) as threads:
        encoded = list(threads.map(encoder.encode, parts))
    file = io.BytesIO()
    container = AvroContainer(encoder, file.write)
    for part in encoded:
        container.append(part)
    container.close()
    assert file.getvalue() == avro_file(parts[0].schema, "snappy", parts)


def test_a_plan_refuses_what_it_cannot_write() -> None:
    with pytest.raises(FrameError, match="column 'x'"):
        AvroEncoder.plan(pa.schema({"x": pa.uint64()}), "null")
    with pytest.raises(SettingsError, match="lzma"):
        AvroEncoder.plan(SIMPLE.schema, "lzma")


WITHOUT_PANDAS: Final = """
import io, sys
import pyarrow.csv
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder

source = b"id,price,day,name,flag\\n1,1.5,2020-01-01,a long text in a short file,true\\n,,,,\\n"
(batch,) = pyarrow.csv.read_csv(io.BytesIO(source)).to_batches()
for codec in ("null", "deflate", "snappy", "zstandard"):
    encoder = AvroEncoder.plan(batch.schema, codec)
    container = AvroContainer(encoder, io.BytesIO().write)
    container.append(encoder.encode(batch))
    container.close()
sys.exit("pandas was imported" if "pandas" in sys.modules else 0)
"""


def test_a_file_is_written_without_pandas() -> None:
    """Some calls of pyarrow import it, if it is there: a third of a second of every cold start."""
    subprocess.run([sys.executable, "-c", WITHOUT_PANDAS], check=True, cwd=ROOT, timeout=60)

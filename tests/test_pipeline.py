"""One source, start to end, in memory: the same bytes however it is converted, and nothing left behind on an error."""

from __future__ import annotations

import csv
import functools
import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any

import duckdb
import fastavro
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.decode.dialect import Dialect
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import (
    CompressionError,
    EncodingError,
    FieldCountError,
    LimitError,
    RecordError,
    TranscodeError,
    ValueTypeError,
)
from csv_transcode.pipeline import Plan, Pools, Transcoded, read_table, transcode
from csv_transcode.schema import ColumnType
from tests.profiles import examples
from tests.s3.executors import InlineExecutor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

STRIPE_BYTES = 64


@dataclass
class MemoryTarget:
    """Keeps what is written, and what was said about it."""

    data: bytearray = field(default_factory=bytearray)
    finished: int = 0
    aborted: int = 0

    def write(self, data: Any, /) -> object:
        if not self.aborted:  # a Parquet writer that is thrown away still writes its footer
            self.data += data
        return None

    def finish(self) -> None:
        self.finished += 1

    def abort(self) -> None:
        self.aborted += 1


class FullTarget(MemoryTarget):
    """Has no room after its first bytes."""

    def write(self, data: Any, /) -> object:
        if len(self.data) + len(data) > 4:
            message = "no room"
            raise OSError(message)
        return super().write(data)


class Rig:
    """A source of ``data`` in chunks of ``size`` bytes, and all targets that were opened."""

    def __init__(self, data: bytes, size: int = 1 << 20, kind: type[MemoryTarget] = MemoryTarget) -> None:
        self.data, self.size, self._kind = data, size, kind
        self.passes: list[dict[str, MemoryTarget]] = []
        self.reads = 0

    def chunks(self) -> Iterable[bytes]:
        self.reads += 1
        return (self.data[at : at + self.size] for at in range(0, len(self.data), self.size))

    def targets(self) -> Mapping[str, MemoryTarget]:
        self.passes.append({name: self._kind() for name in ("parquet", "avro")})
        return self.passes[-1]

    def run(self, plan: Plan, pools: Pools) -> Transcoded | None:
        return transcode(self.chunks, self.targets, plan, pools)

    @property
    def opened(self) -> list[MemoryTarget]:
        return [target for targets in self.passes for target in targets.values()]


def plan_of(*, stripe_bytes: int = STRIPE_BYTES, block_bytes: int | None = None, **given: str) -> Plan:
    rules = TypeRules(given={name: ColumnType.parse(kind) for name, kind in given.items()})
    return Plan(rules=rules, cuts=Cuts(stripe_bytes, block_bytes or stripe_bytes, 1 << 12))


@contextmanager
def pools(workers: int, window: int) -> Iterator[Pools]:
    """Threads, or none at all where ``workers`` is 0."""
    if not workers:
        yield Pools(InlineExecutor(), InlineExecutor(), window)
        return
    with ThreadPoolExecutor(workers) as decode, ThreadPoolExecutor(1) as encode:
        yield Pools(decode, encode, window)


def outputs(data: bytes, plan: Plan, *, size: int = 1 << 20, workers: int = 0, window: int = 1) -> dict[str, bytes]:
    rig = Rig(data, size)
    with pools(workers, window) as threads:
        done = rig.run(plan, threads)
    assert done is not None
    assert done.targets == rig.passes[-1]
    assert [(target.finished, target.aborted) for target in rig.opened[-2:]] == [(1, 0)] * 2
    assert all(target.aborted == 1 for target in rig.opened[:-2])
    return {name: bytes(target.data) for name, target in rig.passes[-1].items()}


def avro_rows(data: bytes) -> list[tuple[Any, ...]]:
    return [tuple(record.values()) for record in fastavro.reader(io.BytesIO(data)) if isinstance(record, dict)]


def parquet_rows(data: bytes) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def duckdb_rows(data: bytes, folder: Path) -> list[tuple[Any, ...]]:
    (folder / "out.parquet").write_bytes(data)
    with duckdb.connect() as connection:
        return connection.read_parquet(str(folder / "out.parquet")).fetchall()


HEADER = b"id,price,day,name\n"
STEADY = HEADER + b"".join(
    f'{n},{n}.{n % 100:02d},2020-01-{n % 28 + 1:02d},"n, {n % 7}"\n'.encode() if n % 5 else f"{n},,,\n".encode()
    for n in range(70)
)
# each column is of one type in the first stripes, and of another at the end
LATE = STEADY + b'x,x,2020-01-01 10:20,""\n'
SOURCES = {"steady": STEADY, "late": LATE}
WAYS = [
    *({"block_bytes": size} for size in (1, 3, 17, STRIPE_BYTES)),
    *({"size": size} for size in (1, 7, 64, 100_000)),
    *({"workers": workers, "window": window} for workers, window in ((1, 1), (1, 3), (4, 2), (4, 9))),
    {"window": 50},
    {"block_bytes": 5, "size": 3, "workers": 3, "window": 4},
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(f"{name}={value}" for name, value in way.items()))
def test_the_same_bytes_whatever_the_way(source: str, way: dict[str, int]) -> None:
    block_bytes = way.get("block_bytes")
    rest = {name: value for name, value in way.items() if name != "block_bytes"}
    assert outputs(SOURCES[source], plan_of(block_bytes=block_bytes), **rest) == plain_outputs(source)


@functools.cache
def plain_outputs(source: str) -> dict[str, bytes]:
    return outputs(SOURCES[source], plan_of())


@pytest.mark.parametrize(("workers", "window"), [(0, 1), (0, 9), (3, 4)])
def test_a_second_pass_gives_the_bytes_of_a_first_with_its_types(workers: int, window: int) -> None:
    rig = Rig(LATE)
    with pools(workers, window) as threads:
        done = rig.run(plan_of(), threads)
    assert done is not None
    assert (rig.reads, len(rig.passes)) == (2, 2)
    assert [str(kind) for kind in done.schema.types] == ["string", "string", "string", "string"]
    from_the_start = outputs(LATE, plan_of(id="string", price="string", day="string", name="string"))
    assert {name: bytes(target.data) for name, target in rig.passes[-1].items()} == from_the_start


def test_a_late_point_makes_doubles_of_what_began_as_whole_numbers() -> None:
    data = b"n\n" + b"1\n2\n" * 100 + b"2.5\n"
    assert outputs(data, plan_of()) == outputs(data, plan_of(n="double"))
    assert outputs(data, plan_of()) == outputs(data, plan_of(), workers=3, window=5)


def test_one_pass_reads_the_source_once() -> None:
    rig = Rig(STEADY)
    with pools(0, 1) as threads:
        done = rig.run(plan_of(), threads)
    assert done is not None
    assert (rig.reads, len(rig.passes), done.records) == (1, 1, 70)
    assert [str(kind) for kind in done.schema.types] == ["int64", "double", "date", "string"]


@pytest.mark.parametrize("source", SOURCES)
def test_the_outputs_say_what_the_source_says(source: str, tmp_path: Path) -> None:
    data = SOURCES[source]
    made = outputs(data, plan_of(), workers=2, window=3)
    rows = parquet_rows(made["parquet"])
    assert rows == avro_rows(made["avro"]) == duckdb_rows(made["parquet"], tmp_path)
    cells = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))[1:]
    assert len(rows) == len(cells)
    for row, record in zip(rows, cells, strict=True):
        written = ["" if value is None else str(value) for value in row]
        if source == "steady" and row[1] is not None:
            written[1] = f"{row[1]:.2f}"
        assert written == record


CELL = st.sampled_from(["", '""', "1", "2.5", "x", '"a\nb"', "2020-01-01", "true", "é", "1.50"])


@given(st.lists(st.tuples(CELL, CELL), max_size=12), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))
@examples(40)
def test_any_source_in_any_cut(rows: list[tuple[str, str]], stripe_bytes: int, block_bytes: int, size: int) -> None:
    data = ("a,b\n" + "".join(",".join(row) + "\n" for row in rows)).encode()
    made = outputs(data, plan_of(stripe_bytes=stripe_bytes))
    again = outputs(
        data, plan_of(stripe_bytes=stripe_bytes, block_bytes=min(block_bytes, stripe_bytes)), size=size, window=3
    )
    assert made == again
    assert parquet_rows(made["parquet"]) == avro_rows(made["avro"])
    whole = read_table([data], plan_of(stripe_bytes=1 << 20))
    assert [tuple(row.values()) for row in whole.to_pylist()] == parquet_rows(made["parquet"])


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_source_opens_no_target(data: bytes) -> None:
    rig = Rig(data)
    with pools(0, 1) as threads:
        assert rig.run(plan_of(), threads) is None
    assert rig.passes == []


def test_a_header_alone_gives_outputs_without_rows() -> None:
    made = outputs(b"a,b\n", plan_of())
    assert pq.read_table(io.BytesIO(made["parquet"])).to_pydict() == {"a": [], "b": []}
    assert avro_rows(made["avro"]) == []


MANY = b"1,2\n" * 100
FAULTS = [
    pytest.param(b"a,b\n" + MANY + b"1\n" + MANY, FieldCountError, "record 101 .line 102, byte 404.", id="fields"),
    pytest.param(
        b"a,b\n" + MANY + b"1\n" + MANY + b'x"y,1\n', FieldCountError, "record 101 ", id="fields, then a quote"
    ),
    pytest.param(b"a,b\n" + MANY + b'1,"\n' + MANY, RecordError, "record 101 .line 102, byte 406.", id="open quote"),
    pytest.param(
        b"a,b\n" + MANY + b"\xff,1\n" + MANY + b"1\n", RecordError, "record 101 .line 102, byte 404.", id="not UTF-8"
    ),
    pytest.param(b"a,b\n" + MANY + b"\0,1\n", EncodingError, "NUL byte at byte 404", id="NUL"),
    pytest.param(b"a,b\n" + MANY + b"1\n" + MANY + b"\0,1\n", FieldCountError, "record 101 ", id="fields, then NUL"),
    pytest.param(b"a,b\n" + MANY + b"1," + b"2" * 5000 + b"\n", LimitError, "line 102, byte 404 ", id="long record"),
    pytest.param(
        b"a,b\n" + MANY + b"1\n" + MANY + b"1," + b"2" * 5000 + b"\n",
        FieldCountError,
        "record 101 ",
        id="fields, then long",
    ),
    pytest.param(
        b"a,given\n" + MANY + b"1,x\n" + MANY + b"1\n", ValueTypeError, "record 101 .line 102, byte 408.", id="type"
    ),
    pytest.param(
        b"a,given\n" + MANY + b"1\n" + MANY + b"1,x\n", FieldCountError, "record 101 ", id="fields, then type"
    ),
    pytest.param(b"a,given\n1,x\n" + MANY + b"1\n", ValueTypeError, "record 1 .line 2, byte 8.", id="first stripe"),
    pytest.param(b"\x1f\x8b" + MANY, CompressionError, "at byte 0", id="compressed"),
]


@pytest.mark.parametrize("way", [(0, 1, 1000), (0, 50, 3), (4, 2, 7), (4, 50, 1000)])
@pytest.mark.parametrize(("data", "error", "words"), FAULTS)
def test_the_first_error_in_the_file_wins_and_targets_are_aborted(
    data: bytes, error: type[TranscodeError], words: str, way: tuple[int, int, int]
) -> None:
    workers, window, size = way
    rig = Rig(data, size)
    with pools(workers, window) as threads, pytest.raises(error, match=words):
        rig.run(plan_of(given="int64"), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


@pytest.mark.parametrize(
    ("header", "record"), [pytest.param(True, 0, id="the header"), pytest.param(False, 1, id="the first record")]
)
def test_the_header_is_record_0(*, header: bool, record: int) -> None:
    plan = replace(plan_of(), dialect=Dialect(header=header))
    with pytest.raises(RecordError, match=rf"record {record} \(line 2, byte 4\)"):
        read_table([b'\na,b"\n1,2\n'], plan)


def test_an_error_behind_a_contradiction_has_its_record_too() -> None:
    data = b"a,b\n" + MANY + b"x,2\n" + MANY + b"1\n" + MANY
    rig = Rig(data)
    with pools(2, 3) as threads, pytest.raises(FieldCountError, match=r"record 202 \(line 203, byte 808\)"):
        rig.run(plan_of(), threads)
    assert [target.aborted > 0 for target in rig.opened] == [True, True]


@pytest.mark.parametrize("data", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_target_without_room_aborts_all(data: bytes, workers: int) -> None:
    rig = Rig(data, kind=FullTarget)
    with pools(workers, 3) as threads, pytest.raises(OSError, match="no room"):
        rig.run(plan_of(), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


def test_a_target_is_not_aborted_while_its_footer_is_written() -> None:
    writing, aborted = Event(), Event()
    writes: list[str] = []

    class Slow(MemoryTarget):
        def write(self, data: Any, /) -> object:
            writing.set()
            aborted.wait(0.1)  # as long as it takes to see an abort that does not wait
            writes.append("aborted" if self.aborted else "standing")
            return super().write(data)

        def abort(self) -> None:
            super().abort()
            aborted.set()

    class Failing(MemoryTarget):
        def write(self, data: Any, /) -> object:
            assert writing.wait(30)
            message = f"no room for {len(data)} bytes"
            raise OSError(message)

    with pools(1, 1) as threads, pytest.raises(OSError, match="no room"):
        transcode(lambda: [b"a,b\n"], lambda: {"parquet": Slow(), "avro": Failing()}, plan_of(), threads)
    assert writes
    assert "aborted" not in writes


def test_a_source_that_fails_midway_aborts_all() -> None:
    class Broken(Rig):
        def chunks(self) -> Iterable[bytes]:
            yield self.data[:700]
            message = "connection lost"
            raise OSError(message)

    rig = Broken(STEADY)
    with pools(2, 3) as threads, pytest.raises(OSError, match="connection lost"):
        rig.run(plan_of(), threads)
    assert [target.aborted for target in rig.opened] == [1, 1]


def test_a_source_that_is_another_one_the_second_time_is_not_published() -> None:
    class Changing(Rig):
        def chunks(self) -> Iterable[bytes]:
            data = list(super().chunks())
            return data if self.reads == 1 else [b"".join(data)[:-200]]

    rig = Changing(LATE)
    with pools(0, 1) as threads, pytest.raises(TranscodeError):
        rig.run(plan_of(), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


@pytest.mark.parametrize("formats", [("parquet",), ("avro",)])
def test_one_format_alone_has_the_bytes_it_has_beside_the_other(formats: tuple[str, ...]) -> None:
    target = MemoryTarget()
    with pools(0, 1) as threads:
        transcode(lambda: [STEADY], lambda: {formats[0]: target}, replace(plan_of(), formats=formats), threads)
    assert bytes(target.data) == outputs(STEADY, plan_of())[formats[0]]


def test_without_a_header_blank_lines_are_values_of_the_one_column_from_the_start() -> None:
    table = read_table([b"\n\r\n1\n\n2\n\n"], replace(plan_of(), dialect=Dialect(header=False)))
    assert table.to_pydict() == {"column_1": [None, None, 1, None, 2]}


def test_without_a_header_every_record_is_a_row() -> None:
    plan = replace(plan_of(), dialect=Dialect(header=False))
    made = outputs(b"1,x\n2,y\n", plan)
    assert pq.read_table(io.BytesIO(made["parquet"])).to_pydict() == {"column_1": [1, 2], "column_2": ["x", "y"]}

"""One source, start to end, in memory: the same bytes however it is converted, and nothing left behind on an error."""

from __future__ import annotations

import csv
import functools
import io
import json
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

import duckdb
import fastavro
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode.decode.dialect_detection import SAMPLE_BYTES, Given
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading
from csv_transcode.decode.records import Cuts
from csv_transcode.errors import (
    CompressionError,
    ConservationError,
    DeadlineError,
    LimitError,
    RecordError,
    RejectedError,
    TranscodeError,
)
from csv_transcode.formats.avro.container import AvroContainer
from csv_transcode.formats.parquet import ParquetEncoder
from csv_transcode.pipeline import REJECTS, Plan, Pools, Transcoded, read_table, transcode
from csv_transcode.rejects import KEPT_MAX, PREAMBLE, Reject, RejectsWriter
from csv_transcode.schema import ColumnType
from tests.profiles import examples
from tests.s3.executors import InlineExecutor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

STRIPE_BYTES = 64
RECORD_BYTES_MAX = 1 << 12


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
        self.passes.append({name: self._kind() for name in ("parquet", "avro", REJECTS)})
        return self.passes[-1]

    def run(self, plan: Plan, pools: Pools) -> Transcoded | None:
        return transcode(self.chunks, self.targets, plan, pools)

    @property
    def opened(self) -> list[MemoryTarget]:
        return [target for targets in self.passes for target in targets.values()]


COMMA = Given(delimiter=",", quote_char='"')


def plan_of(
    *,
    stripe_bytes: int = STRIPE_BYTES,
    block_bytes: int | None = None,
    header: bool = True,
    rejected_ratio_max: float = 0.1,
    **given: str,
) -> Plan:
    rules = TypeRules(given={name: ColumnType.parse(kind) for name, kind in given.items()})
    cuts = Cuts(stripe_bytes, block_bytes or stripe_bytes, RECORD_BYTES_MAX)
    reading = Reading(given=replace(COMMA, header=header), cuts=cuts, rejected_ratio_max=rejected_ratio_max)
    return Plan(reading=reading, rules=rules)


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
    assert [(target.finished, target.aborted) for target in rig.opened[-3:]] == [(1, 0)] * 3
    assert all(target.aborted == 1 for target in rig.opened[:-3])
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
# bad records of every reason that a stripe can hold, in stripes of their own and at their edges
MESSY = LATE.replace(b"\n7,", b'\n7,"\n7,').replace(b"\n13,", b"\nx\n13,").replace(b"\n31,", b'\n31,\xff\n"a\nb"\n31,')
SOURCES = {"steady": STEADY, "late": LATE, "messy": MESSY}
WAYS = [
    *({"block_bytes": size} for size in (1, 3, 17, STRIPE_BYTES)),
    *({"size": size} for size in (1, 7, 64, 100_000)),
    *({"workers": workers, "window": window} for workers, window in ((1, 1), (1, 3), (4, 2), (4, 9))),
    {"window": 50},
    {"block_bytes": 5, "size": 3, "workers": 3, "window": 4},
]


@pytest.mark.parametrize(
    "source", [*(pytest.param(name, marks=pytest.mark.long) for name in ("steady", "late")), "messy"]
)
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
    assert (rig.reads, len(rig.passes), done.written, done.rejected) == (1, 1, 70, 0)
    assert [str(kind) for kind in done.schema.types] == ["int64", "double", "date", "string"]


@pytest.mark.parametrize("source", ["steady", "late"])
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
LONG = b"1," + b"2" * 2 * RECORD_BYTES_MAX + b"\n"
FAULTS = [
    pytest.param(b"a,b\n" + MANY + LONG + MANY, LimitError, "^line 102, at byte 404, has ", id="a line out of reach"),
    pytest.param(b"a,b\n" + MANY + b"x\n" * 50 + MANY + LONG, LimitError, "line 252, ", id="behind rejects"),
    pytest.param(b"a,b\n" + MANY + b"x\n" * 50 + MANY, RejectedError, "^50 of 250 records", id="too many rejects"),
    pytest.param(b"\x1f\x8b" + MANY, CompressionError, "byte", id="compressed, and damaged"),
]


@pytest.mark.parametrize("way", [(0, 1, 1000), (0, 50, 3), (4, 2, 7), (4, 50, 1000)])
@pytest.mark.parametrize(("data", "error", "words"), FAULTS)
def test_a_source_that_cannot_be_read_raises_and_targets_are_aborted(
    data: bytes, error: type[TranscodeError], words: str, way: tuple[int, int, int]
) -> None:
    workers, window, size = way
    rig = Rig(data, size)
    with pools(workers, window) as threads, pytest.raises(error, match=words):
        rig.run(plan_of(), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


FIRST_RECORDS = [
    pytest.param(MANY + b"1\n" + MANY, "record 101 (line 102, byte 404): 1 fields, header has 2", id="fields"),
    pytest.param(MANY + b"1\n" + MANY + b'x"y,1\n', "record 101 (line 102, byte 404): 1 fields", id="and then a quote"),
    pytest.param(MANY + b'1,"\n' + MANY, "record 101 (line 102, byte 404): at byte 2 of the record", id="open quote"),
    pytest.param(MANY + b"\xff,1\n" + MANY + b"1\n", "record 101 (line 102, byte 404): at byte 0", id="not UTF-8"),
    pytest.param(
        MANY + b"1,x\n" + MANY + b"1\n", "record 101 (line 102, byte 404): the value of column 'b'", id="type"
    ),
    pytest.param(MANY + b"1\n" + MANY + b"1,x\n", "record 101 (line 102, byte 404): 1 fields", id="and then a type"),
    pytest.param(b"1,x\n" + MANY + b"1\n", "record 1 (line 2, byte 4): the value of column 'b'", id="first stripe"),
]


@pytest.mark.parametrize(("records", "words"), FIRST_RECORDS)
def test_a_table_is_of_all_records_or_of_none(records: bytes, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_table([b"a,b\n" + records], plan_of(b="int64"))
    assert str(caught.value).startswith(words)


def rejected(data: bytes, plan: Plan, **way: int) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Return (the rejects' lines, the rows)."""
    made = outputs(data, plan, **way)
    rows = parquet_rows(made["parquet"])
    assert rows == avro_rows(made["avro"])
    return [json.loads(line) for line in made[REJECTS].splitlines()], rows


def test_what_is_rejected_is_written_with_its_place_reason_and_bytes() -> None:
    data = b'a,b\n1,x\n2\n"3\n4",5\n"6,7\n\xff,8\n9,y\n'
    made = outputs(data, plan_of(rejected_ratio_max=1, a="int64"))
    assert made[REJECTS].decode() == (
        '{"record": 2, "line": 3, "offset": 8, "length": 2, "reason": "field_count", '
        '"detail": "1 fields, header has 2", "raw": "2\\n"}\n'
        '{"record": 3, "line": 4, "offset": 10, "length": 8, "reason": "type", '
        '"detail": "the value of column \'a\' does not fit int64, which COLUMN_TYPES gives it", '
        '"raw": "\\"3\\n4\\",5\\n"}\n'
        '{"record": 4, "line": 6, "offset": 18, "length": 5, "reason": "quote", '
        '"detail": "at byte 0 of the record, a quoted field begins here and never ends", "raw": "\\"6,7\\n"}\n'
        '{"record": 5, "line": 7, "offset": 23, "length": 4, "reason": "encoding", '
        '"detail": "at byte 0 of the record, ff is not valid UTF-8 (invalid start byte)", "raw_base64": "/yw4Cg=="}\n'
    )
    assert parquet_rows(made["parquet"]) == [(1, "x"), (9, "y")]


@pytest.mark.parametrize("source", SOURCES)
def test_without_the_rejected_ranges_the_rest_is_a_strictly_valid_csv_of_just_the_rows(source: str) -> None:
    data = SOURCES[source]
    lines, rows = rejected(data, plan_of())
    assert (len(lines) > 0) == (source == "messy")
    rest = bytearray(data)
    for line in reversed(lines):
        place = slice(line["offset"], line["offset"] + line["length"])
        assert rest[place].decode(errors="surrogateescape") == line.get("raw", "31,\udcff\n")
        del rest[place]
    cells = list(csv.reader(io.StringIO(rest.decode(), newline=""), strict=True))[1:]
    assert len(cells) == len(rows)
    assert [record[3] for record in cells] == [row[3] or "" for row in rows]


def test_a_second_pass_rejects_what_the_first_did() -> None:
    """Also where the first pass had written nothing but the first stripe's rejects before it saw the contradiction."""
    rig = Rig(MESSY)
    with pools(2, 3) as threads:
        done = rig.run(plan_of(), threads)
    assert done is not None
    assert (rig.reads, done.written, done.rejected, done.reject_lines) == (2, 71, 4, 4)
    from_the_start = outputs(MESSY, plan_of(id="string", price="string", day="string", name="string"))
    assert bytes(rig.passes[1][REJECTS].data) == from_the_start[REJECTS]


def test_values_of_a_given_type_are_rejected_one_by_one_in_any_stripe() -> None:
    data = b"n,t\n" + b"".join(b"%d,x\n" % n if n % 10 else b"n%d,x\n" % n for n in range(1, 200))
    for plan, way in [(plan_of(n="int64"), {}), (plan_of(n="int64", block_bytes=3), {"workers": 2, "window": 5})]:
        lines, rows = rejected(data, plan, **way)
        assert [(line["record"], line["line"], line["raw"]) for line in lines] == [
            (n, n + 1, f"n{n},x\n") for n in range(10, 200, 10)
        ]
        assert {line["reason"] for line in lines} == {"type"}
        assert rows == [(n, "x") for n in range(1, 200) if n % 10]


def test_of_a_column_without_rejected_values_the_evidence_names_the_record_of_the_file() -> None:
    """A record that rules a type out is counted with the rejected ones before it."""
    data = b"a,b\n" + b"1,1\nx\n" * 5 + b"1,1\n" * 60 + b"x\n1,z\n"
    rig = Rig(data)
    with pools(0, 1) as threads:
        done = rig.run(plan_of(), threads)
    assert done is not None
    assert [column.ruled_out for column in done.schema.columns] == [None, {"type": "int64", "record": 72}]


@pytest.mark.parametrize(
    ("bad", "share", "fails"), [(10, 0.1, False), (11, 0.1, True), (1, 0.0, True), (0, 0.0, False)]
)
def test_a_file_fails_where_a_larger_share_is_rejected_than_is_allowed(bad: int, share: float, *, fails: bool) -> None:
    data = b"a,b\n" + b"1,2\n" * (100 - bad) + b"x\n" * bad
    if not fails:
        assert len(rejected(data, plan_of(rejected_ratio_max=share))[0]) == bad
        return
    with pytest.raises(RejectedError, match=rf"^{bad} of 100 records .*MAX_REJECTED_RATIO={share:g} ") as caught:
        outputs(data, plan_of(rejected_ratio_max=share))
    error = caught.value
    assert (error.read, error.rejected, len(error.rejects)) == (100, bad, bad)
    line, offset = 1 + 100 - bad + 1, 4 + 4 * (100 - bad)
    assert error.rejects[0] == Reject(100 - bad + 1, line, offset, "field_count", "1 fields, header has 2", b"x\n")
    assert str(error).endswith(f"record {100 - bad + 1} (line {line}, byte {offset}): 1 fields, header has 2")


def test_a_ratio_of_1_accepts_a_file_of_nothing_else() -> None:
    lines, rows = rejected(b"a,b\n" + b"x\n" * 100, plan_of(rejected_ratio_max=1))
    assert (len(lines), rows) == (100, [])
    with pytest.raises(RejectedError, match=r"^100 of 100 records"):
        outputs(b"a,b\n" + b"x\n" * 100, plan_of(rejected_ratio_max=0.99))


def test_of_a_failed_file_no_more_than_the_first_rejects_are_kept() -> None:
    with pytest.raises(RejectedError) as caught:
        outputs(b"a,b\n" + b"x\n" * 1500, plan_of(stripe_bytes=1 << 20), workers=2, window=3)
    assert [reject.record for reject in caught.value.rejects] == list(range(1, KEPT_MAX + 1))
    assert (caught.value.read, caught.value.rejected) == (1500, 1500)


def test_the_ratio_counts_before_a_second_pass_begins() -> None:
    rig = Rig(b"a,b\n" + MANY + b"x,2\n" + b"1\n" * 50)
    with pools(2, 3) as threads, pytest.raises(RejectedError, match=r"^50 of 151"):
        rig.run(plan_of(), threads)
    assert (rig.reads, len(rig.passes)) == (1, 1)
    assert all(target.aborted and not target.finished for target in rig.opened)


def test_lines_before_the_header_are_rejects_and_no_records() -> None:
    data = b"Report of 2026\n\nby nobody\na,b,c\n" + b"1,2,3\n" * 50
    rig = Rig(data)
    with pools(0, 1) as threads:
        done = rig.run(replace(plan_of(), reading=Reading(rejected_ratio_max=0)), threads)
    assert done is not None
    assert (done.written, done.rejected, done.reject_lines) == (50, 0, 2)
    told = [json.loads(line) for line in rig.passes[-1][REJECTS].data.splitlines()]
    assert [(one["record"], one["line"], one["offset"], one["reason"], one["raw"]) for one in told] == [
        (0, 1, 0, PREAMBLE, "Report of 2026\n"),
        (0, 3, 16, PREAMBLE, "by nobody\n"),
    ]


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(lambda write, rejects: write(rejects[:-1]), id="one is lost"),
        pytest.param(lambda write, rejects: write([*rejects, *rejects[:1]]), id="one is written twice"),
    ],
)
def test_rejects_that_do_not_add_up_are_not_published(lost: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write = RejectsWriter.write
    monkeypatch.setattr(
        RejectsWriter, "write", lambda self, rejects: lost(functools.partial(write, self), list(rejects))
    )
    rig = Rig(MESSY)
    with pools(0, 1) as threads, pytest.raises(ConservationError, match=r"75 records were read, \d+ rejected, and"):
        rig.run(plan_of(), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


@pytest.mark.parametrize("encoder", ["parquet", "avro"])
def test_rows_that_do_not_add_up_are_not_published(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that holds a row less than was read, whatever took it."""
    if encoder == "avro":
        monkeypatch.setattr(AvroContainer, "close", lambda self: setattr(self, "record_count", 69))
    else:
        close = ParquetEncoder.close
        monkeypatch.setattr(ParquetEncoder, "close", lambda self: close(self) - 1)
    rig = Rig(STEADY)
    with pools(0, 1) as threads, pytest.raises(ConservationError, match=r"70 records were read, 0 rejected, and .* 69"):
        rig.run(plan_of(), threads)
    assert all(target.aborted and not target.finished for target in rig.opened)


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

    targets = {"parquet": Slow(), "avro": Failing(), REJECTS: MemoryTarget()}
    with pools(1, 1) as threads, pytest.raises(OSError, match="no room"):
        transcode(lambda: [b"a,b\n"], lambda: targets, plan_of(), threads)
    assert writes
    assert "aborted" not in writes


def test_targets_are_not_aborted_while_a_row_group_that_ran_out_of_time_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("csv_transcode.formats.parquet.ROW_GROUP_BYTES", 1)  # each stripe is one
    ended: list[list[int]] = []
    rig = Rig(b"a,b\n" + b"1,2\n" * 100)

    class Late(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002 -- as Future
            raise DeadlineError

        def cancel(self) -> bool:
            return False

        def exception(self, timeout: float | None = None) -> None:  # noqa: ARG002 -- as Future
            ended.append([target.aborted for target in rig.opened])

    class Threads(InlineExecutor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            return Late()

    with pytest.raises(DeadlineError):
        rig.run(plan_of(), Pools(InlineExecutor(), Threads(), 1))
    assert ended == [[0, 0, 0]]
    assert [target.aborted for target in rig.opened] == [1, 1, 1]


def test_a_source_that_fails_midway_aborts_all() -> None:
    class Broken(Rig):
        def chunks(self) -> Iterable[bytes]:
            yield self.data
            message = "connection lost"
            raise OSError(message)

    rig = Broken(b"a,b\n" + b"1,2\n" * SAMPLE_BYTES)
    with pools(2, 3) as threads, pytest.raises(OSError, match="connection lost"):
        rig.run(plan_of(stripe_bytes=SAMPLE_BYTES), threads)
    assert [target.aborted for target in rig.opened] == [1, 1, 1]


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
        transcode(
            lambda: [STEADY],
            lambda: {formats[0]: target, REJECTS: MemoryTarget()},
            replace(plan_of(), formats=formats),
            threads,
        )
    assert bytes(target.data) == outputs(STEADY, plan_of())[formats[0]]


def test_without_a_header_blank_lines_are_values_of_the_one_column_from_the_start() -> None:
    table = read_table([b"\n\r\n1\n\n2\n\n"], plan_of(header=False))
    assert table.to_pydict() == {"column_1": [None, None, 1, None, 2]}


def test_without_a_header_every_record_is_a_row() -> None:
    plan = plan_of(header=False)
    made = outputs(b"1,x\n2,y\n", plan)
    assert pq.read_table(io.BytesIO(made["parquet"])).to_pydict() == {"column_1": [1, 2], "column_2": ["x", "y"]}

"""The façade: what it lists, what it does at once, what it keeps, and every cell from one end to the other."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode import errors
from csv_transcode.deadline import Deadline
from csv_transcode.events import EventKind, EventObject, Invocation, Skipped
from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime, thread_pool
from demo.verify import verify
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.decode.near_misses import columns
from tests.formats.avro.avro_judges import by_apache, by_fastavro, expected
from tests.profiles import examples
from tests.s3.faults import list_by, operations, record
from tests.standing import (
    KEY,
    PREFIX,
    inline_runtime,
    parquet_table,
    patient_client,
    processor,
    put,
    require_truth,
    settings,
    standing,
)
from tests.trouble import Trouble, answered, troubled

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from mypy_boto3_s3 import S3Client

    from tests.formats.avro.avro_judges import Rows

ROOT: Final = Path(__file__).parent.parent
MARK: Final = b"\xef\xbb\xbf"
DAY: Final = b"id,text\n1,one\n2,two\n"
BAD: Final = b"id,text\n1,one,more\n"


class TestListing:
    def test_a_page_that_fails_raises_whichever_it_is(self, s3: S3Client) -> None:
        for number in range(7):
            put(s3, DAY, f"in/{number}.csv")
        client = patient_client()
        list_by(client, 3)
        for page in (1, 2, 3):
            with (
                processor(client) as made,
                troubled(client, Trouble(page, answered(500, "InternalError"))),
                pytest.raises(errors.RetryableStoreError, match=r"ListObjectsV2 s3://input-bucket/in/: 500"),
            ):
                made.list_s3_objects()

    def test_a_run_whose_listing_fails_raises_and_what_was_under_way_is_whole(self, s3: S3Client) -> None:
        for number in range(7):
            put(s3, DAY, f"in/{number}.csv")
        client = patient_client()
        list_by(client, 3)
        fail_page(client, 2)
        with processor(client) as made, pytest.raises(errors.RetryableStoreError, match="ListObjectsV2"):
            made.run()
        assert set(require_truth(s3, DAY).values()) == {"committed"}

    def test_a_long_listing_is_read_while_it_is_worked_on(self, s3: S3Client) -> None:
        """Nobody waits for the last page, and nobody holds it all."""
        for number in range(9):
            put(s3, DAY, f"in/{number}.csv")
        list_by(s3, 2)
        sent = record(s3)
        with processor(s3, max_workers=2) as made:
            made.run()
        pages = [place for place, name in enumerate(operations(sent)) if name == "ListObjectsV2"]
        first_put = operations(sent).index("PutObject")
        assert len(pages) == 5
        assert first_put < pages[-1]

    def test_an_empty_prefix_of_a_bucket_is_an_empty_report(self, s3: S3Client) -> None:
        with processor(s3) as made:
            report = made.run()
        assert (report.status_code, report.results) == (200, ())

    def test_own_outputs_are_no_sources(self, s3: S3Client) -> None:
        """In one bucket, and with a prefix that does not hold the outputs."""
        s3.put_object(Bucket=INPUT_BUCKET, Key=KEY, Body=DAY)
        with S3DataProcessor(INPUT_BUCKET, INPUT_BUCKET, PREFIX, s3_client=s3) as made:
            assert len(made.process_all_files()) == 1
            assert made.convert("processed/_manifests/day.csv.json").outcome is Outcome.SKIPPED
            assert made.convert("processed/other.csv").reason == "an output of this function"
            assert made.process_all_files() == {}


class TestSkipped:
    @pytest.mark.parametrize("use_wrangler", [False, True])
    @pytest.mark.parametrize("output", ["parquet", "avro", "json"])
    def test_own_outputs_are_told_by_their_mark_wherever_they_lie(
        self, s3: S3Client, output: str, *, use_wrangler: bool
    ) -> None:
        """Copied to where sources lie, and given a source's name: else a rule that copies would never end."""
        put(s3, DAY)
        with processor(s3, use_wrangler=use_wrangler) as made:
            made.run()
            key = next(key for key in standing(s3) if key.endswith(output))
            s3.copy_object(Bucket=INPUT_BUCKET, Key="in/copy.csv", CopySource={"Bucket": OUTPUT_BUCKET, "Key": key})
            before_it = standing(s3)
            for force, dry_run in ((False, False), (True, False), (True, True)):
                report = made.run(["in/copy.csv"], force=force, dry_run=dry_run)
                assert [(one.outcome, one.reason) for one in report.results] == [
                    (Outcome.SKIPPED, "an output of this program: the object carries its mark")
                ]
        assert standing(s3) == before_it

    @pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
    def test_archived_objects_of_a_listing_are_not_asked_for(self, s3: S3Client, storage_class: str) -> None:
        put(s3, DAY)
        s3.put_object(Bucket=INPUT_BUCKET, Key="in/old.csv", Body=DAY, StorageClass=storage_class)  # type: ignore[arg-type]
        sent = record(s3)
        with processor(s3, inline_runtime()) as made:
            report = made.run()
        assert [(one.key, one.outcome.value) for one in report.results] == [
            (KEY, "converted"),
            ("in/old.csv", "skipped"),
        ]
        assert report.results[1].reason == f"archived: {storage_class}, and not restored"
        assert operations(sent).count("GetObject") == 2
        assert report.next is None


def fail_page(client: S3Client, number: int) -> None:
    count = 0

    def before_send(request: Any, **_: object) -> Any:
        nonlocal count
        count += 1
        return answered(500, "InternalError")(request) if count == number else None

    client.meta.events.register_first("before-send.s3.ListObjectsV2", before_send)


class TestRun:
    def test_results_come_in_the_order_asked_for_and_as_they_come_to_who_listens(self, s3: S3Client) -> None:
        names = [f"in/{number}.csv" for number in (5, 1, 4, 2, 3)]
        for name in names:
            put(s3, BAD if "4" in name else DAY, name)
        heard: list[str] = []
        with processor(s3) as made:
            report = made.run(names, on_result=lambda result: heard.append(result.key))
        assert [result.key for result in report.results] == names
        assert sorted(heard) == sorted(names)

    def test_results_of_a_listing_come_in_the_order_of_their_keys(self, s3: S3Client) -> None:
        names = [f"in/{number:02}.csv" for number in range(15)]
        for name in names:
            put(s3, DAY, name)
        with processor(s3, max_workers=4) as made:
            assert [result.key for result in made.run().results] == names

    def test_what_an_event_names_twice_or_skips_is_told_once(self, s3: S3Client) -> None:
        put(s3, DAY)
        invocation = Invocation(EventKind.DIRECT, (EventObject(KEY),), (Skipped("x", "another bucket"),))
        with processor(s3) as made:
            report = made.handle(invocation, Deadline.never())
        assert [(one.key, one.outcome.value) for one in report.results] == [("x", "skipped"), (KEY, "converted")]

    def test_a_dry_run_of_what_is_not_there(self, s3: S3Client) -> None:
        with processor(s3) as made:
            report = made.run([KEY, "in/", "elsewhere.csv"], dry_run=True)
        assert [(one.outcome.value, one.reason) for one in report.results] == [
            ("failed", "there is no such object"),
            ("skipped", "a folder marker (ends in /)"),
            ("skipped", "outside the prefix 'in/'"),
        ]
        assert standing(s3) == {}

    def test_a_dry_run_that_meets_trouble_says_so(self, s3: S3Client) -> None:
        put(s3, DAY)
        client = patient_client()
        with processor(client) as made, troubled(client, Trouble(1, answered(503, "SlowDown"))):
            result = made.run([KEY], dry_run=True).results[0]
        assert (result.outcome, result.retryable) == (Outcome.FAILED, True)

    def test_the_report_says_how_much_of_what(self, s3: S3Client) -> None:
        put(s3, DAY)
        with processor(s3, inline_runtime()) as made:
            report = made.run()
        told = report.to_dict()
        outputs = {key.rpartition(".")[2]: len(body) for key, body in standing(s3).items()}
        assert told["bytes"] == {"read": len(DAY), "parquet": outputs["parquet"], "avro": outputs["avro"]}
        assert told["results"][0]["outputs"][0]["rows"] == 2
        assert 0 < told["seconds"]["per_file_max"] < told["seconds"]["total"]


class TestArguments:
    def test_settings_for_other_buckets_are_refused(self, s3: S3Client) -> None:
        with pytest.raises(errors.SettingsError, match="'another-bucket'"):
            S3DataProcessor("another-bucket", OUTPUT_BUCKET, settings=settings(), s3_client=s3)

    def test_settings_win_over_arguments(self, s3: S3Client) -> None:
        made = S3DataProcessor(INPUT_BUCKET, OUTPUT_BUCKET, "x/", max_workers=3, settings=settings(), s3_client=s3)
        assert (made.settings.prefix, made.settings.max_workers) == (PREFIX, 20)

    @pytest.mark.parametrize(
        "arguments", [{"max_workers": 0}, {"max_workers": "3"}, {"cache_size": -1}, {"use_wrangler": "yes"}], ids=str
    )
    def test_wrong_ones_are_refused(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(errors.SettingsError):
            S3DataProcessor(INPUT_BUCKET, OUTPUT_BUCKET, **arguments)

    def test_the_client_is_made_as_the_settings_say(self) -> None:
        made = processor_of_its_own(max_workers=7, retries_max=2, read_timeout_seconds=4.0, connect_timeout_seconds=1.0)
        config = made._client.meta.config
        assert config.max_pool_connections >= 2 * 7
        assert config.retries["total_max_attempts"] == 3
        assert (config.connect_timeout, config.read_timeout) == (1.0, 4.0)


def processor_of_its_own(**overrides: Any) -> S3DataProcessor:
    return S3DataProcessor(INPUT_BUCKET, OUTPUT_BUCKET, settings=settings(**overrides))


class TestThreads:
    def test_they_are_the_runtime_s_bounded_and_ended(self, s3: S3Client) -> None:
        for number in range(6):
            put(s3, DAY, f"in/{number}.csv")
        asked: list[tuple[str, int]] = []
        ended: list[str] = []

        class Pool(ThreadPoolExecutor):
            def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- its
                ended.append(str(self._thread_name_prefix))
                super().shutdown(wait=wait, cancel_futures=cancel_futures)

        def executor(threads_max: int, name: str) -> Executor:
            asked.append((name, threads_max))
            return Pool(threads_max, name)

        before_it = threading.active_count()
        with processor(s3, Runtime(executor=executor, cores=2), max_workers=4) as made:
            assert asked == []
            made.run()
            made.run(force=True)
        assert dict(asked) == {"object": 4, "io": 12, "decode": 2, "encode": 2}
        assert len(asked) == 4
        assert sorted(ended) == ["decode", "encode", "io", "object"]
        assert threading.active_count() == before_it

    def test_they_start_anew_after_close(self, s3: S3Client) -> None:
        put(s3, DAY)
        made = processor(s3)
        for outcome in (Outcome.CONVERTED, Outcome.SKIPPED):
            assert made.convert(KEY).outcome is outcome
            made.close()
            made.close()

    def test_they_are_made_once_however_many_ask_at_once(self, s3: S3Client) -> None:
        """Else each thread would have a memory gate of its own, and nothing would be bounded."""
        asked: list[str] = []

        def executor(threads_max: int, name: str) -> Executor:
            asked.append(name)
            time.sleep(0.01)  # where others get their turn
            return thread_pool(threads_max, name)

        start = threading.Barrier(6)

        def ask(number: int) -> Outcome:
            start.wait(timeout=30)
            return made.convert(f"in/{number}.csv").outcome

        for number in range(6):
            put(s3, DAY, f"in/{number}.csv")
        with processor(s3, Runtime(executor=executor)) as made, ThreadPoolExecutor(6) as threads:
            assert set(threads.map(ask, range(6))) == {Outcome.CONVERTED}
        assert sorted(asked) == ["decode", "encode", "io", "object"]

    def test_without_threads_clock_or_chance_of_the_machine(
        self, s3: S3Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A simulation passes in its own, and there is nothing else: the same run is the same requests."""
        runs = []
        for _ in range(2):
            for key in standing(s3):
                s3.delete_object(Bucket=OUTPUT_BUCKET, Key=key)
            for number in range(3):
                put(s3, BAD if number == 1 else DAY, f"in/{number}.csv")
            with processor(s3, inline_runtime()) as made, monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", _refuse)
                sent = record(s3)
                report = made.run()
            runs.append((operations(sent), [(one.key, one.outcome, one.seconds) for one in report.results]))
        assert runs[0] == runs[1]
        assert [outcome for _, outcome, _ in runs[0][1]] == [Outcome.CONVERTED, Outcome.FAILED, Outcome.CONVERTED]

    def test_memory_is_asked_for_before_a_source_is_read(self, s3: S3Client) -> None:
        """Objects whose size the listing says wait for memory before their bytes come."""
        admitted: list[int] = []

        class Gate(threading.Condition):
            def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
                admitted.append(len(sent))
                return super().wait_for(predicate, timeout)

        put(s3, DAY)
        sent = record(s3)
        with processor(s3, replace(inline_runtime(), condition=Gate)) as made:
            made.run()
        assert operations(sent)[: admitted[0] + 1] == ["ListObjectsV2", "GetObject", "GetObject"]
        assert len(admitted) == 1


def _refuse(_thread: threading.Thread) -> None:
    pytest.fail("a thread of the machine's")


class TestCache:
    def test_a_dataframe_is_read_from_it_too(self, s3: S3Client) -> None:
        put(s3, DAY)
        with processor(s3) as made:
            assert made.read_s3_file(INPUT_BUCKET, KEY) == DAY
            sent = record(s3)
            assert made.read_csv_to_dataframe(INPUT_BUCKET, KEY)["id"].tolist() == [1, 2]
        assert [(one.operation, "if-none-match" in one.headers) for one in sent] == [("GetObject", True)]

    def test_it_can_be_turned_off(self, s3: S3Client) -> None:
        put(s3, DAY)
        sent = record(s3)
        with processor(s3, cache_size=0) as made:
            for _ in range(2):
                assert made.read_s3_file(INPUT_BUCKET, KEY) == DAY
        assert not [one for one in sent if "if-none-match" in one.headers]

    def test_conversions_leave_it_alone(self, s3: S3Client) -> None:
        put(s3, DAY)
        with processor(s3) as made:
            made.convert(KEY)
            assert made._cache._objects == {}


class TestNotebook:
    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (BAD + b"2,two\n", errors.RecordError),
            (DAY + b"1,one,more\n" + DAY * 9, errors.RecordError),
            (b"", errors.DialectError),
            (DAY * 9 + b"1,\xff\n", errors.RecordError),
            (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", errors.CompressionError),
        ],
        ids=["a bad record", "one among many", "nothing", "not UTF-8", "compressed, and cut off"],
    )
    def test_a_csv_of_which_a_conversion_would_not_write_everything_is_no_dataframe(
        self, s3: S3Client, content: bytes, error: type[Exception]
    ) -> None:
        put(s3, content)
        with processor(s3) as made, pytest.raises(error):
            made.read_csv_to_dataframe(INPUT_BUCKET, KEY)

    def test_types_are_those_of_a_conversion(self, s3: S3Client) -> None:
        lines = ["i,f,d,b,t,u,s,e", "1,1.50,2026-01-01,true,2026-01-01T00:00,2026-01-01T00:00:00Z,x,", ",,,,,,,"]
        put(s3, "\n".join(lines))
        with processor(s3, decimals="decimal") as made:
            frame = made.read_csv_to_dataframe(INPUT_BUCKET, KEY)
            made.convert(KEY)
        table = parquet_table(standing(s3)["processed/day.parquet"])
        assert [str(kind.pyarrow_dtype) for kind in frame.dtypes] == [str(kind) for kind in table.schema.types]
        assert frame.isna().to_numpy()[1].all()

    def test_a_frame_of_no_rows_keeps_its_columns(self, s3: S3Client) -> None:
        put(s3, "a,b\n")
        with processor(s3) as made:
            frame = made.read_csv_to_dataframe(INPUT_BUCKET, KEY)
        assert (list(frame.columns), len(frame)) == (["a", "b"], 0)

    def test_a_late_contradiction_is_seen(self, s3: S3Client) -> None:
        cells = [*(str(number) for number in range(1000)), "n/a"]
        put(s3, "\n".join(["c,filler", *(f"{cell},{'x' * 5000}" for cell in cells)]))
        with processor(s3) as made:
            assert made.read_csv_to_dataframe(INPUT_BUCKET, KEY)["c"].tolist() == cells

    def test_writing_replaces_whatever_stands(self, s3: S3Client) -> None:
        put(s3, DAY)
        with processor(s3) as made:
            frame = made.read_csv_to_dataframe(INPUT_BUCKET, KEY)
            for rows in (2, 1):
                made.write_parquet_to_s3(frame.head(rows), OUTPUT_BUCKET, "mine.parquet")
                made.write_avro_to_s3(frame.head(rows), OUTPUT_BUCKET, "mine.avro")
        objects = standing(s3)
        assert parquet_table(objects["mine.parquet"]).num_rows == len(by_fastavro(objects["mine.avro"])) == 1

    def test_a_write_that_fails_raises_and_leaves_nothing(self, s3: S3Client) -> None:
        put(s3, DAY)
        client = patient_client()
        with processor(client) as made:
            frame = made.read_csv_to_dataframe(INPUT_BUCKET, KEY)
            for write in (made.write_parquet_to_s3, made.write_avro_to_s3):
                with (
                    troubled(client, Trouble(1, answered(403, "AccessDenied"))),
                    pytest.raises(errors.AccessDeniedError),
                ):
                    write(frame, OUTPUT_BUCKET, "mine")
        assert standing(s3) == {}


# ---------------------------------------------------------------- every cell, from one end to the other
@dataclass(frozen=True)
class Text:
    """A CSV as Python's csv module writes it, and its cells, by column."""

    content: bytes
    cells: tuple[tuple[str | None, ...], ...]
    empty_is_quoted: bool


@st.composite
def texts(draw: st.DrawFn) -> Text:
    drawn = draw(st.lists(st.one_of(columns(), words()), min_size=1, max_size=6))
    length = max(map(len, drawn))
    cells = [[*column, *[None] * (length - len(column))] for column in drawn]
    names = draw(st.lists(st.sampled_from(["c", "naïve", "a b", "1x", 'q"', "x,y", "l\nm"]), min_size=len(cells)))
    # of older versions, the module quotes only the line ends that it writes itself
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    sparing = [csv.QUOTE_MINIMAL] * (line_end == "\r\n")
    quoting: Any = draw(st.sampled_from([*sparing, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting, lineterminator=line_end)
    writer.writerow([f"{name}{number}" for number, name in enumerate(names[: len(cells)])])
    writer.writerows(zip(*cells, strict=True))
    mark = draw(st.sampled_from([b"", MARK]))
    quoted = quoting != csv.QUOTE_MINIMAL or len(cells) == 1  # an empty cell alone on its line is always quoted
    return Text(mark + out.getvalue().encode(), tuple(map(tuple, cells)), quoted)


def words() -> st.SearchStrategy[list[str | None]]:
    characters = st.characters(codec="utf-8", exclude_characters="\0")
    return st.lists(st.one_of(st.none(), st.text(characters, max_size=5)), max_size=8)


def by_duckdb(content: bytes, path: Path) -> Rows:
    path.write_bytes(content)
    with duckdb.connect() as connection:
        table = connection.execute("select * from read_parquet(?)", [str(path)]).to_arrow_table()
    return rows_of(table)


def rows_of(table: pa.Table) -> Rows:
    batches = table.combine_chunks().to_batches()
    return expected(batches[0]) if batches else []


def test_every_cell_is_in_both_outputs(s3: S3Client, tmp_path: Path) -> None:
    """Written again as text, by other people's code, it is the text that the csv module wrote; and all judges agree."""
    with processor(s3, inline_runtime(), avro_codec="deflate") as made:

        @examples(40)
        @given(texts())
        def hold(text: Text) -> None:
            put(s3, text.content)
            assert made.convert(KEY, force=True).outcome is Outcome.CONVERTED
            objects = standing(s3)
            parquet, avro = objects["processed/day.parquet"], objects["processed/day.avro"]
            assert verify(text.content.removeprefix(MARK), parquet, avro) == len(text.cells[0])
            require_empty_cells(text, parquet_table(parquet))
            rows = rows_of(parquet_table(parquet))
            assert rows == by_duckdb(parquet, tmp_path / "day.parquet") == by_fastavro(avro) == by_apache(avro)

        hold()


def require_empty_cells(text: Text, table: pa.Table) -> None:
    """Check which empty cells are null: all but quoted ones of text columns, which are empty texts."""
    for cells, column in zip(text.cells, table.columns, strict=True):
        empty = "" if text.empty_is_quoted and column.type == pa.string() else None
        found = [value for cell, value in zip(cells, column.to_pylist(), strict=True) if not cell]
        assert found == [empty] * len(found)


@pytest.mark.long  # three processes that import everything anew
def test_the_same_objects_in_any_process() -> None:
    """Hash seed, time zone, locale, number of cores: no byte of outputs and manifest knows of them."""
    machines: list[dict[str, str]] = [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8", "PYTHONUTF8": "1"},
        {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "OMP_NUM_THREADS": "1"},
    ]
    environment = {"PATH": os.environ.get("PATH", ""), "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE], cwd=ROOT, env=environment | machine, stdout=subprocess.PIPE, text=True
        )
        for machine in machines
    ]
    told = [process.communicate()[0].split() for process in running]
    assert len(told[0]) == 3
    assert told[0] == told[1] == told[2]


ELSEWHERE: Final = """
import hashlib, boto3
from moto import mock_aws
from s3_data_processor import S3DataProcessor

lines = ["id,at,day,ok,price,text", "1,2026-01-02T03:04:05.25,2026-01-02,true,1.50,x", ",,,,,"]
lines.append("3,2026-07-01T00:00:00,1970-01-01,false,2.25,ä")
with mock_aws():
    s3 = boto3.client("s3")
    for bucket in ("input", "output"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="input", Key="day.csv", Body="\\n".join(lines).encode())
    with S3DataProcessor("input", "output", s3_client=s3) as processor:
        processor.convert("day.csv")
    for entry in s3.list_objects_v2(Bucket="output")["Contents"]:
        print(hashlib.sha256(s3.get_object(Bucket="output", Key=entry["Key"])["Body"].read()).hexdigest())
"""

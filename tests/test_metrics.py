"""What CloudWatch is told: every invocation, every file, zeros too; and nothing that it would throw away."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from csv_transcode import metrics
from csv_transcode.errors import BucketNotFoundError, EventError, FilesFailedError, RetryableError, SettingsError
from csv_transcode.manifest import RecordCounts
from csv_transcode.powertools import Powertools
from csv_transcode.report import ObjectResult, Outcome, RunReport
from csv_transcode.stages import STAGES
from lambda_handler import LambdaFunction
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.emf import Metric, metrics_of
from tests.standing import inline_runtime, put
from tests.test_handler import Context, payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from csv_transcode.deadline import Deadline
    from csv_transcode.events import Invocation, MapResults
    from csv_transcode.keys import KeyMap
    from csv_transcode.settings import Settings

KEY: Final = "in/orders/2026-11-01.csv"
ENVIRON: Final = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket", "PREFIX": "in/"}
ZEROS: Final = dict.fromkeys((*metrics.FILES, *metrics.RECORDS, *metrics.BYTES), 0.0)
Told = Callable[[], list[list[Metric]]]
STAGE_SECONDS: Final = {stage: (place + 1) / 1000 for place, stage in enumerate(STAGES)}


class Runs:
    """A processor whose runs come to what it is made with."""

    def __init__(self, settings: Settings, results: list[ObjectResult], error: Exception | None) -> None:
        self._settings = settings
        self._results = results
        self._error = error

    @property
    def key_map(self) -> KeyMap:
        return self._settings.key_map

    def handle(
        self, _invocation: Invocation, _deadline: Deadline, *, on_result: Callable[[ObjectResult], object]
    ) -> RunReport:
        for result in self._results:
            on_result(result)
        if self._error:
            raise self._error
        return RunReport(tuple(self._results))

    def sum_up(self, results: MapResults) -> dict[str, Any]:
        raise AssertionError(results)

    def end_invocation(self) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Have no threads."""


def function(
    *results: ObjectResult, error: Exception | None = None, environ: Mapping[str, str] = ENVIRON
) -> LambdaFunction:
    def fetch(url: str) -> bytes:
        raise AssertionError(url)

    return LambdaFunction(
        environ, lambda settings: Runs(settings, list(results), error), fetch, lambda: Powertools(environ)
    )


def converted(key: str, seconds: float = 0.5, rejected: int = 0) -> ObjectResult:
    return ObjectResult(
        key,
        Outcome.CONVERTED,
        records=RecordCounts(read=10, written=10 - rejected, rejected=rejected),
        seconds=seconds,
        bytes_read=1000,
        bytes_parquet=200,
        bytes_avro=300,
        stage_seconds=STAGE_SECONDS,
    )


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return what reads the metrics of every line of standard output since it was last called."""

    def read() -> list[list[Metric]]:
        lines = capsys.readouterr().out.splitlines()
        found = [metrics_of(line) for line in lines]
        assert all(found), "a line of standard output that is no metric"
        return found

    return read


def sums(found: list[list[Metric]]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for metric in (metric for line in found for metric in line):
        total[metric.name] += sum(metric.values)
    return dict(total)


def test_an_invocation_tells_its_sums_and_what_each_file_took(told: Told) -> None:
    run = function(
        converted("in/a.csv", 0.5),
        converted("in/b.csv", 1.25, rejected=2),
        ObjectResult("in/c.csv", Outcome.SKIPPED, "converted already"),
        ObjectResult("in/d.csv", Outcome.FAILED, "no delimiter", bytes_read=7, stage_seconds=STAGE_SECONDS),
        ObjectResult("in/e.csv", Outcome.DEFERRED, "no time"),
        ObjectResult("in/f.csv", Outcome.PLANNED, bytes_read=9),
    )
    run({}, Context())
    (line,) = told()
    assert {metric.name: metric.values for metric in line} == {
        "FilesConverted": (2,),
        "FilesSkipped": (1,),
        "FilesFailed": (1,),
        "FilesDeferred": (1,),
        "RecordsRead": (20,),
        "RecordsWritten": (18,),
        "RecordsRejected": (2,),
        "BytesRead": (2000,),
        "BytesParquet": (400,),
        "BytesAvro": (600,),
        "FileSeconds": (0.5, 1.25),
        "ReadSeconds": (0.001, 0.001),
        "DecodeSeconds": (0.002, 0.002),
        "ParquetSeconds": (0.003, 0.003),
        "AvroSeconds": (0.004, 0.004),
        "PublishSeconds": (0.005, 0.005),
    }
    assert {metric.name: metric.unit for metric in line} == metrics.UNITS
    # One dimension, so that a thousand keys are no thousand metrics.
    assert {(metric.namespace, *metric.dimensions.items()) for metric in line} == {
        ("S3DataProcessor", ("service", "csv-transcode"))
    }


def test_the_line_can_be_found_by_its_invocation_and_names_no_object(capsys: pytest.CaptureFixture[str]) -> None:
    function(converted(KEY))(payload("s3_put"), Context())
    line = capsys.readouterr().out
    assert json.loads(line)["function_request_id"] == "request-1"
    assert not [word for word in (KEY, "source-bucket", "target-bucket") if word in line]


def test_what_is_zero_is_told_too(told: Told) -> None:
    function()({}, None)
    (line,) = told()
    assert {metric.name: sum(metric.values) for metric in line} == ZEROS


FAILED = ObjectResult(KEY, Outcome.FAILED, "no delimiter")


@pytest.mark.parametrize(
    ("event", "run", "raised", "expected"),
    [
        ("s3_put", function(FAILED), FilesFailedError, {"FilesFailed": 1}),
        ("s3_put", function(ObjectResult(KEY, Outcome.DEFERRED, "late")), FilesFailedError, {"FilesDeferred": 1}),
        ("s3_put", function(), FilesFailedError, {"FilesDeferred": 1}),  # whom the run does not mention
        ("sqs_s3", function(FAILED), None, {"FilesFailed": 1}),
        ("sqs_s3", function(ObjectResult(KEY, Outcome.DEFERRED, "late")), None, {"FilesDeferred": 1}),
        ("direct_keys", function(FAILED), None, {"FilesFailed": 1}),
        (
            "step_functions_batch",
            function(ObjectResult(KEY, Outcome.DEFERRED, "")),
            RetryableError,
            {"FilesDeferred": 1},
        ),
        # A listing that breaks after some were done: these were.
        ("scheduler", function(FAILED, error=BucketNotFoundError("404")), BucketNotFoundError, {"FilesFailed": 1}),
        ("direct_everything", function(FAILED, error=KeyError("a bug")), KeyError, {"FilesFailed": 1}),
        ("nothing", function(), EventError, {}),
        ("direct_keys", function(environ={}), SettingsError, {}),
    ],
)
def test_an_invocation_that_raises_or_answers_in_part_is_told_all_the_same(
    told: Told, event: str, run: LambdaFunction, raised: type[Exception] | None, expected: dict[str, float]
) -> None:
    sent = {"unknown": 1} if event == "nothing" else payload(event)
    if raised is None:
        run(sent, Context())
    else:
        with pytest.raises(raised):
            run(sent, Context())
    (line,) = told()
    assert {metric.name: sum(metric.values) for metric in line} == ZEROS | expected


@pytest.mark.parametrize("files", [1, 99, 100, 101, 10_000])
def test_no_value_is_lost_and_the_log_not_flooded(told: Told, files: int) -> None:
    function(*(converted(f"in/{number}.csv", number / 1000) for number in range(files)))({}, Context())
    found = told()
    assert len(found) <= files // 100 + 1
    values = [value for line in found for metric in line if metric.name == "FileSeconds" for value in metric.values]
    assert Counter(values) == Counter(number / 1000 for number in range(files))
    counted = Counter[str]()
    for metric in (metric for line in found for metric in line):
        counted[metric.name] += len(metric.values)
    assert counted == dict.fromkeys(metrics.SECONDS, files) | dict.fromkeys(ZEROS, 1)
    assert sums(found)["RecordsRead"] == 10 * files


def test_nothing_of_one_invocation_is_told_in_the_next(told: Told) -> None:
    run = function(converted(KEY))
    run({}, Context())
    first = told()
    run({}, None)
    assert sums(told()) == sums(first)


def test_namespace_and_service_are_powertools_own_variables(told: Told) -> None:
    environ = ENVIRON | {"POWERTOOLS_METRICS_NAMESPACE": "Lake", "POWERTOOLS_SERVICE_NAME": "orders"}
    function(environ=environ)({}, None)
    assert {(metric.namespace, metric.dimensions["service"]) for line in told() for metric in line} == {
        ("Lake", "orders")
    }


def test_a_metric_never_fails_an_invocation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def write(self, _: str) -> None:
            raise OSError(28, "No space left on device")

    run = function(converted(KEY))
    with monkeypatch.context() as broken:
        broken.setattr(sys, "stdout", Full())
        assert run({}, Context())["statusCode"] == 200
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["event"], line["level"]) == ("metrics.not_emitted", "WARNING")
    assert "No space left" in line["error"]


def test_every_name_has_a_unit_and_the_lists_hold_them_all() -> None:
    named = {value for name, value in vars(metrics).items() if name.endswith(("_SECONDS", "_READ", "_WRITTEN"))}
    named |= {value for name, value in vars(metrics).items() if name.startswith(("FILES_", "RECORDS_", "BYTES_"))}
    assert named == set(metrics.UNITS)
    assert metrics.UNITS.keys() == {*metrics.FILES, *metrics.RECORDS, *metrics.BYTES, *metrics.SECONDS}


def test_the_readme_names_them_all_with_their_units() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition("| metric | unit |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    assert {name: unit.strip() for names, unit in rows for name in re.findall(r"`(\w+)`", names)} == metrics.UNITS


def test_a_conversion_tells_what_it_came_to(s3: S3Client, told: Told) -> None:
    """From the product's own conversions, by a clock that ticks once whenever it is asked."""
    environ = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET, "PREFIX": "in/", "MAX_REJECTED_RATIO": "1"}
    put(s3, "id,name\n1,a\n2,b,c\n3,d\n", "in/day.csv")
    put(s3, b"\x1f\x8b\x08\x00", "in/bad.csv")  # the beginning of a gzip
    put(s3, "", "in/empty.csv")
    runtime = inline_runtime()

    def build(settings: Settings) -> S3DataProcessor:
        return S3DataProcessor.from_settings(settings, s3_client=s3, runtime=runtime)

    def fetch(url: str) -> bytes:
        raise AssertionError(url)

    run = LambdaFunction(environ, build, fetch, lambda: Powertools(environ))
    report = run({}, None)
    found = sums(told())
    assert {name: found[name] for name in (*metrics.FILES, *metrics.RECORDS)} == {
        "FilesConverted": 1,
        "FilesSkipped": 1,
        "FilesFailed": 1,
        "FilesDeferred": 0,
        "RecordsRead": 3,
        "RecordsWritten": 2,
        "RecordsRejected": 1,
    }
    assert {name: found[name] for name in metrics.BYTES} == {
        "BytesRead": len("id,name\n1,a\n2,b,c\n3,d\n"),
        "BytesParquet": report["bytes"]["parquet"],
        "BytesAvro": report["bytes"]["avro"],
    }
    stages = [found[name] for name in metrics.SECONDS if name != metrics.FILE_SECONDS]
    assert min(stages) > 0  # every stage has asked the clock
    assert sum(stages) < found[metrics.FILE_SECONDS]  # and with one thread no stage has the time of another

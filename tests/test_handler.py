"""The handler: parse, run, answer; with a processor that converts nothing, passed in."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from csv_transcode.deadline import Deadline
from csv_transcode.errors import (
    BucketNotFoundError,
    ContendedError,
    EventError,
    FilesFailedError,
    RetryableError,
    RetryableStoreError,
    SettingsError,
    TranscodeError,
)
from csv_transcode.events import EventKind, MapResults
from csv_transcode.report import ObjectResult, Outcome, RunReport
from csv_transcode.telemetry import get_logger
from lambda_handler import LambdaFunction

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from csv_transcode.events import Invocation
    from csv_transcode.keys import KeyMap
    from csv_transcode.settings import Settings

ROOT = Path(__file__).parent.parent
EVENTS = Path(__file__).parent / "events"
PLAIN = "in/orders/2026-11-01.csv"
ENVIRON = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket", "PREFIX": "in/", "HOME": "/"}


Outcomes = Mapping[str, Outcome | None]


@dataclass(frozen=True)
class Trouble:
    """What else is to be said of a run."""

    retryable: bool = False
    next: str | None = None


class FakeProcessor:
    """Gives every object the outcome that its key is mapped to, ``converted`` where it is not mapped.

    ``error`` is raised instead, ``what`` makes the report's ``next`` and its results' ``retryable``; keys that are
    mapped to nothing are left out of the report.
    """

    def __init__(self, settings: Settings, outcomes: Outcomes, error: Exception | None, what: Trouble) -> None:
        self.settings = settings
        self.outcomes = outcomes
        self.error = error
        self.what = what
        self.handled: list[Invocation] = []
        self.remaining_seconds: list[float] = []
        self.ended = 0
        self.closed = 0

    @property
    def key_map(self) -> KeyMap:
        return self.settings.key_map

    def handle(
        self, invocation: Invocation, deadline: Deadline, *, on_result: Callable[[ObjectResult], object]
    ) -> RunReport:
        self.handled.append(invocation)
        self.remaining_seconds.append(deadline.remaining_seconds())
        if self.error:
            raise self.error
        outcomes = {one.key: self.outcomes.get(one.key, Outcome.CONVERTED) for one in invocation.objects}
        done = [
            ObjectResult(key, outcome, "as asked", retryable=self.what.retryable)
            for key, outcome in outcomes.items()
            if outcome
        ]
        for one in done:
            on_result(one)
        skipped = [ObjectResult(one.key, Outcome.SKIPPED, one.reason) for one in invocation.skipped]
        return RunReport((*done, *skipped), next=self.what.next)

    def sum_up(self, results: MapResults) -> dict[str, Any]:
        return {"files": {}, "batches": {}, "results": results}

    def end_invocation(self) -> None:
        self.ended += 1

    def close(self) -> None:
        self.closed += 1


class Function:
    """A LambdaFunction over fakes, and the processors it has built."""

    def __init__(
        self, environ: dict[str, str], outcomes: Outcomes, error: Exception | None = None, what: Trouble | None = None
    ) -> None:
        self.built: list[FakeProcessor] = []
        self.fetched: list[str] = []
        self._does = (outcomes, error, what or Trouble())
        self.function = LambdaFunction(environ, self._build, self._fetch)

    def _build(self, settings: Settings) -> FakeProcessor:
        self.built.append(FakeProcessor(settings, *self._does))
        return self.built[-1]

    def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return b'{"id": "int64"}'

    def __call__(self, event: object, context: object = None) -> dict[str, Any]:
        return self.function(event, context)


class Context:
    aws_request_id = "request-1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 250_500


def function(
    outcomes: Outcomes | None = None,
    *,
    error: Exception | None = None,
    what: Trouble | None = None,
    **environ: str,
) -> Function:
    return Function(ENVIRON | environ, outcomes or {}, error, what)


def payload(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[dict[str, Any]]]:
    """Return the log's lines as the test goes along, and leave the logger as it was."""
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    written: list[dict[str, Any]] = []

    def keep(record: logging.LogRecord) -> bool:
        written.append(json.loads(logger.handlers[0].format(record)))
        return False

    logger.addFilter(keep)
    yield written
    logger.removeFilter(keep)
    logger.handlers[:], logger.level, logger.propagate = before


def test_the_results_of_a_map_are_summed_up_and_logged_and_nothing_is_converted(lines: list[dict[str, Any]]) -> None:
    run = function()
    assert run({"MapResults": []}) == {"files": {}, "batches": {}, "results": MapResults()}
    assert run.built[0].handled == []
    assert [(line["event"], line["files"], line["batches"]) for line in lines] == [("backfill.summed", {}, {})]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3_put", EventKind.S3_NOTIFICATION),
        ("s3_put_2_6_versioned", EventKind.S3_NOTIFICATION),
        ("eventbridge_object_created", EventKind.EVENTBRIDGE),
        ("sns_s3", EventKind.SNS),
        ("sns_eventbridge", EventKind.SNS),
        ("step_functions_batch", EventKind.STEP_FUNCTIONS),
        ("step_functions_item", EventKind.STEP_FUNCTIONS),
        ("step_functions_inventory", EventKind.STEP_FUNCTIONS),
        ("step_functions_csv", EventKind.STEP_FUNCTIONS),
        ("step_functions_json", EventKind.STEP_FUNCTIONS),
        ("direct_keys", EventKind.DIRECT),
    ],
)
def test_an_event_is_converted_and_reported(name: str, kind: EventKind) -> None:
    run = function()
    found = run(payload(name), Context())
    assert found["statusCode"] == 200
    assert [(one["key"], one["outcome"]) for one in found["results"]] == [(PLAIN, "converted")]
    assert run.built[0].handled[0].kind is kind


@pytest.mark.parametrize("name", ["eventbridge_rule", "scheduler", "direct_everything"])
def test_a_sweep_reaches_the_processor(name: str) -> None:
    run = function()
    assert run(payload(name))["statusCode"] == 200
    sweep = run.built[0].handled[0].sweep
    assert sweep is not None
    assert sweep.prefix == "in/"


# What each sender gets where its file failed, failed for now, was deferred, or was left out: the table of the contract.
# An exception, the status code of the report, the result of the task, or the ids of messages to deliver again.
ANSWERS: dict[str, tuple[Any, Any, Any]] = {
    "s3_put": (FilesFailedError, FilesFailedError, FilesFailedError),
    "sns_s3": (FilesFailedError, FilesFailedError, FilesFailedError),
    "eventbridge_object_created": (FilesFailedError, FilesFailedError, FilesFailedError),
    "sqs_s3": ("listed", "listed", "listed"),
    "sqs_sns_s3": ("listed", "listed", "listed"),
    "sqs_eventbridge": ("listed", "listed", "listed"),
    "direct_keys": (500, 500, 206),
    "step_functions_batch": (500, RetryableError, RetryableError),
    "step_functions_item": (500, RetryableError, RetryableError),
    "step_functions_inventory": (500, RetryableError, RetryableError),
    "s3_batch_1_0": ("PermanentFailure", "TemporaryFailure", "TemporaryFailure"),
    "s3_batch_2_0": ("PermanentFailure", "TemporaryFailure", "TemporaryFailure"),
}
MISSED = {
    "failed": (0, Outcome.FAILED, Trouble()),
    "failed for now": (1, Outcome.FAILED, Trouble(retryable=True)),
    "deferred": (2, Outcome.DEFERRED, Trouble()),
    "deferred, with next": (2, Outcome.DEFERRED, Trouble(next="in/a.csv")),
    "left out": (2, None, Trouble()),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("missed", MISSED)
def test_what_the_sender_of_a_missed_file_gets(name: str, missed: str) -> None:
    column, outcome, what = MISSED[missed]
    expected = ANSWERS[name][column]
    event = payload(name)
    run = function({PLAIN: outcome}, what=what)
    if isinstance(expected, type):
        with pytest.raises(expected, match=PLAIN) as caught:
            run(event)
        assert type(caught.value) is expected
        assert run.built[0].ended == 1
        return
    found = run(event)
    if isinstance(expected, int):
        assert (found["statusCode"], found.get("next")) == (expected, what.next)
        assert [one["key"] for one in found["results"]] == [PLAIN]
    elif expected == "listed":
        assert found == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    else:
        assert found.keys() == {"invocationSchemaVersion", "treatMissingKeysAs", "invocationId", "results"}
        assert [(one["taskId"], one["resultCode"]) for one in found["results"]] == [
            (event["tasks"][0]["taskId"], expected)
        ]


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_sender_of_a_converted_file_gets(name: str) -> None:
    found = function()(payload(name))
    if name.startswith("sqs"):
        assert found == {"batchItemFailures": []}
    elif name.startswith("s3_batch"):
        assert [one["resultCode"] for one in found["results"]] == ["Succeeded"]
        assert found["invocationSchemaVersion"] == payload(name)["invocationSchemaVersion"]
        assert found["invocationId"] == payload(name)["invocationId"]
    else:
        assert found["statusCode"] == 200


@pytest.mark.parametrize("name", ["eventbridge_rule", "scheduler"])
def test_a_schedule_that_was_cut_raises_and_logs_where_it_goes_on(name: str, lines: list[dict[str, Any]]) -> None:
    with pytest.raises(FilesFailedError, match=r"goes on after 'in/m.csv'"):
        function(what=Trouble(next="in/m.csv"))(payload(name))
    assert (lines[-1]["event"], lines[-1]["next"], lines[-1]["statusCode"]) == ("invocation.finished", "in/m.csv", 206)


def test_a_direct_call_that_was_cut_is_answered_with_where_it_goes_on() -> None:
    found = function(what=Trouble(next="in/m.csv"))({})
    assert (found["statusCode"], found["next"]) == (206, "in/m.csv")


@pytest.mark.parametrize("error", [RetryableStoreError("503"), ContendedError("lost"), RetryableError("later")])
def test_what_may_pass_is_raised_under_the_name_that_a_state_machine_knows(error: TranscodeError) -> None:
    run = function(error=error)
    with pytest.raises(RetryableError, match=str(error)) as caught:
        run(payload("step_functions_batch"))
    assert type(caught.value) is RetryableError
    assert error in (caught.value, caught.value.__cause__)
    assert run.built[0].ended == 1


def test_settings_that_cannot_be_fetched_for_now_are_a_retryable_error() -> None:
    def fetch(_url: str) -> bytes:
        message = "503 SlowDown"
        raise RetryableStoreError(message)

    run = LambdaFunction(ENVIRON | {"COLUMN_TYPES": "s3://settings-bucket/types.json"}, function()._build, fetch)
    with pytest.raises(RetryableError, match="503 SlowDown"):
        run(payload("step_functions_batch"), None)


def test_a_malformed_task_and_message_fail_alone() -> None:
    event = payload("s3_batch_2_0")
    event["tasks"].append({"taskId": "bad", "s3Key": "in/%FF.csv", "s3Bucket": "source-bucket"})
    codes = [one["resultCode"] for one in function()(event)["results"]]
    assert codes == ["Succeeded", "PermanentFailure"]
    event = payload("sqs_sns_s3")
    event["Records"].append(event["Records"][0] | {"messageId": "bad", "body": "{"})
    assert function()(event) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}


def test_a_failed_file_of_a_message_is_its_message_s_failure() -> None:
    event = payload("sqs_batch_of_all")
    ids = [record["messageId"] for record in event["Records"]]
    found = function({PLAIN: Outcome.FAILED})(event)
    assert found == {"batchItemFailures": [{"itemIdentifier": ids[0]}, {"itemIdentifier": ids[3]}]}


@pytest.mark.parametrize(
    "name", ["s3_test_event", "sns_s3_test_event", "s3_removed", "eventbridge_object_deleted_special_key"]
)
def test_a_skipped_event_is_a_success(name: str) -> None:
    found = function()(payload(name))
    assert (found["statusCode"], found["files"]["skipped"]) == (200, 1)


@pytest.mark.parametrize("name", ["sqs_s3_test_event", "sqs_sns_s3_test_event"])
def test_a_skipped_message_is_a_success(name: str) -> None:
    assert function()(payload(name)) == {"batchItemFailures": []}


@pytest.mark.parametrize("key", ["in/", "in/a.pdf", "processed/a.csv", "elsewhere/a.csv"])
def test_a_skipped_task_is_a_success_with_a_reason(key: str) -> None:
    event = payload("s3_batch_2_0")
    event["tasks"][0]["s3Key"] = key
    (result,) = function()(event)["results"]
    assert result["resultCode"] == "Succeeded"
    assert result["resultString"].startswith("skipped: ")


def test_what_is_no_event_is_refused_before_anything_is_done() -> None:
    run = function()
    with pytest.raises(EventError):
        run({"unknown": 1})
    assert not run.built[0].handled


def test_wrong_settings_are_refused_before_anything_is_built() -> None:
    run = function(MAX_WORKERS="0", HEADER="maybe")
    with pytest.raises(SettingsError, match="2 settings are wrong"):
        run({})
    assert not run.built


def test_the_processor_is_built_once() -> None:
    run = function()
    run({})
    run(payload("s3_put"))
    assert len(run.built) == 1
    assert (len(run.built[0].handled), run.built[0].ended) == (2, 2)


@pytest.mark.parametrize(
    ("variable", "value", "rebuilt"),
    [
        ("OUTPUT_BUCKET", "another-bucket", True),
        ("LOG_LEVEL", "ERROR", True),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", True),
        ("AWS_ACCESS_KEY_ID", "another", True),
        ("HOME", "/home", False),
        ("_X_AMZN_TRACE_ID", "Root=1", False),
    ],
)
def test_a_changed_environment_builds_another(variable: str, value: str, rebuilt: bool) -> None:  # noqa: FBT001 - a column
    environ = dict(ENVIRON)
    run = Function(environ, {})
    run({})
    environ[variable] = value
    run({})
    assert [processor.closed for processor in run.built] == ([1, 0] if rebuilt else [0])


def test_a_setting_that_becomes_wrong_is_refused_even_though_a_processor_stands() -> None:
    environ = dict(ENVIRON)
    run = Function(environ, {})
    run({})
    environ["SOURCE_SUFFIXES"] = "dat"
    with pytest.raises(SettingsError):
        run({})


def test_an_error_of_the_run_passes_and_the_invocation_is_ended() -> None:
    run = function(error=BucketNotFoundError("ListObjectsV2 source-bucket: 404"))
    with pytest.raises(BucketNotFoundError):
        run({})
    assert run.built[0].ended == 1


def test_the_deadline_is_lambda_s_and_none_without_a_context() -> None:
    run = function()
    run({}, Context())
    run({})
    run({}, object())
    assert run.built[0].remaining_seconds == [250.5, math.inf, math.inf]


def test_the_deadline_is_asked_anew_each_time() -> None:
    left = iter([2000, 500, -1])
    deadline = Deadline(lambda: next(left))
    assert [deadline.remaining_seconds() for _ in range(3)] == [2.0, 0.5, -0.001]


def test_column_types_are_fetched_when_the_processor_is_built() -> None:
    run = function(COLUMN_TYPES="s3://settings-bucket/types.json")
    run({})
    run({})
    assert run.fetched == ["s3://settings-bucket/types.json"]
    assert set(run.built[0].settings.column_types) == {"id"}


def test_the_log_says_what_was_done(lines: list[dict[str, Any]]) -> None:
    function({PLAIN: Outcome.DEFERRED})(payload("sqs_batch_of_all"), Context())
    events = ["message.malformed", "object.skipped", "object.skipped", "invocation.finished"]
    assert [line["event"] for line in lines] == events
    assert lines[0]["reason"].startswith("the message's body is no JSON")
    assert lines[1]["reason"] == "s3:TestEvent"
    assert (lines[-1]["kind"], lines[-1]["request_id"], lines[-1]["files"]["deferred"]) == ("SQS", "request-1", 1)


def test_a_doubtful_setting_is_logged_once(lines: list[dict[str, Any]]) -> None:
    run = function(PARQUET_COMPRESSION="lz4")
    run({})
    run({})
    assert [line["level"] for line in lines if line["event"] == "settings.doubtful"] == ["WARNING"]


@pytest.mark.parametrize("name", ["pandas", "awswrangler", "pyarrow", "botocore", "boto3", "fastavro"])
def test_importing_the_handler_imports_nothing_heavy(name: str) -> None:
    code = f"import lambda_handler, sys; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_what_is_prepared_is_not_built_again() -> None:
    run = function()
    run.function.prepare()
    assert len(run.built) == 1
    run({})
    assert len(run.built) == 1


def test_what_could_not_be_prepared_is_told_to_the_first_event_and_tried_again() -> None:
    def failing(_: str) -> bytes:
        raise errors.pop() if errors else RetryableStoreError("slow down")

    errors: list[Exception] = [OSError("no network yet")]
    run = LambdaFunction(ENVIRON | {"COLUMN_TYPES": "s3://conf/types.json"}, function()._build, failing)
    run.prepare()
    assert errors == []
    with pytest.raises(RetryableError, match="slow down"):
        run({}, None)


@pytest.mark.parametrize(
    ("environ", "ready", "metrics"),
    [
        ({}, False, False),
        ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, False, True),
        ({"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1"}, True, True),
        ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "INPUT_BUCKET": "Not A Bucket"}, False, False),
    ],
)
def test_lambda_s_own_variables_decide_what_is_done_at_the_start_and_what_is_measured(
    environ: dict[str, str], *, ready: bool, metrics: bool
) -> None:
    code = (
        "import lambda_handler as h, sys; started = 's3_data_processor' in sys.modules;"
        "h._FUNCTION._telemetry(); print([started, 'aws_lambda_powertools' in sys.modules])"
    )
    whole = {"AWS_DEFAULT_REGION": "eu-west-1", "PATH": os.environ["PATH"], **ENVIRON, **environ}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=whole, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.lower()) == [ready, metrics]

"""The handler: parse, run, answer; with a processor that converts nothing, passed in."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from csv_transcode.deadline import Deadline
from csv_transcode.errors import BucketNotFoundError, EventError, FilesFailedError, SettingsError
from csv_transcode.events import EventKind
from csv_transcode.report import ObjectResult, Outcome, RunReport
from csv_transcode.telemetry import get_logger
from lambda_handler import LambdaFunction

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from csv_transcode.events import Invocation
    from csv_transcode.keys import KeyMap
    from csv_transcode.settings import Settings

ROOT = Path(__file__).parent.parent
EVENTS = Path(__file__).parent / "events"
PLAIN = "in/orders/2026-11-01.csv"
ENVIRON = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket", "PREFIX": "in/", "HOME": "/"}


class FakeProcessor:
    """Gives every object the outcome that its key is mapped to, ``converted`` where it is not mapped."""

    def __init__(self, settings: Settings, outcomes: dict[str, Outcome], error: Exception | None = None) -> None:
        self.settings = settings
        self.outcomes = outcomes
        self.error = error
        self.handled: list[Invocation] = []
        self.remaining_seconds: list[float] = []
        self.ended = 0
        self.closed = 0

    @property
    def key_map(self) -> KeyMap:
        return self.settings.key_map

    def handle(self, invocation: Invocation, deadline: Deadline) -> RunReport:
        self.handled.append(invocation)
        self.remaining_seconds.append(deadline.remaining_seconds())
        if self.error:
            raise self.error
        done = [
            ObjectResult(one.key, self.outcomes.get(one.key, Outcome.CONVERTED), "as asked")
            for one in invocation.objects
        ]
        return RunReport((*done, *(ObjectResult(one.key, Outcome.SKIPPED, one.reason) for one in invocation.skipped)))

    def end_invocation(self) -> None:
        self.ended += 1

    def close(self) -> None:
        self.closed += 1


class Function:
    """A LambdaFunction over fakes, and the processors it has built."""

    def __init__(self, environ: dict[str, str], outcomes: dict[str, Outcome], error: Exception | None = None) -> None:
        self.built: list[FakeProcessor] = []
        self.fetched: list[str] = []
        self._outcomes, self._error = outcomes, error
        self.function = LambdaFunction(environ, self._build, self._fetch)

    def _build(self, settings: Settings) -> FakeProcessor:
        self.built.append(FakeProcessor(settings, self._outcomes, self._error))
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


def function(outcomes: dict[str, Outcome] | None = None, *, error: Exception | None = None, **environ: str) -> Function:
    return Function(ENVIRON | environ, outcomes or {}, error)


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3_put", EventKind.S3_NOTIFICATION),
        ("s3_put_2_6_versioned", EventKind.S3_NOTIFICATION),
        ("eventbridge_object_created", EventKind.EVENTBRIDGE),
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


def test_a_failed_file_of_a_notification_raises() -> None:
    run = function({PLAIN: Outcome.FAILED})
    with pytest.raises(FilesFailedError, match=PLAIN):
        run(payload("s3_put"))
    assert run.built[0].ended == 1


def test_a_failed_file_of_a_message_is_its_message_s_failure() -> None:
    event = payload("sqs_batch_of_all")
    ids = [record["messageId"] for record in event["Records"]]
    found = function({PLAIN: Outcome.FAILED})(event)
    assert found == {"batchItemFailures": [{"itemIdentifier": ids[0]}, {"itemIdentifier": ids[3]}]}


def test_a_skipped_event_is_a_success() -> None:
    found = function()(payload("s3_test_event"))
    assert (found["statusCode"], found["files"]["skipped"]) == (200, 1)


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

"""The report and what each sender gets, after contract sections 2 and 7."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from csv_transcode.errors import ContendedError, FilesFailedError, RetryableError
from csv_transcode.events import BatchJob, EventKind, EventObject, Invocation, Skipped
from csv_transcode.manifest import OutputRef, RecordCounts
from csv_transcode.report import ObjectResult, Outcome, RunReport, accounted, answer

STEP_FUNCTIONS_BYTES_MAX = 262_144
OUTPUTS = (
    OutputRef("parquet", "target-bucket", "processed/a.parquet", "aa", "v2", 900, 99),
    OutputRef("avro", "target-bucket", "processed/a.avro", "bb", None, 1200, 99),
)
CONVERTED = ObjectResult("in/a.csv", Outcome.CONVERTED, None, RecordCounts(100, 99, 1), 1.5, 2048, 900, 1200, OUTPUTS)
SKIPPED = ObjectResult("in/b.csv", Outcome.SKIPPED, "already converted", seconds=0.1)
FAILED = ObjectResult("in/c.csv", Outcome.FAILED, "record 3: 2 fields", RecordCounts(9, 0, 2), 0.4, bytes_read=50)
DEFERRED = ObjectResult("in/d.csv", Outcome.DEFERRED, "needs about 90 s")
PLANNED = ObjectResult("in/e.csv", Outcome.PLANNED)
THROTTLED = ObjectResult("in/t.csv", Outcome.FAILED, "GetObject: 503 SlowDown", retryable=True)
ASYNCHRONOUS = [EventKind.S3_NOTIFICATION, EventKind.SNS, EventKind.EVENTBRIDGE, EventKind.SCHEDULE]


def test_a_report_is_what_the_contract_shows() -> None:
    other = ObjectResult("in/f.csv", Outcome.CONVERTED, None, RecordCounts(10, 10, 0), 0.5, 100, 50, 60)
    report = RunReport((CONVERTED, SKIPPED, FAILED, DEFERRED, PLANNED, other), 2.75, "in/f.csv")
    assert report.to_dict() == {
        "statusCode": 500,
        "files": {"converted": 2, "skipped": 1, "failed": 1, "deferred": 1},
        "records": {"read": 110, "written": 109, "rejected": 1},
        "bytes": {"read": 2198, "parquet": 950, "avro": 1260},
        "seconds": {"total": 2.75, "per_file_mean": 1.0, "per_file_max": 1.5},
        "results": [
            {
                "key": "in/a.csv",
                "outcome": "converted",
                "records": {"read": 100, "written": 99, "rejected": 1},
                "seconds": 1.5,
                "outputs": [
                    {
                        "format": "parquet",
                        "bucket": "target-bucket",
                        "key": "processed/a.parquet",
                        "etag": "aa",
                        "version_id": "v2",
                        "bytes": 900,
                        "rows": 99,
                    },
                    {
                        "format": "avro",
                        "bucket": "target-bucket",
                        "key": "processed/a.avro",
                        "etag": "bb",
                        "version_id": None,
                        "bytes": 1200,
                        "rows": 99,
                    },
                ],
            },
            {"key": "in/b.csv", "outcome": "skipped", "reason": "already converted", "seconds": 0.1},
            {
                "key": "in/c.csv",
                "outcome": "failed",
                "reason": "record 3: 2 fields",
                "records": {"read": 9, "written": 0, "rejected": 2},
                "seconds": 0.4,
            },
            {"key": "in/d.csv", "outcome": "deferred", "reason": "needs about 90 s", "seconds": 0.0},
            {"key": "in/e.csv", "outcome": "planned", "seconds": 0.0},
            {
                "key": "in/f.csv",
                "outcome": "converted",
                "records": {"read": 10, "written": 10, "rejected": 0},
                "seconds": 0.5,
            },
        ],
        "next": "in/f.csv",
    }


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((), 200),
        ((CONVERTED, SKIPPED, PLANNED), 200),
        ((CONVERTED, DEFERRED), 206),
        ((DEFERRED, FAILED, CONVERTED), 500),
    ],
)
def test_the_status_code_says_the_worst(results: tuple[ObjectResult, ...], code: int) -> None:
    report = RunReport(results)
    assert report.status_code == report.to_dict()["statusCode"] == code


def test_an_empty_run_has_zeros_and_no_next() -> None:
    described = RunReport(()).to_dict()
    assert described["seconds"] == {"total": 0.0, "per_file_mean": 0.0, "per_file_max": 0.0}
    assert "next" not in described
    assert "results_cut" not in described


def test_a_long_report_is_cut_and_failures_come_first() -> None:
    many = tuple(ObjectResult(f"in/{number}.csv", Outcome.CONVERTED, outputs=OUTPUTS) for number in range(2000))
    described = RunReport((*many, DEFERRED, FAILED)).to_dict()
    assert [one["outcome"] for one in described["results"][:3]] == ["failed", "deferred", "converted"]
    assert described["results"][2]["key"] == "in/0.csv"
    assert described["results_cut"] == 2002 - len(described["results"]) > 0
    assert described["files"]["converted"] == 2000
    assert len(json.dumps(described).encode()) > 150_000


def test_a_report_that_fits_keeps_its_order() -> None:
    described = RunReport((SKIPPED, CONVERTED, FAILED)).to_dict()
    assert [one["outcome"] for one in described["results"]] == ["skipped", "converted", "failed"]


def test_a_key_or_reason_beyond_all_measure_is_cut_and_not_dropped() -> None:
    described = RunReport((ObjectResult("k" * 1_000_000, Outcome.FAILED, "r" * 1_000_000),)).to_dict()
    assert (described["results"][0]["key"], described["results"][0]["reason"]) == ("k" * 1024, "r" * 1000)
    assert "results_cut" not in described


RESULTS = st.fixed_dictionaries(
    {
        "key": st.text(min_size=1, max_size=1024) | st.just("\x01" * 1_000_000),
        "outcome": st.sampled_from(Outcome),
        "reason": st.none() | st.text(max_size=50) | st.just("é" * 1_000_000),
        "seconds": st.floats(0, 1000),
        "outputs": st.just(()) | st.just(OUTPUTS),
    }
).map(lambda fields: ObjectResult(**fields))


@settings(max_examples=40, deadline=None)
@given(st.lists(RESULTS, max_size=8), st.integers(1, 300), st.text(max_size=1024))
def test_no_answer_exceeds_its_bytes(some: list[ObjectResult], times: int, start_after: str) -> None:
    report = RunReport(tuple(some) * times, 1.0, start_after)
    described = report.to_dict()
    assert len(json.dumps(described).encode()) < 200_000 < STEP_FUNCTIONS_BYTES_MAX
    assert len(described["results"]) + described.get("results_cut", 0) == len(report.results)
    failed = sum(result.outcome is Outcome.FAILED for result in report.results)
    shown = sum(one["outcome"] == "failed" for one in described["results"])
    assert shown == failed or all(one["outcome"] == "failed" for one in described["results"])


@pytest.mark.parametrize("kind", ASYNCHRONOUS)
@pytest.mark.parametrize("missed", [FAILED, DEFERRED], ids=["failed", "deferred"])
def test_an_asynchronous_sender_gets_an_exception(kind: EventKind, missed: ObjectResult) -> None:
    with pytest.raises(FilesFailedError) as caught:
        answer(Invocation(kind), RunReport((CONVERTED, missed)))
    assert str(caught.value).startswith("1 of 2 files failed or were deferred:")
    assert f"{missed.key}: {missed.reason}" in str(caught.value)


@pytest.mark.parametrize("kind", ASYNCHRONOUS)
def test_an_asynchronous_sender_gets_the_report_where_nothing_failed(kind: EventKind) -> None:
    report = RunReport((CONVERTED, SKIPPED))
    assert answer(Invocation(kind), report) == report.to_dict()


@pytest.mark.parametrize("results", [(FAILED,), (DEFERRED,), (CONVERTED,)])
def test_who_invokes_directly_gets_the_report_whatever_happened(results: tuple[ObjectResult, ...]) -> None:
    report = RunReport(results, next="in/c.csv")
    assert answer(Invocation(EventKind.DIRECT), report) == report.to_dict()


@pytest.mark.parametrize("kind", ASYNCHRONOUS)
@pytest.mark.parametrize("start_after", ["in/a\n.csv", ""])
def test_a_listing_that_was_cut_is_an_exception_that_says_where_it_goes_on(kind: EventKind, start_after: str) -> None:
    with pytest.raises(FilesFailedError) as caught:
        answer(Invocation(kind), RunReport((CONVERTED,), next=start_after))
    assert str(caught.value).split("\n") == [
        "0 of 1 files failed or were deferred:",
        f"  not listed to the end: goes on after {start_after!r}",
    ]


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (RunReport(()), 200),
        (RunReport((CONVERTED, SKIPPED, PLANNED)), 200),
        (RunReport((CONVERTED, DEFERRED)), 206),
        (RunReport((CONVERTED,), next="in/a.csv"), 206),
        (RunReport((DEFERRED, FAILED), next="in/a.csv"), 500),
        (RunReport((THROTTLED,)), 500),
    ],
)
def test_the_status_code(report: RunReport, status: int) -> None:
    assert report.to_dict()["statusCode"] == status


@pytest.mark.parametrize("results", [(FAILED,), (CONVERTED, SKIPPED), (FAILED, CONVERTED), ()])
def test_step_functions_get_the_report_even_where_a_file_is_bad(results: tuple[ObjectResult, ...]) -> None:
    report = RunReport(results)
    assert answer(Invocation(EventKind.STEP_FUNCTIONS), report) == report.to_dict()


@pytest.mark.parametrize("missed", [DEFERRED, THROTTLED], ids=["deferred", "throttled"])
def test_step_functions_get_an_exception_where_trying_again_may_help(missed: ObjectResult) -> None:
    with pytest.raises(RetryableError) as caught:
        answer(Invocation(EventKind.STEP_FUNCTIONS), RunReport((CONVERTED, FAILED, missed)))
    assert type(caught.value) is RetryableError  # a state machine's Retry compares names
    lines = str(caught.value).split("\n")
    assert lines == ["1 of 3 files may be converted by trying again:", f"  {missed.key}: {missed.reason}"]


def test_an_exception_for_step_functions_keeps_the_cause() -> None:
    cause = ContendedError("why")
    result = ObjectResult("in/x.csv", Outcome.FAILED, error=cause, retryable=True)
    with pytest.raises(RetryableError) as caught:
        answer(Invocation(EventKind.STEP_FUNCTIONS), RunReport((result,)))
    assert caught.value.__cause__ is cause


def test_an_object_that_a_run_says_nothing_of_is_deferred() -> None:
    asked = Invocation(EventKind.SQS, (EventObject("in/a.csv"), EventObject("in/z.csv")))
    found = accounted(asked, RunReport((CONVERTED,), 1.5, "in/a.csv"))
    assert found == RunReport(
        (CONVERTED, ObjectResult("in/z.csv", Outcome.DEFERRED, "the run ended without it")), 1.5, "in/a.csv"
    )
    assert accounted(asked, found) is found


def test_an_exception_names_the_first_ten_failures_and_counts_the_rest() -> None:
    many = tuple(ObjectResult(f"in/{number}.csv", Outcome.FAILED, "r" * 5000) for number in range(25))
    with pytest.raises(FilesFailedError) as caught:
        answer(Invocation(EventKind.SCHEDULE), RunReport((DEFERRED, *many)))
    lines = str(caught.value).split("\n")
    assert lines[0] == "26 of 26 files failed or were deferred:"
    assert [line.split(":")[0].strip() for line in lines[1:11]] == [f"in/{number}.csv" for number in range(10)]
    assert lines[11:] == ["  and 16 more"]
    assert len(str(caught.value)) < 12_000


@pytest.mark.parametrize(
    ("kind", "raised"), [(EventKind.SNS, FilesFailedError), (EventKind.STEP_FUNCTIONS, RetryableError)]
)
def test_a_key_cannot_forge_a_line_of_the_log(kind: EventKind, raised: type[Exception]) -> None:
    result = ObjectResult("in/é\n[ERROR] forged\x1b[31m\u2028.csv", Outcome.DEFERRED, "line 1\r\nline 2")
    with pytest.raises(raised) as caught:
        answer(Invocation(kind), RunReport((result,)))
    assert str(caught.value).splitlines()[1:] == [
        r"  in/é\n[ERROR] forged\x1b[31m\u2028.csv: line 1\r\nline 2",
    ]


def test_an_exception_keeps_the_first_failure_s_cause() -> None:
    cause = ValueError("why")
    results = (DEFERRED, FAILED, ObjectResult("in/x.csv", Outcome.FAILED, error=cause))
    with pytest.raises(FilesFailedError, match=r"in/x.csv: failed") as caught:
        answer(Invocation(EventKind.S3_NOTIFICATION), RunReport(results))
    assert caught.value.__cause__ is cause


def carrying(kind: EventKind, messages: dict[str, str]) -> Invocation:
    """Return the invocation of a batch: message id → the keys it names, or ``?`` where it is malformed."""
    named = {message_id: keys.split() for message_id, keys in messages.items() if keys != "?"}
    keys = {key for some in named.values() for key in some}
    carriers = {key: frozenset(one for one, some in named.items() if key in some) for key in keys}
    malformed = tuple((message_id, "no JSON") for message_id, keys in messages.items() if keys == "?")
    return Invocation(kind, malformed=malformed, message_ids=tuple(messages), carriers=MappingProxyType(carriers))


@pytest.mark.parametrize(
    ("messages", "failed"),
    [
        pytest.param({"m1": "in/a.csv"}, [], id="converted"),
        pytest.param({"m1": "in/b.csv"}, [], id="skipped"),
        pytest.param({"m1": "in/c.csv", "m2": "in/a.csv"}, ["m1"], id="failed"),
        pytest.param({"m1": "in/d.csv"}, ["m1"], id="deferred"),
        pytest.param({"m1": "in/t.csv"}, ["m1"], id="throttled"),
        pytest.param({"m1": "in/t.csv", "m2": "in/c.csv", "m3": "in/a.csv"}, ["m1", "m2"], id="one of either kind"),
        pytest.param({"m1": "in/a.csv in/c.csv"}, ["m1"], id="one of two failed"),
        pytest.param({"m1": "in/c.csv", "m2": "in/c.csv"}, ["m1", "m2"], id="a key that two messages name"),
        pytest.param({"m1": "?", "m2": "in/a.csv"}, ["m1"], id="malformed"),
        pytest.param({"m3": "in/c.csv", "m1": "?", "m2": "in/d.csv in/c.csv"}, ["m3", "m1", "m2"], id="all, in order"),
        pytest.param({"m1": ""}, [], id="a message that names nothing"),
    ],
)
def test_sqs_gets_the_messages_to_deliver_again(messages: dict[str, str], failed: list[str]) -> None:
    report = RunReport((CONVERTED, SKIPPED, FAILED, DEFERRED, THROTTLED))
    expected = {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
    assert answer(carrying(EventKind.SQS, messages), report) == expected


SUCCEEDED = "Succeeded"
TEMPORARY = "TemporaryFailure"
PERMANENT = "PermanentFailure"


@pytest.mark.parametrize(
    ("tasks", "results"),
    [
        ({"1": "in/a.csv"}, [("1", SUCCEEDED, "converted: 99 records written, 1 rejected")]),
        ({"1": "in/b.csv"}, [("1", SUCCEEDED, "skipped: already converted")]),
        ({"1": "in/e.csv"}, [("1", SUCCEEDED, "planned")]),
        ({"1": "in/c.csv"}, [("1", PERMANENT, "failed: record 3: 2 fields")]),
        ({"1": "in/t.csv"}, [("1", TEMPORARY, "failed: GetObject: 503 SlowDown")]),
        ({"1": "in/d.csv"}, [("1", TEMPORARY, "deferred: needs about 90 s")]),
        ({"1": "?"}, [("1", PERMANENT, "no JSON")]),
        ({"1": ""}, [("1", TEMPORARY, "nothing was done")]),
        (
            {"2": "in/c.csv", "1": "in/a.csv", "3": "?", "4": "in/c.csv"},
            [
                ("2", PERMANENT, "failed: record 3: 2 fields"),
                ("1", SUCCEEDED, "converted: 99 records written, 1 rejected"),
                ("3", PERMANENT, "no JSON"),
                ("4", PERMANENT, "failed: record 3: 2 fields"),
            ],
        ),
        # Ids are S3's own and differ; if they did not, nothing that failed would be called a success.
        ({"1": "in/a.csv in/c.csv in/b.csv"}, [("1", PERMANENT, "failed: record 3: 2 fields")]),
        ({"1": "in/c.csv in/d.csv"}, [("1", TEMPORARY, "deferred: needs about 90 s")]),
    ],
)
def test_s3_batch_operations_get_one_result_a_task(tasks: dict[str, str], results: list[tuple[str, str, str]]) -> None:
    report = RunReport((CONVERTED, SKIPPED, FAILED, DEFERRED, PLANNED, THROTTLED))
    invocation = replace(carrying(EventKind.S3_BATCH, tasks), batch_job=BatchJob("2.0", "YXNkbGZq"))
    assert answer(invocation, report) == {
        "invocationSchemaVersion": "2.0",
        "treatMissingKeysAs": TEMPORARY,
        "invocationId": "YXNkbGZq",
        "results": [{"taskId": one, "resultCode": code, "resultString": text} for one, code, text in results],
    }


def test_a_task_that_was_skipped_has_succeeded_and_says_why() -> None:
    skipped = Skipped("elsewhere/a.csv", "outside the prefix 'in/'", "1")
    invocation = Invocation(
        EventKind.S3_BATCH, skipped=(skipped,), message_ids=("1",), batch_job=BatchJob("1.0", "YXNkbGZq")
    )
    report = RunReport((ObjectResult(skipped.key, Outcome.SKIPPED, skipped.reason),))
    assert answer(invocation, report)["results"] == [
        {"taskId": "1", "resultCode": SUCCEEDED, "resultString": "skipped: outside the prefix 'in/'"}
    ]


def test_a_task_s_text_is_cut() -> None:
    report = RunReport((ObjectResult("in/a.csv", Outcome.FAILED, "r" * 5000),))
    found = answer(carrying(EventKind.S3_BATCH, {"1": "in/a.csv"}), report)["results"][0]
    assert found["resultString"] == "failed: " + "r" * (1024 - len("failed: "))

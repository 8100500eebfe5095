"""Whoever watches sees every answer, also those that the SDK asks for again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from csv_transcode.errors import RetryableStoreError
from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import Condition, ObjectStore
from csv_transcode.s3.watch import log_requests
from csv_transcode.telemetry import configure_logging, get_logger
from tests.conftest import INPUT_BUCKET as BUCKET
from tests.s3.faults import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

KEY = "in/day.csv"
SLEPT = 1000


class Seen(list[tuple[str, float, bool]]):
    """What a watch is told."""

    def answered(self, operation: str, seconds: float, *, throttled: bool) -> None:
        self.append((operation, seconds, throttled))


class Clock:
    """A second passes whenever it is asked, and a thousand in every sleep."""

    def __init__(self) -> None:
        self._seconds = count()

    def runtime(self) -> Runtime:
        return Runtime(clock=lambda: float(next(self._seconds)), sleep=self._sleep)

    def _sleep(self, _: float) -> None:
        for _ in range(SLEPT):
            next(self._seconds)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def runtime() -> Runtime:
    return Clock().runtime()


@pytest.fixture
def client(imitated: None, runtime: Runtime) -> S3Client:  # noqa: ARG001 -- first the buckets
    return make_client(connections_max=1, runtime=runtime)


@pytest.fixture
def store(client: S3Client, runtime: Runtime, seen: Seen) -> ObjectStore:
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"id\n1\n")
    return ObjectStore(client, runtime, watch=seen)


@pytest.mark.parametrize(
    ("said", "throttled"),
    [
        ((503, "SlowDown"), True),
        ((503, "ServiceUnavailable"), True),
        ((503, ""), True),
        ((429, ""), True),
        ((500, "SlowDown"), True),
        ((500, "RequestLimitExceeded"), True),
        ((500, "ThrottlingException"), True),
        ((500, "Throttling"), True),
        ((500, "KMS.ThrottlingException"), True),
        ((500, "InternalError"), False),
        ((502, ""), False),
    ],
)
def test_every_answer_is_told_and_whether_s3_wants_fewer(
    client: S3Client, store: ObjectStore, seen: Seen, said: tuple[int, str], *, throttled: bool
) -> None:
    answer(client, "GetObject", said, said)
    store.get(BUCKET, KEY)
    # what is slept between them is not S3's
    assert seen == [("GetObject", 1, throttled), ("GetObject", 1, throttled), ("GetObject", 1, False)]


def test_answers_that_say_no_are_answers_all_the_same(client: S3Client, store: ObjectStore, seen: Seen) -> None:
    assert store.head(BUCKET, "missing") is None
    assert list(store.list_objects(BUCKET, "none/")) == []
    answer(client, "HeadObject", (503, ""))
    store.head(BUCKET, KEY)
    assert seen == [
        ("HeadObject", 1, False),
        ("ListObjectsV2", 1, False),
        ("HeadObject", 1, True),
        ("HeadObject", 1, False),
    ]


def test_no_answer_is_none(client: S3Client, store: ObjectStore, seen: Seen) -> None:
    answer(client, "GetObject", EndpointConnectionError(endpoint_url="s3"), None)
    store.get(BUCKET, KEY)
    assert seen == [("GetObject", 1, False)]


def test_without_a_watch_nothing_is_hung_into_the_client(client: S3Client) -> None:
    ObjectStore(client, Runtime(clock=lambda: pytest.fail("nobody wants to know")))
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"")


# --- the log


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def logged(client: S3Client, runtime: Runtime) -> Iterator[Lines]:
    """Return what reads the log's lines so far, without those parts of them that every line has."""
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    stream = io.StringIO()
    configure_logging("DEBUG", stream)
    for _ in range(2):  # whoever else shares the client
        log_requests(client, runtime.clock)

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        every = {"level": "DEBUG", "event": "s3.request", "bucket": BUCKET}
        assert all(line.items() >= every.items() for line in found)
        return [{name: line[name] for name in line.keys() - {"timestamp", *every}} for line in found]

    yield lines
    logger.handlers[:], logger.level, logger.propagate = before


def test_every_request_is_logged_once_with_what_it_took(client: S3Client, logged: Lines) -> None:
    store = ObjectStore(client, Runtime())
    store.put(BUCKET, KEY, b"12345", condition=Condition.none(), attempt_id="1", marker="m", content_type="text/csv")
    assert store.get(BUCKET, KEY).body.read() == b"12345"
    assert store.get(BUCKET, KEY, byte_range=(1, 3)).body.read() == b"23"
    assert store.head(BUCKET, KEY)
    assert store.head(BUCKET, "missing") is None
    assert list(store.list_objects(BUCKET, "none/")) == []
    plain = {"attempts": 1, "seconds": 1.0, "reason": None}
    assert logged() == [
        plain | {"operation": "PutObject", "key": KEY, "status": 200, "bytes": 5},
        plain | {"operation": "GetObject", "key": KEY, "status": 200, "bytes": 5},
        plain | {"operation": "GetObject", "key": KEY, "status": 206, "bytes": 2},
        plain | {"operation": "HeadObject", "key": KEY, "status": 200, "bytes": 0},
        plain | {"operation": "HeadObject", "key": "missing", "status": 404, "bytes": 0},
        plain | {"operation": "ListObjectsV2", "key": "none/", "status": 200, "bytes": 0},
    ]


def test_repetitions_and_the_time_between_them_are_the_request_s(
    client: S3Client, store: ObjectStore, logged: Lines
) -> None:
    answer(client, "HeadObject", (503, ""), (503, ""))
    store.head(BUCKET, KEY)
    (line,) = logged()
    assert (line["attempts"], line["status"]) == (3, 200)
    assert line["seconds"] > 2 * SLEPT


def test_a_request_without_an_answer_is_logged_too(client: S3Client, logged: Lines) -> None:
    answer(client, "HeadObject", *[EndpointConnectionError(endpoint_url="s3")] * 6)
    with pytest.raises(RetryableStoreError):
        ObjectStore(client, Runtime()).head(BUCKET, KEY)
    (line,) = logged()
    assert (line["attempts"], line["status"], line["reason"]) == (6, None, "EndpointConnectionError")

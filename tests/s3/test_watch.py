"""Whoever watches sees every answer, also those that the SDK asks for again."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import EndpointConnectionError

from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import ObjectStore
from tests.conftest import INPUT_BUCKET as BUCKET
from tests.s3.faults import answer

if TYPE_CHECKING:
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

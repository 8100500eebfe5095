"""What the SDK repeats: how often, after how long, by whose clock, and when a sick bucket is left alone."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from csv_transcode import errors
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import Condition, ObjectStore
from csv_transcode.settings import Settings
from s3_data_processor import S3DataProcessor
from tests.s3.faults import Slept, Transport, over

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW_DOWN = (503, "SlowDown")
BROKEN = (500, "InternalError")


def sick(
    slept: Slept, answer_to: Callable[[int], tuple[int, str] | None], **limits: int
) -> tuple[ObjectStore, Transport]:
    """Return a store whose S3 answers so, with a client that waits by ``slept``."""
    runtime = slept.runtime()
    client = make_client(connections_max=1, runtime=runtime, **limits)
    return ObjectStore(client, runtime), over(client, Transport(answer_to))


def put(store: ObjectStore) -> None:
    store.put("bucket", "key", b"", condition=Condition.none(), attempt_id="1", marker="avro", content_type="text/csv")


def ask(store: ObjectStore, times: int) -> None:
    for _ in range(times):
        with suppress(errors.RetryableStoreError):
            put(store)


class TestDelays:
    @pytest.mark.parametrize(
        ("said", "seconds"), [(SLOW_DOWN, [0.5, 1, 2, 4, 8]), (BROKEN, [0.025, 0.05, 0.1, 0.2, 0.4])]
    )
    def test_all_waiting_is_the_runtime_s(self, said: tuple[int, str], seconds: list[float]) -> None:
        """Half of the most, since that is what the token says; and no second passes."""
        slept = Slept()
        runtime = slept.runtime(*["80000000"] * 5)
        client = make_client(connections_max=1, runtime=runtime)
        over(client, Transport(lambda _: said))
        begun = time.monotonic()
        with pytest.raises(errors.RetryableStoreError):
            put(ObjectStore(client, runtime))
        assert slept == pytest.approx(seconds)
        assert time.monotonic() - begun < sum(seconds)

    def test_the_processor_s_own_client_waits_so_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")  # nobody is there
        slept = Slept()
        found = Settings.of("source-bucket", "target-bucket", retry_budget=28)
        with (
            S3DataProcessor.from_settings(found, runtime=slept.runtime()) as made,
            pytest.raises(errors.RetryableStoreError, match="Could not connect"),
        ):
            made.list_s3_objects()
        assert len(slept) == 2

    def test_nothing_is_waited_for_where_nothing_is_repeated(self) -> None:
        slept = Slept()
        store, transport = sick(slept, lambda _: (403, "AccessDenied"))
        with pytest.raises(errors.AccessDeniedError):
            put(store)
        assert (slept, transport.requests) == ([], 1)


class TestBudget:
    @pytest.mark.parametrize(
        ("said", "cost"), [(SLOW_DOWN, 5), ((429, "TooManyRequestsException"), 5), (BROKEN, 14), ((503, ""), 14)]
    )
    @pytest.mark.parametrize("operations", [1, 3, 200])
    def test_a_sick_bucket_is_asked_a_bounded_number_of_times(
        self, said: tuple[int, str], cost: int, operations: int
    ) -> None:
        store, transport = sick(Slept(), lambda _: said, retries_max=5)
        ask(store, operations)
        assert transport.requests == operations + min(operations * 5, 500 // cost)

    @pytest.mark.parametrize(("budget", "repeats"), [(0, 0), (13, 0), (14, 1), (280, 20)])
    def test_the_budget_can_be_set(self, budget: int, repeats: int) -> None:
        store, transport = sick(Slept(), lambda _: BROKEN, retries_max=5, retry_budget=budget)
        ask(store, 50)
        assert transport.requests == 50 + repeats

    def test_successes_earn_it_back(self) -> None:
        """One in two fails: the next attempt, which succeeds, gives back what it cost."""
        store, transport = sick(Slept(), lambda number: BROKEN if number % 2 else None, retry_budget=14)
        for _ in range(100):
            put(store)
        assert transport.requests == 200

    def test_a_budget_that_is_spent_comes_back_one_by_one(self) -> None:
        """One failed operation spends all; after 14 successes there is enough for one repetition."""
        answers = [BROKEN, BROKEN, *[None] * 13, BROKEN, None, BROKEN, None]
        store, transport = sick(Slept(), lambda number: answers[number - 1], retries_max=1, retry_budget=14)
        ask(store, 1)
        assert transport.requests == 2
        ask(store, 14)  # 13 that succeed and one that fails: there is 1 too little
        assert transport.requests == 16
        ask(store, 1)
        put(store)
        assert transport.requests == len(answers)

    def test_without_retries_there_is_one_request(self) -> None:
        store, transport = sick(Slept(), lambda _: SLOW_DOWN, retries_max=0)
        with pytest.raises(errors.RetryableStoreError, match="503 SlowDown"):
            put(store)
        assert transport.requests == 1

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from csv_transcode import errors
from csv_transcode.s3.client import make_client
from csv_transcode.s3.delays import DELAY_SECONDS, DELAY_SECONDS_MAX, full_jitter
from csv_transcode.s3.reader import ANSWERS_MAX, PIECE_BYTES_MAX, Source, open_source
from csv_transcode.s3.store import ObjectStore
from tests.conftest import INPUT_BUCKET as BUCKET
from tests.s3.executors import InlineExecutor
from tests.s3.faults import (
    Slept,
    answer,
    before,
    end_after,
    flip_at,
    operations,
    record,
    reset_after,
    spoil_bodies,
)
from tests.s3.misbehaving import misbehaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from io import BytesIO

    from mypy_boto3_s3 import S3Client

KEY = "in/ä+b.csv"
PART = 100
TEN_PARTS = random.Random(7).randbytes(1000)
MIB = 1024 * 1024


@pytest.fixture
def store(s3: S3Client) -> ObjectStore:
    return ObjectStore(s3, Slept().runtime())


def both_executors() -> Iterator[Executor]:
    """Yield one that runs everything at once, and one that has threads."""
    yield InlineExecutor()
    with ThreadPoolExecutor(3) as threads:
        yield threads


def opened(
    store: ObjectStore,
    executor: Executor,
    *,
    size_hint: int | None = None,
    part_bytes: int = PART,
    range_parts: int = 1,
) -> Source:
    source = open_source(
        store,
        BUCKET,
        KEY,
        size_hint=size_hint,
        if_none_match=None,
        part_bytes=part_bytes,
        range_parts=range_parts,
        executor=executor,
    )
    assert source is not None
    return source


def put(client: S3Client, body: bytes) -> str:
    return client.put_object(Bucket=BUCKET, Key=KEY, Body=body)["ETag"].strip('"')


class TestRequests:
    @pytest.mark.parametrize(
        ("size", "hint", "ranges"),
        [
            (0, None, [None]),
            (0, 0, [None]),
            (0, 1000, ["0-99", None]),
            (1, 1, [None]),
            (100, None, [None]),
            (100, 100, [None]),
            (60, 1000, ["0-99"]),
            (101, None, [None, "100-100"]),
            (101, 101, ["0-99", "100-100"]),
            (250, 250, ["0-99", "100-199", "200-249"]),
            (250, 10, [None, "100-199", "200-249"]),
            (300, 300, ["0-99", "100-199", "200-299"]),
        ],
        ids=[
            "empty",
            "empty, known",
            "empty, believed large",
            "one byte",
            "exactly a part",
            "exactly a part, known",
            "small, believed large",
            "a part and a byte",
            "a part and a byte, known",
            "large",
            "large, believed small",
            "whole parts",
        ],
    )
    def test_an_object_costs(
        self,
        store: ObjectStore,
        s3: S3Client,
        *,
        size: int,
        hint: int | None,
        ranges: list[str | None],
    ) -> None:
        etag = put(s3, TEN_PARTS[:size])
        for executor in both_executors():
            sent = record(s3)
            source = opened(store, executor, size_hint=hint)
            assert (source.bucket, source.key, source.etag, source.size) == (BUCKET, KEY, etag, size)
            assert b"".join(source.chunks()) == TEN_PARTS[:size]
            asked = [request.headers.get("range", "") for request in sent]
            assert sorted(asked) == sorted(f"bytes={each}" if each else "" for each in ranges)

    @pytest.mark.parametrize(
        ("size", "hint", "ranges"),
        [
            (1000, 1000, ["0-299", "300-599", "600-899", "900-999"]),
            (1000, None, [None, "300-599", "600-899", "900-999"]),
            (300, 300, [None]),
            (250, None, [None]),
            (301, 301, ["0-299", "300-300"]),
        ],
    )
    def test_one_request_brings_several_parts(
        self, store: ObjectStore, s3: S3Client, *, size: int, hint: int | None, ranges: list[str | None]
    ) -> None:
        put(s3, TEN_PARTS[:size])
        for executor in both_executors():
            sent = record(s3)
            source = opened(store, executor, size_hint=hint, range_parts=3)
            for _ in range(2):
                assert b"".join(source.chunks()) == TEN_PARTS[:size]
            asked = [request.headers.get("range") for request in sent]
            again = ranges if size <= 300 else ["0-299", *ranges[1:]]
            assert asked == [each and f"bytes={each}" for each in (*ranges, *again)]

    def test_every_request_after_the_first_asks_for_the_first_ones_etag(self, store: ObjectStore, s3: S3Client) -> None:
        etag = put(s3, TEN_PARTS)
        sent = record(s3)
        source = opened(store, InlineExecutor())
        for _ in range(2):
            assert b"".join(source.chunks()) == TEN_PARTS
        assert [request.headers.get("if-match") for request in sent] == [None, *[f'"{etag}"'] * 19]

    def test_an_unchanged_object_costs_one_request_and_is_none(self, store: ObjectStore, s3: S3Client) -> None:
        etag = put(s3, TEN_PARTS)
        sent = record(s3)
        for hint in (None, 1000):
            with InlineExecutor() as executor:
                source = open_source(store, BUCKET, KEY, size_hint=hint, if_none_match=etag, executor=executor)
            assert source is None
        assert operations(sent) == ["GetObject"] * 2

    def test_a_small_object_is_read_again_from_memory(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        sent = record(s3)
        source = opened(store, InlineExecutor(), part_bytes=1000)
        assert b"".join(source.chunks()) == b"".join(source.chunks()) == TEN_PARTS
        assert len(sent) == 1

    def test_a_missing_object_raises(self, store: ObjectStore) -> None:
        with pytest.raises(errors.ObjectNotFoundError):
            opened(store, InlineExecutor())

    def test_the_version_is_known(self, store: ObjectStore, s3: S3Client) -> None:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        version_id = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"a")["VersionId"]
        assert opened(store, InlineExecutor()).version_id == version_id


class TestMemory:
    @pytest.mark.parametrize("range_parts", [1, 3, 50])
    def test_one_part_waits_while_one_is_used(self, store: ObjectStore, s3: S3Client, range_parts: int) -> None:
        put(s3, TEN_PARTS)
        executor = InlineExecutor()
        chunks = opened(store, executor, range_parts=range_parts).chunks()
        assert executor.submitted == 0
        assert b"".join(chunks) == TEN_PARTS
        assert (executor.submitted, executor.waiting_max) == (10, 1)

    def test_pieces_are_bounded_and_never_empty(self, store: ObjectStore, s3: S3Client) -> None:
        body = TEN_PARTS * 2600
        put(s3, body)
        for part_bytes in (4 * MIB, 3 * MIB // 2):
            pieces = list(opened(store, InlineExecutor(), part_bytes=part_bytes).chunks())
            assert b"".join(pieces) == body
            assert {0 < len(piece) <= PIECE_BYTES_MAX for piece in pieces} == {True}

    def test_leaving_in_the_middle_reads_no_further_and_a_second_pass_begins_at_the_start(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        put(s3, TEN_PARTS)
        for executor in both_executors():
            source = opened(store, executor)
            with closing(source.chunks()) as chunks:
                assert next(chunks) == TEN_PARTS[:PART]
            assert b"".join(source.chunks()) == TEN_PARTS
            if isinstance(executor, InlineExecutor):
                assert executor.submitted == 2 + 10

    def test_closing_an_unread_source_closes_its_answer(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        raw = end_after(1000)(TEN_PARTS)
        spoil_bodies(s3, lambda _: raw)
        with opened(store, InlineExecutor()):
            assert not raw.closed
        assert raw.closed

    def test_every_answer_is_closed(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        raws = [end_after(40)(TEN_PARTS), reset_after(40)(TEN_PARTS[40:]), end_after(100)(TEN_PARTS[80:])]
        spoil_bodies(s3, *[lambda _, raw=raw: raw for raw in raws])
        with opened(store, InlineExecutor(), part_bytes=1000) as source:
            list(source.chunks())
        assert [raw.closed for raw in raws] == [True] * 3

    def test_leaving_in_the_middle_drops_the_answer_that_has_more_to_bring(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        put(s3, TEN_PARTS)
        for executor in both_executors():
            raw = end_after(1000)(TEN_PARTS)
            spoil_bodies(s3, *[lambda _, raw=raw: raw for raw in (raw,)])
            with executor, closing(opened(store, executor, range_parts=10).chunks()) as chunks:
                assert next(chunks) == TEN_PARTS[:PART]
                assert not raw.closed
            assert raw.closed


class TestBrokenBodies:
    @pytest.mark.parametrize("spoil", [end_after, reset_after], ids=["cut", "reset"])
    @pytest.mark.parametrize(
        ("part_bytes", "got", "ranges"),
        [
            (1000, 400, [None, "400-999"]),
            (1000, 0, [None, None]),
            (100, 30, [None, "30-99"]),
            (100, 0, [None, "0-99"]),
        ],
        ids=["whole", "whole, at once", "first part", "first part, at once"],
    )
    def test_the_rest_is_asked_for_from_where_it_broke_off(
        self,
        store: ObjectStore,
        s3: S3Client,
        *,
        spoil: Callable[[int], Callable[[bytes], BytesIO]],
        part_bytes: int,
        got: int,
        ranges: list[str | None],
    ) -> None:
        put(s3, TEN_PARTS)
        sent = record(s3)
        spoil_bodies(s3, spoil(got))
        source = opened(store, InlineExecutor(), part_bytes=part_bytes)
        assert b"".join(source.chunks()) == TEN_PARTS
        expected = [f"bytes={each}" if each else None for each in ranges]
        assert [request.headers.get("range") for request in sent][: len(expected)] == expected

    def test_before_the_rest_is_asked_for_comes_a_random_wait_that_grows(self, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        slept = Slept()
        store = ObjectStore(s3, slept.runtime("80000000", "ffffffff", "00000000", "40000000"))
        spoil_bodies(s3, reset_after(0), end_after(30), reset_after(50), end_after(19))
        assert b"".join(opened(store, InlineExecutor(), part_bytes=1000).chunks()) == TEN_PARTS
        assert slept == pytest.approx([DELAY_SECONDS / 2, DELAY_SECONDS * 2, 0, DELAY_SECONDS * 2])

    def test_waits_have_a_bound_and_none_follows_the_last_answer(self, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        slept = Slept()
        spoil_bodies(s3, *[reset_after(0)] * ANSWERS_MAX)
        with pytest.raises(errors.RetryableStoreError, match="broke off"):
            list(opened(ObjectStore(s3, slept.runtime()), InlineExecutor(), part_bytes=1000).chunks())
        assert len(slept) == ANSWERS_MAX - 1
        assert full_jitter(slept.runtime("ffffffff"), 60) == pytest.approx(DELAY_SECONDS_MAX)

    @pytest.mark.parametrize(("got", "rest"), [(350, "350-899"), (100, "100-899"), (899, "899-899")])
    def test_what_is_left_of_a_range_of_several_parts_is_asked_for(
        self, store: ObjectStore, s3: S3Client, got: int, rest: str
    ) -> None:
        put(s3, TEN_PARTS)
        for executor in both_executors():
            sent = record(s3)
            spoil_bodies(s3, reset_after(got))
            source = opened(store, executor, size_hint=1000, range_parts=9)
            assert b"".join(source.chunks()) == TEN_PARTS
            assert [request.headers["range"] for request in sent] == [f"bytes={r}" for r in ("0-899", rest, "900-999")]

    def test_a_wrong_checksum_over_bytes_that_are_in_use_raises(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        flip_at(s3, 500)
        seen = []
        with pytest.raises(errors.RetryableStoreError, match="did not match calculated checksum"):  # noqa: PT012 (seen)
            for piece in opened(store, InlineExecutor(), range_parts=10).chunks():
                seen.append(piece)  # noqa: PERF402 (up to the error)
        assert len(seen) == 9  # the last part is never handed out

    def test_a_part_that_breaks_off_again_and_again_is_asked_for_a_bounded_number_of_times(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        put(s3, TEN_PARTS)
        spoil_bodies(s3, *[reset_after(10)] * (ANSWERS_MAX - 1))
        assert b"".join(opened(store, InlineExecutor(), part_bytes=1000).chunks()) == TEN_PARTS
        sent = record(s3)
        spoil_bodies(s3, *[reset_after(10)] * ANSWERS_MAX)
        with pytest.raises(errors.RetryableStoreError, match="bytes 0 to 1000 broke off 5 times") as caught:
            list(opened(store, InlineExecutor(), part_bytes=1000).chunks())
        assert len(sent) == ANSWERS_MAX
        assert "Connection broken" in str(caught.value.__cause__)

    def test_a_request_that_failed_for_good_is_not_repeated_on_top(self, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        client = make_client(connections_max=1, retries_max=0)
        sent = record(client)
        answer(client, "GetObject", None, (503, "SlowDown"))
        with pytest.raises(errors.RetryableStoreError, match="503 SlowDown"):
            list(opened(ObjectStore(client, Slept().runtime()), InlineExecutor()).chunks())
        assert len(sent) == 2

    def test_a_flipped_bit_in_a_whole_object_is_found_and_the_whole_is_asked_for_again(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        put(s3, TEN_PARTS)
        sent = record(s3)
        flip_at(s3, 500)
        assert b"".join(opened(store, InlineExecutor(), part_bytes=1000).chunks()) == TEN_PARTS
        assert [request.headers.get("range") for request in sent] == [None, None]

    def test_a_flipped_bit_in_every_answer_raises(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        flip_at(s3, *[500] * ANSWERS_MAX)
        with pytest.raises(errors.RetryableStoreError) as caught:
            list(opened(store, InlineExecutor(), part_bytes=1000).chunks())
        assert "did not match calculated checksum" in str(caught.value.__cause__)


class TestChange:
    @pytest.mark.parametrize("number", [2, 3, 10])
    def test_an_object_overwritten_between_two_ranges_is_refused(
        self, store: ObjectStore, s3: S3Client, number: int
    ) -> None:
        for executor in both_executors():
            put(s3, TEN_PARTS)
            before(s3, "GetObject", number, lambda: put(s3, TEN_PARTS[::-1]))
            seen: list[bytes] = []
            with pytest.raises(errors.PreconditionFailedError):
                seen.extend(opened(store, executor, size_hint=1000).chunks())
            assert TEN_PARTS.startswith(b"".join(seen))

    @pytest.mark.parametrize("after", ["deleted", "shorter"])
    def test_an_object_that_is_gone_or_shorter_is_refused(self, store: ObjectStore, s3: S3Client, after: str) -> None:
        put(s3, TEN_PARTS)
        source = opened(store, InlineExecutor())
        s3.delete_object(Bucket=BUCKET, Key=KEY) if after == "deleted" else put(s3, b"short")
        with pytest.raises(errors.PreconditionFailedError):
            list(source.chunks())

    def test_a_second_pass_over_an_overwritten_object_is_refused(self, store: ObjectStore, s3: S3Client) -> None:
        put(s3, TEN_PARTS)
        source = opened(store, InlineExecutor())
        assert b"".join(source.chunks()) == TEN_PARTS
        put(s3, TEN_PARTS[::-1])
        with pytest.raises(errors.PreconditionFailedError):
            list(source.chunks())

    def test_an_object_overwritten_while_its_broken_body_is_asked_for_again_is_refused(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        put(s3, TEN_PARTS)
        spoil_bodies(s3, reset_after(10))
        source = opened(store, InlineExecutor(), part_bytes=1000)
        put(s3, TEN_PARTS[::-1])
        with pytest.raises(errors.PreconditionFailedError):
            list(source.chunks())


class TestSockets:
    """The same at a real socket, where urllib3 and http.client have their say."""

    @pytest.mark.long
    @pytest.mark.parametrize(
        ("fault", "hint"),
        [
            *[(fault, 1000) for fault in ("reset", "hang up", "stall", "short")],
            # not "short": the size of an answer without a range is what it says it is
            *[(fault, None) for fault in ("reset", "hang up", "stall")],
        ],
    )
    def test_what_broke_off_is_completed(self, monkeypatch: pytest.MonkeyPatch, fault: str, hint: int | None) -> None:
        with misbehaving(TEN_PARTS) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            client = make_client(connections_max=3, retries_max=0, read_timeout_seconds=0.2)
            store = ObjectStore(client, Slept().runtime())
            for executor in both_executors():
                server.ranges.clear()
                # The first part, one in the middle, and nothing at all of another.
                server.faults = [(fault, 50), None, (fault, 20), (fault, 0)] if hint else [(fault, 400)]
                source = opened(store, executor, size_hint=hint, part_bytes=100 if hint else 1000)
                assert b"".join(source.chunks()) == TEN_PARTS
                assert server.faults == []
                assert len(server.ranges) == (13 if hint else 2)

    def test_answers_that_are_always_too_short_are_given_up_saying_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with misbehaving(TEN_PARTS) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            store = ObjectStore(make_client(connections_max=1, retries_max=0), Slept().runtime())
            server.faults = [None, *[("short", 10)] * ANSWERS_MAX]
            with pytest.raises(errors.RetryableStoreError, match="bytes 100 to 200 broke off 5 times") as caught:
                list(opened(store, InlineExecutor()).chunks())
            assert "the answer ended 50 bytes early" in str(caught.value.__cause__)

    def test_an_answer_from_another_place_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with misbehaving(TEN_PARTS) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            store = ObjectStore(make_client(connections_max=1, retries_max=0), Slept().runtime())
            source = opened(store, InlineExecutor())
            server.ignores_ranges = True
            with pytest.raises(errors.StoreError, match="asked for byte 100, answered from 0"):
                list(source.chunks())

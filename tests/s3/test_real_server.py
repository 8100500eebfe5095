"""What an in-process imitation does not enforce: conditions on every kind of upload, checksums, whole objects."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest

from csv_transcode import errors
from csv_transcode.s3.reader import open_source
from csv_transcode.s3.store import Condition, ObjectStore
from csv_transcode.s3.upload import ObjectUpload, abort_stray_uploads
from tests.conftest import OUTPUT_BUCKET as BUCKET
from tests.s3.faults import Slept, answer, before, flip_at, lose_answer, operations, record, reset_after, spoil_bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

KEY = "processed/ä+b.parquet"
PART = 5 * 1024 * 1024  # the least that S3, and this server, accept of any part but the last
RANGE = 1024 * 1024
BODY = random.Random(11).randbytes(PART + 1000)


@pytest.fixture
def store(seaweed_s3: S3Client) -> ObjectStore:
    return ObjectStore(seaweed_s3, Slept().runtime())


@contextmanager
def uploading(store: ObjectStore, attempt_id: str = "attempt-1") -> Iterator[ObjectUpload]:
    with (
        ThreadPoolExecutor(2) as threads,
        ObjectUpload(
            store,
            BUCKET,
            KEY,
            attempt_id=attempt_id,
            marker="avro",
            content_type="application/avro",
            executor=threads,
            part_bytes=PART,
        ) as upload,
    ):
        yield upload


@pytest.fixture(params=[1000, len(BODY)], ids=["single", "multipart"])
def upload(request: pytest.FixtureRequest, store: ObjectStore) -> Iterator[ObjectUpload]:
    """Yield a finished upload, once as one request and once in parts."""
    with uploading(store) as upload:
        upload.write(BODY[: request.param])
        upload.finish()
        yield upload
    assert list(store.list_uploads(BUCKET, "")) == []


def put(client: S3Client, body: bytes = b"theirs", attempt_id: str = "attempt-2") -> str:
    etag = client.put_object(Bucket=BUCKET, Key=KEY, Body=body, Metadata={"attempt-id": attempt_id})["ETag"]
    return etag.strip('"')


def content(client: S3Client) -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return body


def publishing(upload: ObjectUpload) -> str:
    return "CompleteMultipartUpload" if upload.upload_id else "PutObject"


class TestConditions:
    def test_absent_holds_where_nothing_stands(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        stored = upload.publish(Condition.absent())
        assert content(seaweed_s3) == BODY[: upload.bytes_written]
        assert f'"{stored.etag}"' == seaweed_s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"]

    def test_absent_fails_where_something_stands(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        put(seaweed_s3)
        with pytest.raises(errors.PreconditionFailedError):
            upload.publish(Condition.absent())
        assert content(seaweed_s3) == b"theirs"

    def test_matches_holds_for_what_stands(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        upload.publish(Condition.matches(put(seaweed_s3)))
        assert content(seaweed_s3) == BODY[: upload.bytes_written]

    def test_matches_fails_for_what_stood_before(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        etag = put(seaweed_s3)
        put(seaweed_s3, b"newer")
        with pytest.raises(errors.PreconditionFailedError):
            upload.publish(Condition.matches(etag))
        assert content(seaweed_s3) == b"newer"

    def test_matches_fails_where_nothing_stands(self, store: ObjectStore, upload: ObjectUpload) -> None:
        with pytest.raises(errors.PreconditionFailedError):
            upload.publish(Condition.matches("0123"))
        assert store.head(BUCKET, KEY) is None

    def test_matches_holds_for_an_object_that_came_in_parts(
        self, seaweed_s3: S3Client, store: ObjectStore, upload: ObjectUpload
    ) -> None:
        with uploading(store, "attempt-0") as earlier:
            earlier.write(BODY[::-1])
            etag = earlier.publish(Condition.absent()).etag
        assert "-" in etag
        upload.publish(Condition.matches(etag))
        assert content(seaweed_s3) == BODY[: upload.bytes_written]

    def test_none_replaces_whatever_stands(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        put(seaweed_s3)
        upload.publish(Condition.none())
        assert content(seaweed_s3) == BODY[: upload.bytes_written]

    def test_of_two_writers_one_wins(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        before(seaweed_s3, publishing(upload), 1, lambda: put(seaweed_s3))
        with pytest.raises(errors.PreconditionFailedError):
            upload.publish(Condition.absent())
        assert content(seaweed_s3) == b"theirs"


class TestLostAnswers:
    @pytest.mark.parametrize("replaces", [False, True], ids=["If-None-Match", "If-Match"])
    def test_our_own_object_is_a_success(self, seaweed_s3: S3Client, upload: ObjectUpload, *, replaces: bool) -> None:
        condition = Condition.matches(put(seaweed_s3)) if replaces else Condition.absent()
        operation = publishing(upload)
        lose_answer(seaweed_s3, operation)
        sent = record(seaweed_s3)
        stored = upload.publish(condition)
        assert operations(sent) == [operation, operation, "HeadObject"]
        assert content(seaweed_s3) == BODY[: upload.bytes_written]
        assert (stored.size, f'"{stored.etag}"') == (
            upload.bytes_written,
            seaweed_s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"],
        )

    def test_another_writers_object_is_not(self, seaweed_s3: S3Client, upload: ObjectUpload) -> None:
        lose_answer(seaweed_s3, publishing(upload), then=lambda: seaweed_s3.delete_object(Bucket=BUCKET, Key=KEY))
        before(seaweed_s3, publishing(upload), 2, lambda: put(seaweed_s3))
        with pytest.raises(errors.PreconditionFailedError):
            upload.publish(Condition.absent())
        assert content(seaweed_s3) == b"theirs"

    def test_a_conflict_of_a_put_is_repeated(self, seaweed_s3: S3Client, store: ObjectStore) -> None:
        answer(seaweed_s3, "PutObject", (409, "ConditionalRequestConflict"), None)
        sent = record(seaweed_s3)
        store.put(
            BUCKET, KEY, b"ours", condition=Condition.absent(), attempt_id="1", marker="avro", content_type="text/csv"
        )
        assert (operations(sent), content(seaweed_s3)) == (["PutObject"] * 2, b"ours")

    def test_a_part_whose_answer_was_lost_counts_once(self, seaweed_s3: S3Client, store: ObjectStore) -> None:
        lose_answer(seaweed_s3, "UploadPart")
        with uploading(store) as upload:
            upload.write(BODY)
            upload.publish(Condition.absent())
        assert content(seaweed_s3) == BODY


class TestDamage:
    def test_a_part_or_object_damaged_on_its_way_is_refused(
        self, seaweed_s3: S3Client, store: ObjectStore, upload: ObjectUpload
    ) -> None:
        def flip(request: Any, **_: object) -> None:
            body = bytearray(request.body.read())
            body[-1] ^= 1
            request.body = BytesIO(body)

        seaweed_s3.meta.events.register_first("before-send.s3.PutObject", flip)
        seaweed_s3.meta.events.register_first("before-send.s3.UploadPart", flip)
        upload.write(b"one more" * (upload.upload_id is not None))
        with pytest.raises(errors.RetryableStoreError, match=r"400 (BadDigest|XAmzContent)"):
            upload.publish(Condition.absent())
        assert store.head(BUCKET, KEY) is None

    def test_an_object_damaged_on_its_way_here_is_asked_for_again(
        self, seaweed_s3: S3Client, store: ObjectStore
    ) -> None:
        store.put(BUCKET, KEY, BODY, condition=Condition.none(), attempt_id="1", marker="avro", content_type="text/csv")
        flip_at(seaweed_s3, len(BODY) // 2)
        sent = record(seaweed_s3)
        with ThreadPoolExecutor(2) as threads:
            source = open_source(store, BUCKET, KEY, size_hint=None, if_none_match=None, executor=threads)
            assert source is not None
            assert b"".join(source.chunks()) == BODY
        assert operations(sent) == ["GetObject"] * 2

    @pytest.mark.parametrize("size_hint", [None, len(BODY)], ids=["unknown", "known"])
    def test_a_large_object_comes_whole_through_resets(
        self, seaweed_s3: S3Client, store: ObjectStore, size_hint: int | None
    ) -> None:
        put(seaweed_s3, BODY)
        spoil_bodies(seaweed_s3, *[reset_after(count) for count in (0, 10_000, 300_000, 1)])
        with ThreadPoolExecutor(3) as threads:
            source = open_source(
                store, BUCKET, KEY, size_hint=size_hint, if_none_match=None, part_bytes=RANGE, executor=threads
            )
            assert source is not None
            for _ in range(2):
                assert b"".join(source.chunks()) == BODY

    def test_an_object_overwritten_between_two_ranges_is_refused(
        self, seaweed_s3: S3Client, store: ObjectStore
    ) -> None:
        put(seaweed_s3, BODY)
        before(seaweed_s3, "GetObject", 3, lambda: put(seaweed_s3, BODY[::-1]))
        with ThreadPoolExecutor(3) as threads:
            source = open_source(
                store,
                BUCKET,
                KEY,
                size_hint=None,
                if_none_match=None,
                part_bytes=RANGE,
                range_parts=1,
                executor=threads,
            )
            assert source is not None
            with pytest.raises(errors.PreconditionFailedError):
                list(source.chunks())

    def test_an_empty_object_and_an_unchanged_one(self, seaweed_s3: S3Client, store: ObjectStore) -> None:
        etag = put(seaweed_s3, b"")
        with ThreadPoolExecutor(1) as threads:
            source = open_source(store, BUCKET, KEY, size_hint=1 << 30, if_none_match=None, executor=threads)
            assert source is not None
            assert (list(source.chunks()), source.size, source.etag) == ([], 0, etag)
            assert open_source(store, BUCKET, KEY, size_hint=None, if_none_match=etag, executor=threads) is None


class TestAbort:
    def test_a_part_that_fails_leaves_no_upload(self, seaweed_s3: S3Client, store: ObjectStore) -> None:
        answer(seaweed_s3, "UploadPart", None, (403, "AccessDenied"))
        with uploading(store) as upload:
            upload.write(BODY)
            with pytest.raises(errors.AccessDeniedError, match="UploadPart"):
                upload.finish()
            assert len(list(store.list_uploads(BUCKET, KEY))) == 1
        assert list(store.list_uploads(BUCKET, "")) == []
        assert store.head(BUCKET, KEY) is None

    @pytest.mark.parametrize("more", [b"more", b""], ids=["before its last part", "before it is completed"])
    def test_an_upload_aborted_by_another_writer_is_a_condition_not_met(self, store: ObjectStore, more: bytes) -> None:
        with uploading(store) as upload:
            upload.write(BODY[:PART])
            upload.finish()
            assert abort_stray_uploads(store, BUCKET, KEY) == 1
            upload.write(more)
            with pytest.raises(errors.PreconditionFailedError, match="NoSuchUpload"):
                upload.publish(Condition.absent())
        assert store.head(BUCKET, KEY) is None

    def test_strays_of_other_keys_are_left(self, seaweed_s3: S3Client, store: ObjectStore) -> None:
        for key in (KEY, KEY + ".more", KEY):
            seaweed_s3.create_multipart_upload(Bucket=BUCKET, Key=key)
        assert abort_stray_uploads(store, BUCKET, KEY) == 2
        assert [upload.key for upload in store.list_uploads(BUCKET, "")] == [KEY + ".more"]

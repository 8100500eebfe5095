from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from csv_transcode import errors
from csv_transcode.s3.delays import DELAY_SECONDS
from csv_transcode.s3.store import CONFLICT_REPEATS_MAX, Condition, ObjectStore, StoredObject
from tests.conftest import INPUT_BUCKET as BUCKET
from tests.s3.faults import Slept, answer, before, list_by, lose_answer, operations, record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "in/ä+b %.csv"


@pytest.fixture
def store(s3: S3Client) -> ObjectStore:
    return ObjectStore(s3, Slept().runtime())


def put(
    store: ObjectStore, body: bytes = b"ours", condition: Condition | None = None, attempt_id: str = "attempt-1"
) -> StoredObject:
    condition = condition or Condition.none()
    return store.put(
        BUCKET, KEY, body, condition=condition, attempt_id=attempt_id, marker="avro", content_type="text/csv"
    )


def content(client: S3Client) -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return body


class TestListing:
    @pytest.fixture(autouse=True)
    def _pages_of_two(self, s3: S3Client) -> None:
        for name in ("a", "b", "c+ä %", "d", "e"):
            s3.put_object(Bucket=BUCKET, Key=f"in/{name}", Body=name.encode())
        s3.put_object(Bucket=BUCKET, Key="inbox", Body=b"")
        s3.put_object(Bucket=BUCKET, Key="other", Body=b"")
        list_by(s3, 2)

    @pytest.mark.parametrize(
        ("prefix", "start_after", "expected"),
        [
            ("in/", "", ["in/a", "in/b", "in/c+ä %", "in/d", "in/e"]),
            ("in/", "in/b", ["in/c+ä %", "in/d", "in/e"]),
            ("in/", "in/bb", ["in/c+ä %", "in/d", "in/e"]),
            ("in", "in/d", ["in/e", "inbox"]),
            ("none", "", []),
        ],
        ids=["all pages", "after a key", "after no key", "a prefix is literal", "nothing"],
    )
    def test_keys(self, store: ObjectStore, prefix: str, start_after: str, expected: list[str]) -> None:
        assert [entry.key for entry in store.list_objects(BUCKET, prefix, start_after)] == expected

    def test_an_entry_says_size_etag_class_and_time(self, store: ObjectStore, s3: S3Client) -> None:
        entry = next(store.list_objects(BUCKET, "in/c"))
        head = s3.head_object(Bucket=BUCKET, Key="in/c+ä %")
        assert (entry.size, f'"{entry.etag}"', entry.storage_class) == (6, head["ETag"], "STANDARD")
        assert abs((entry.last_modified - head["LastModified"]).total_seconds()) < 1

    def test_a_second_page_that_fails_raises(self, store: ObjectStore, s3: S3Client) -> None:
        answer(s3, "ListObjectsV2", None, (403, "AccessDenied"))
        with pytest.raises(errors.AccessDeniedError, match="ListObjectsV2 s3://input-bucket/in/: 403 AccessDenied"):
            list(store.list_objects(BUCKET, "in/"))

    def test_a_bucket_that_is_not_there_raises(self, store: ObjectStore) -> None:
        with pytest.raises(errors.BucketNotFoundError):
            list(store.list_objects("no-such-bucket", ""))


class TestReading:
    def test_get_gives_everything_about_the_object(self, store: ObjectStore, s3: S3Client) -> None:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        said = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"0123456789", Metadata={"color": "blue"})
        got = store.get(BUCKET, KEY)
        assert (f'"{got.etag}"', got.version_id) == (said["ETag"], said["VersionId"])
        assert (got.size, got.start, got.content_length, got.body.read(100)) == (10, 0, 10, b"0123456789")
        assert got.metadata == {"color": "blue"}

    @pytest.mark.parametrize(
        ("byte_range", "start", "expected"),
        [((0, 4), 0, b"0123"), ((4, 10), 4, b"456789"), ((9, 10), 9, b"9"), ((8, 100), 8, b"89")],
        ids=["first", "last", "one byte", "beyond the end"],
    )
    def test_a_range_is_half_open(
        self, store: ObjectStore, byte_range: tuple[int, int], start: int, expected: bytes
    ) -> None:
        put(store, b"0123456789")
        got = store.get(BUCKET, KEY, byte_range=byte_range)
        assert (got.size, got.start, got.content_length) == (10, start, len(expected))
        assert got.body.read(100) == expected

    def test_a_range_of_an_empty_object_is_the_empty_object(self, store: ObjectStore) -> None:
        etag = put(store, b"").etag
        got = store.get(BUCKET, KEY, byte_range=(0, 100))
        assert (got.etag, got.size, got.start, got.content_length, got.body.read(1)) == (etag, 0, 0, 0, b"")
        assert store.get(BUCKET, KEY, byte_range=(0, 100), if_none_match=etag) is None

    def test_a_range_beyond_the_object_means_that_it_has_changed(self, store: ObjectStore) -> None:
        put(store, b"0123")
        with pytest.raises(errors.PreconditionFailedError, match="416"):
            store.get(BUCKET, KEY, byte_range=(4, 8))

    def test_an_unchanged_object_is_none(self, store: ObjectStore) -> None:
        etag = put(store).etag
        assert store.get(BUCKET, KEY, if_none_match=etag) is None
        assert store.get(BUCKET, KEY, if_none_match="another") is not None

    def test_a_changed_object_is_refused(self, store: ObjectStore) -> None:
        etag = put(store).etag
        assert store.get(BUCKET, KEY, if_match=etag).etag == etag
        with pytest.raises(errors.PreconditionFailedError):
            store.get(BUCKET, KEY, if_match="another")

    def test_a_missing_object_raises_where_it_is_read_and_is_none_where_it_is_looked_at(
        self, store: ObjectStore
    ) -> None:
        with pytest.raises(errors.ObjectNotFoundError):
            store.get(BUCKET, "missing")
        assert store.head(BUCKET, "missing") is None

    def test_head_says_what_stands(self, store: ObjectStore) -> None:
        stored = put(store, b"12345")
        assert store.head(BUCKET, KEY) == StoredObject(
            stored.etag, None, 5, {"attempt-id": "attempt-1", "csv-transcode": "avro"}
        )


class TestPut:
    def test_it_is_one_request_and_says_what_it_made(self, store: ObjectStore, s3: S3Client) -> None:
        sent = record(s3)
        stored = put(store, b"12345")
        assert operations(sent) == ["PutObject"]
        found = s3.head_object(Bucket=BUCKET, Key=KEY)
        assert (f'"{stored.etag}"', stored.size, found["ContentType"]) == (found["ETag"], 5, "text/csv")

    def test_conditions_travel_as_s3_wants_them(self, store: ObjectStore, s3: S3Client) -> None:
        sent = record(s3)
        etag = put(store, condition=Condition.absent()).etag
        put(store, condition=Condition.matches(etag))
        put(store, condition=Condition.none())
        names = ("if-none-match", "if-match")
        assert [[request.headers.get(name) for name in names] for request in sent] == [
            ["*", None],
            [None, f'"{etag}"'],
            [None, None],
        ]

    def test_metadata_is_ascii_and_carries_the_attempt_and_the_marker(self, store: ObjectStore, s3: S3Client) -> None:
        store.put(BUCKET, KEY, b"", condition=Condition.none(), attempt_id="ä 1", marker="é", content_type="text/csv")
        found = s3.head_object(Bucket=BUCKET, Key=KEY)["Metadata"]
        assert found == {"attempt-id": "%C3%A4%201", "csv-transcode": "%C3%A9"}

    def test_an_object_that_stands_is_not_replaced(self, store: ObjectStore, s3: S3Client) -> None:
        put(store, b"theirs", attempt_id="attempt-0")
        with pytest.raises(errors.PreconditionFailedError, match=r"PutObject.*412 PreconditionFailed"):
            put(store, b"ours", Condition.absent())
        assert content(s3) == b"theirs"

    def test_an_etag_of_a_missing_object_is_a_condition_not_met(self, store: ObjectStore) -> None:
        with pytest.raises(errors.PreconditionFailedError):
            put(store, condition=Condition.matches("e"))

    @pytest.mark.parametrize("replaces", [False, True], ids=["If-None-Match", "If-Match"])
    def test_our_own_object_after_a_lost_answer_is_a_success(
        self, store: ObjectStore, s3: S3Client, *, replaces: bool
    ) -> None:
        condition = Condition.matches(put(store, b"old", attempt_id="0").etag) if replaces else Condition.absent()
        sent = record(s3)
        lose_answer(s3, "PutObject")
        stored = put(store, b"ours", condition)
        assert operations(sent) == ["PutObject", "PutObject", "HeadObject"]
        assert (content(s3), f'"{stored.etag}"') == (b"ours", s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"])

    def test_another_writers_object_after_a_lost_answer_is_not(self, store: ObjectStore, s3: S3Client) -> None:
        other = {"attempt-id": "attempt-2"}
        lose_answer(s3, "PutObject", then=lambda: s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"theirs", Metadata=other))
        with pytest.raises(errors.PreconditionFailedError):
            put(store, b"ours", Condition.absent())
        assert content(s3) == b"theirs"

    def test_an_object_deleted_after_a_lost_answer_is_not(self, store: ObjectStore, s3: S3Client) -> None:
        answer(s3, "PutObject", (412, "PreconditionFailed"))
        before(s3, "HeadObject", 1, lambda: s3.delete_object(Bucket=BUCKET, Key=KEY))
        with pytest.raises(errors.PreconditionFailedError):
            put(store, b"ours", Condition.absent())


class TestConflict:
    def test_it_is_repeated_after_a_random_time_that_grows(self, s3: S3Client) -> None:
        slept = Slept()
        store = ObjectStore(s3, slept.runtime("80000000", "ffffffff", "00000000"))
        sent = record(s3)
        answer(s3, "PutObject", *[(409, "ConditionalRequestConflict")] * 3)
        put(store)
        assert operations(sent) == ["PutObject"] * 4
        assert slept == pytest.approx([DELAY_SECONDS / 2, DELAY_SECONDS * 2, 0])

    def test_it_is_raised_after_the_last_repeat(self, s3: S3Client) -> None:
        slept = Slept()
        store = ObjectStore(s3, slept.runtime())
        sent = record(s3)
        answer(s3, "PutObject", *[(409, "ConditionalRequestConflict")] * 99)
        with pytest.raises(errors.ConflictError):
            put(store)
        assert len(sent) == CONFLICT_REPEATS_MAX + 1
        assert len(slept) == CONFLICT_REPEATS_MAX

    def test_another_error_is_not_repeated(self, s3: S3Client) -> None:
        slept = Slept()
        store = ObjectStore(s3, slept.runtime())
        answer(s3, "PutObject", (409, "OperationAborted"), (403, "AccessDenied"))
        with pytest.raises(errors.AccessDeniedError):
            put(store)
        assert len(slept) == 1

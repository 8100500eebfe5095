from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode import errors
from csv_transcode.s3.store import Condition, ObjectStore, StoredObject
from csv_transcode.s3.upload import PART_BYTES_MAX, PARTS_OF_ONE_SIZE, ObjectUpload, abort_stray_uploads
from tests.conftest import OUTPUT_BUCKET as BUCKET
from tests.s3.executors import InlineExecutor
from tests.s3.faults import Slept, answer, before, lose_answer, operations, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from typing_extensions import Buffer

KEY = "processed/ä+b.parquet"
PART = 5 * 1024 * 1024  # the least that S3, and moto, accept of any part but the last
BLOCK = bytes(range(256)) * 4096  # 1 MiB
T = TypeVar("T")


@pytest.fixture
def store(s3: S3Client) -> ObjectStore:
    return ObjectStore(s3, Slept().runtime())


def upload_to(
    store: ObjectStore, executor: Executor | None = None, *, part_bytes: int = PART, parts_in_flight: int = 2
) -> ObjectUpload:
    return ObjectUpload(
        store,
        BUCKET,
        KEY,
        attempt_id="attempt-1",
        marker="avro",
        content_type="application/avro",
        executor=executor or InlineExecutor(),
        part_bytes=part_bytes,
        parts_in_flight=parts_in_flight,
    )


def content(client: S3Client) -> bytes:
    body: bytes = client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return body


def uploads(client: S3Client) -> list[str]:
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]


class TestRequests:
    @pytest.mark.parametrize(
        ("blocks", "more", "expected"),
        [
            (0, b"", ["PutObject"]),
            (0, b"a", ["PutObject"]),
            (4, b"a", ["PutObject"]),
            (5, b"", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]),
            (5, b"a", ["CreateMultipartUpload", *["UploadPart"] * 2, "CompleteMultipartUpload"]),
            (12, b"abc", ["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload"]),
        ],
        ids=["nothing", "a byte", "less than a part", "a part", "a part and a byte", "parts"],
    )
    def test_an_object_costs(
        self, store: ObjectStore, s3: S3Client, *, blocks: int, more: bytes, expected: list[str]
    ) -> None:
        sent = record(s3)
        with ThreadPoolExecutor(2) as threads, upload_to(store, threads) as upload:
            for _ in range(blocks):
                upload.write(BLOCK)
            upload.write(more)
            upload.finish()
            assert operations(sent) == [each for each in expected if each in ("CreateMultipartUpload", "UploadPart")]
            stored = upload.publish(Condition.absent())
        assert operations(sent) == expected
        assert content(s3) == BLOCK * blocks + more
        assert upload.bytes_written == len(BLOCK) * blocks + len(more)
        assert (upload.upload_id is None) == (expected == ["PutObject"])
        found = s3.head_object(Bucket=BUCKET, Key=KEY)
        assert (f'"{stored.etag}"', found["ContentType"]) == (found["ETag"], "application/avro")
        assert found["Metadata"] == {"attempt-id": "attempt-1", "csv-transcode": "avro"}
        assert uploads(s3) == []

    def test_nothing_is_visible_before_it_is_published(self, store: ObjectStore, s3: S3Client) -> None:
        with upload_to(store) as upload:
            upload.write(BLOCK * 11)
            upload.finish()
            assert store.head(BUCKET, KEY) is None
            upload.publish(Condition.absent())
        assert content(s3) == BLOCK * 11

    def test_finishing_twice_sends_nothing_twice(self, store: ObjectStore, s3: S3Client) -> None:
        sent = record(s3)
        with upload_to(store) as upload:
            upload.write(BLOCK * 6)
            upload.finish()
            upload.finish()
            upload.publish(Condition.none())
        assert operations(sent).count("UploadPart") == 2


class TestPublish:
    @pytest.mark.parametrize("size", [1, PART + 1], ids=["single", "multipart"])
    def test_an_object_that_stands_wins_and_nothing_is_left(self, store: ObjectStore, s3: S3Client, size: int) -> None:
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"theirs")
        with upload_to(store) as upload:
            upload.write(bytes(size))
            with pytest.raises(errors.PreconditionFailedError):
                upload.publish(Condition.absent())
        assert content(s3) == b"theirs"
        assert uploads(s3) == []

    @pytest.mark.parametrize("size", [1, PART + 1], ids=["single", "multipart"])
    def test_it_can_be_tried_again_under_another_condition(self, store: ObjectStore, s3: S3Client, size: int) -> None:
        etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"theirs")["ETag"].strip('"')
        with upload_to(store) as upload:
            upload.write(bytes(size))
            with pytest.raises(errors.PreconditionFailedError):
                upload.publish(Condition.absent())
            upload.publish(Condition.matches(etag))
        assert content(s3) == bytes(size)

    @pytest.mark.parametrize(
        ("operation", "size", "repeated"),
        [
            ("PutObject", 1, (412, "PreconditionFailed")),
            ("CompleteMultipartUpload", PART + 1, (412, "PreconditionFailed")),
            ("CompleteMultipartUpload", PART + 1, (404, "NoSuchUpload")),
        ],
        ids=["single", "multipart", "multipart, gone"],
    )
    def test_a_lost_answer_is_a_success(
        self, store: ObjectStore, s3: S3Client, *, operation: str, size: int, repeated: tuple[int, str]
    ) -> None:
        lose_answer(s3, operation)
        answer(s3, operation, None, repeated)
        with upload_to(store) as upload:
            upload.write(bytes(size))
            sent = record(s3)
            stored = upload.publish(Condition.absent())
        assert [each for each in operations(sent) if each != "UploadPart"] == [operation] * 2 + ["HeadObject"]
        assert (stored.size, f'"{stored.etag}"') == (size, s3.head_object(Bucket=BUCKET, Key=KEY)["ETag"])

    @pytest.mark.parametrize(
        ("status", "code", "expected"),
        [
            (409, "ConditionalRequestConflict", errors.ConflictError),
            (412, "PreconditionFailed", errors.PreconditionFailedError),
            (404, "NoSuchUpload", errors.PreconditionFailedError),
            (404, "NoSuchKey", errors.PreconditionFailedError),
        ],
        ids=["conflict", "lost", "upload aborted by another", "object deleted"],
    )
    def test_a_complete_that_fails_leaves_no_upload(
        self, store: ObjectStore, s3: S3Client, *, status: int, code: str, expected: type[Exception]
    ) -> None:
        with upload_to(store) as upload:
            upload.write(bytes(PART))
            upload.finish()
            answer(s3, "CompleteMultipartUpload", (status, code))
            before(s3, "HeadObject", 1, lambda: s3.delete_object(Bucket=BUCKET, Key=KEY))
            with pytest.raises(expected):
                upload.publish(Condition.matches("e"))
        assert uploads(s3) == []

    @pytest.mark.parametrize("size", [0, 1, PART + 1], ids=["empty", "single", "multipart"])
    @pytest.mark.parametrize("over", ["published", "aborted"])
    def test_what_is_over_cannot_be_published(self, store: ObjectStore, s3: S3Client, size: int, over: str) -> None:
        upload = upload_to(store)
        upload.write(bytes(size))
        upload.publish(Condition.none()) if over == "published" else upload.abort()
        sent = record(s3)
        with pytest.raises(RuntimeError, match="published or aborted before"):
            upload.publish(Condition.none())
        assert sent == []


class TestAbort:
    @pytest.mark.parametrize("blocks", [0, 1, 5, 12])
    def test_leaving_without_publishing_leaves_nothing(self, store: ObjectStore, s3: S3Client, blocks: int) -> None:
        with ThreadPoolExecutor(2) as threads, upload_to(store, threads) as upload:
            upload.write(BLOCK * blocks)
        upload.abort()
        assert uploads(s3) == []
        assert store.head(BUCKET, KEY) is None

    def test_an_error_inside_comes_out_as_it_is(self, store: ObjectStore, s3: S3Client) -> None:
        answer(s3, "AbortMultipartUpload", (403, "AccessDenied"))
        sent = record(s3)

        def convert() -> None:
            with upload_to(store) as upload:
                upload.write(BLOCK * 6)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            convert()
        assert operations(sent)[-1] == "AbortMultipartUpload"

    def test_it_waits_for_parts_on_their_way(self) -> None:
        sink = Sink()
        with upload_to(cast("ObjectStore", sink), UnderWay(), part_bytes=10, parts_in_flight=3) as upload:
            upload.write(bytes(30))
        assert sink.log == ["create", "part 1", "part 2", "part 3", "abort"]

    @pytest.mark.parametrize("before", [0, 2 * PART], ids=["before a part", "after some"])
    def test_what_is_written_later_is_dropped(self, store: ObjectStore, s3: S3Client, before: int) -> None:
        """As by Arrow's Parquet writer, which writes a footer when it is freed."""
        upload = upload_to(store)
        upload.write(bytes(before))
        upload.abort()
        sent = record(s3)
        upload.write(bytes(2 * PART))
        assert operations(sent) == []
        assert uploads(s3) == []

    def test_a_part_that_is_not_waited_for_any_longer_is_ended_before_the_abort(
        self, store: ObjectStore, s3: S3Client
    ) -> None:
        """Or it would arrive after that, and stay, and cost."""
        sent = record(s3)
        ended: list[list[str]] = []

        class Late(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002 -- as Future
                raise errors.DeadlineError

            def cancel(self) -> bool:
                return False

            def exception(self, timeout: float | None = None) -> None:  # noqa: ARG002 -- as Future
                ended.append(operations(sent))

        class Threads(InlineExecutor):
            def submit(self, *_: Any, **__: Any) -> Future[Any]:
                return Late()

        with pytest.raises(errors.DeadlineError), upload_to(store, Threads(), parts_in_flight=1) as upload:
            upload.write(BLOCK * 10)
        assert ended == [["CreateMultipartUpload"]]
        assert operations(sent) == ["CreateMultipartUpload", "AbortMultipartUpload"]

    def test_one_without_all_of_its_parts_is_never_published(self, store: ObjectStore, s3: S3Client) -> None:
        with upload_to(store) as upload:
            upload.write(BLOCK * 5)
            answer(s3, "UploadPart", (403, "AccessDenied"))
            upload.write(BLOCK)
            for _ in range(2):
                with pytest.raises(errors.AccessDeniedError):
                    upload.publish(Condition.none())
        assert store.head(BUCKET, KEY) is None
        assert uploads(s3) == []

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_a_part_that_fails_raises_and_leaves_nothing(self, store: ObjectStore, s3: S3Client, number: int) -> None:
        answer(s3, "UploadPart", *[None] * (number - 1), (403, "AccessDenied"))

        def convert(executor: Executor) -> None:
            with upload_to(store, executor) as upload:
                for _ in range(12):
                    upload.write(BLOCK)
                upload.publish(Condition.absent())

        with ThreadPoolExecutor(2) as threads, pytest.raises(errors.AccessDeniedError, match="UploadPart"):
            convert(threads)
        assert uploads(s3) == []
        assert store.head(BUCKET, KEY) is None


class TestStrays:
    def test_all_at_exactly_this_key_are_aborted(self, store: ObjectStore, s3: S3Client) -> None:
        for key in (KEY, KEY + ".more", KEY, "other", KEY[:-1]):
            s3.create_multipart_upload(Bucket=BUCKET, Key=key)
        assert abort_stray_uploads(store, BUCKET, KEY) == 2
        assert sorted(uploads(s3)) == ["other", KEY[:-1], KEY + ".more"]
        assert abort_stray_uploads(store, BUCKET, KEY) == 0

    def test_one_that_goes_by_itself_is_as_good(self, store: ObjectStore, s3: S3Client) -> None:
        upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
        answer(s3, "AbortMultipartUpload", (404, "NoSuchUpload"))
        assert abort_stray_uploads(store, BUCKET, KEY) == 1
        store.abort_upload(BUCKET, KEY, upload_id)


class Sink:
    """A store that keeps the parts as they come: nothing here depends on S3, only on where the bytes are cut."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.log: list[str] = []

    def create_upload(self, *_: object, **__: object) -> str:
        self.log.append("create")
        return "upload"

    def upload_part(self, _bucket: str, _key: str, _upload_id: str, number: int, body: bytes) -> str:
        assert isinstance(body, bytes)
        assert number not in self.parts
        self.parts[number] = body
        self.log.append(f"part {number}")
        return str(number)

    def abort_upload(self, *_: object) -> None:
        self.log.append("abort")

    def complete_upload(self, _bucket: str, _key: str, _upload_id: str, etags: list[str], **_: object) -> StoredObject:
        assert etags == [str(number) for number in sorted(self.parts)]
        return StoredObject("etag", None)

    def put(self, _bucket: str, _key: str, body: bytes, **_: object) -> StoredObject:
        assert isinstance(body, bytes)
        self.parts[0] = body
        return StoredObject("etag", None)


class UnderWay(Executor):
    """Has begun everything, so that it cannot be cancelled, and ends it when somebody waits for it."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return _UnderWay(lambda: fn(*args, **kwargs))


class _UnderWay(Future[T]):
    def __init__(self, task: Callable[[], T]) -> None:
        super().__init__()
        self._task = task
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> T:
        self._end()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._end()
        return super().exception(timeout)

    def _end(self) -> None:
        if not self.done():
            self.set_result(self._task())


def parts_of(pieces: list[bytes], *, part_bytes: int, kind: str = "bytes") -> list[bytes]:
    sink = Sink()
    with upload_to(cast("ObjectStore", sink), part_bytes=part_bytes) as upload:
        for piece in pieces:
            data = bytearray(piece)
            kinds: dict[str, Buffer] = {"bytes": piece, "bytearray": data, "memoryview": memoryview(data)}
            upload.write(kinds[kind])
            data[:] = b"\xff" * len(data)  # it is the caller's again
        upload.publish(Condition.none())
    return [body for _, body in sorted(sink.parts.items())]


class TestCuts:
    @given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=10), st.integers(1, 20))
    def test_they_depend_on_the_count_of_bytes_alone(self, data: bytes, at: list[int], part_bytes: int) -> None:
        bounds = [0, *sorted(min(each, len(data)) for each in at), len(data)]
        pieces = [data[start:stop] for start, stop in pairwise(bounds)]
        expected = [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)] or [b""]
        for kind in ("bytes", "bytearray", "memoryview"):
            assert parts_of(pieces, part_bytes=part_bytes, kind=kind) == expected

    def test_they_grow_so_that_ten_thousand_parts_hold_five_terabytes(self) -> None:
        data = bytes(3 * PARTS_OF_ONE_SIZE + 2 * PARTS_OF_ONE_SIZE)
        sizes = [len(part) for part in parts_of([data], part_bytes=1)]
        assert sizes == [1] * PARTS_OF_ONE_SIZE + [2] * PARTS_OF_ONE_SIZE + [4] * (PARTS_OF_ONE_SIZE // 2)
        upload = upload_to(cast("ObjectStore", Sink()), part_bytes=8 << 20)
        total = 0
        for number in range(10_000):
            upload._etags = [""] * number
            size = upload._next_part_bytes()
            assert size <= PART_BYTES_MAX
            total += size
        assert total >= 5 * 1024**4

    @pytest.mark.parametrize("parts_in_flight", [1, 2, 5])
    def test_no_more_parts_are_on_their_way_than_allowed(self, parts_in_flight: int) -> None:
        executor = InlineExecutor()
        upload = upload_to(cast("ObjectStore", Sink()), executor, part_bytes=10, parts_in_flight=parts_in_flight)
        for _ in range(100):
            upload.write(bytes(7))
        assert executor.waiting_max == parts_in_flight
        upload.publish(Condition.none())
        assert executor.waiting == 0

"""One object going out: a single PutObject while it is small, a multipart upload once it is not.

An object appears when it is published and not before: leaving an upload without that leaves nothing behind.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from csv_transcode.errors import StoreError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from typing_extensions import Buffer

    from csv_transcode.s3.store import Condition, ObjectStore, StoredObject

PART_BYTES: Final = 8 * 1024 * 1024
PARTS_IN_FLIGHT: Final = 2
# S3 takes 10,000 parts of at most 5 GiB. Sizes that double after every 1,000 parts stay small as long as anything can
# be large in practice (8 MiB up to 8 GB, 64 MiB at 100 GB), and reach 8.6 TB from 8 MiB.
PARTS_OF_ONE_SIZE: Final = 1_000
PART_BYTES_MAX: Final = 5 * 1024**3


class ObjectUpload:
    """An object being written, for one thread; leaving it as a context without ``publish`` aborts it.

    In memory are at most ``parts_in_flight + 1`` parts and what ``write`` was last given; while a part is put
    together, one more.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        key: str,
        *,
        attempt_id: str,
        marker: str,
        content_type: str,
        executor: Executor,
        part_bytes: int = PART_BYTES,
        parts_in_flight: int = PARTS_IN_FLIGHT,
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.bytes_written = 0
        self.upload_id: str | None = None
        self._store = store
        self._attempt_id = attempt_id
        self._marker = marker
        self._content_type = content_type
        self._executor = executor
        self._part_bytes = part_bytes
        self._parts_in_flight = parts_in_flight
        self._pieces: list[bytes | memoryview] = []
        self._pieces_bytes = 0
        self._in_flight: deque[Future[str]] = deque()
        self._etags: list[str] = []
        self._over = False  # published, or aborted

    def write(self, data: Buffer) -> None:
        """Add ``data``, which the caller may change or free afterwards.

        Parts are cut by the count of bytes alone. Waits while ``parts_in_flight`` parts are on their way, and raises
        what befell an earlier one. After an abort it is dropped: Arrow's Parquet writer, when it is freed, writes a
        footer, and might begin an upload that nobody ends.
        """
        if self._over:
            return
        view = memoryview(data).cast("B")
        self.bytes_written += len(view)
        while len(view) >= (missing := self._next_part_bytes() - self._pieces_bytes):
            self._keep(view[:missing])
            self._send_part()
            view = view[missing:]
        if view:
            self._keep(view if isinstance(view.obj, bytes) else bytes(view))

    def finish(self) -> None:
        """Send what is left of a multipart upload, and wait for all of its parts; nothing is visible yet."""
        if self.upload_id is None:
            return
        if self._pieces:
            self._send_part()
        while self._in_flight:
            self._await_oldest()

    def publish(self, condition: Condition) -> StoredObject:
        """Make what was written the object, if ``condition`` holds; may be called again after it raised.

        PreconditionFailedError: it does not hold, or another writer has aborted this upload. ConflictError: everything
        must be written again, by an upload of its own.
        """
        if self._over:
            message = f"the upload to s3://{self.bucket}/{self.key} has been published or aborted before"
            raise RuntimeError(message)
        self.finish()
        stored = self._put(condition) if self.upload_id is None else self._complete(self.upload_id, condition)
        self._over = True
        self._pieces.clear()
        return stored

    def abort(self) -> None:
        """Drop what was written, unless it is published already; may be called again.

        What S3 says against it is not raised, lest it hide why: an upload that stays is aborted by the next conversion
        that commits at this key.
        """
        if self._over:
            return
        self._over = True
        running = [part for part in self._in_flight if not part.cancel()]
        for part in running:  # a part that arrives after the abort would stay, and cost
            part.exception()
        self._in_flight.clear()
        self._pieces.clear()
        if self.upload_id is not None:
            with suppress(StoreError):
                self._store.abort_upload(self.bucket, self.key, self.upload_id)

    def __enter__(self) -> Self:
        """Return the upload itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Abort what has not been published."""
        self.abort()

    def _next_part_bytes(self) -> int:
        parts = len(self._etags) + len(self._in_flight)
        return min(self._part_bytes << parts // PARTS_OF_ONE_SIZE, PART_BYTES_MAX)

    def _keep(self, piece: bytes | memoryview) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)

    def _send_part(self) -> None:
        if self.upload_id is None:
            self.upload_id = self._store.create_upload(
                self.bucket,
                self.key,
                attempt_id=self._attempt_id,
                marker=self._marker,
                content_type=self._content_type,
            )
        if len(self._in_flight) >= self._parts_in_flight:
            self._await_oldest()
        number = len(self._etags) + len(self._in_flight) + 1
        body = b"".join(self._pieces)
        self._pieces, self._pieces_bytes = [], 0
        self._in_flight.append(
            self._executor.submit(self._store.upload_part, self.bucket, self.key, self.upload_id, number, body)
        )

    def _await_oldest(self) -> None:
        etag = self._in_flight[0].result()  # where that raises, the part may still be on its way: abort has to know
        self._in_flight.popleft()
        self._etags.append(etag)

    def _put(self, condition: Condition) -> StoredObject:
        return self._store.put(
            self.bucket,
            self.key,
            b"".join(self._pieces),
            condition=condition,
            attempt_id=self._attempt_id,
            marker=self._marker,
            content_type=self._content_type,
        )

    def _complete(self, upload_id: str, condition: Condition) -> StoredObject:
        return self._store.complete_upload(
            self.bucket, self.key, upload_id, self._etags, condition=condition, attempt_id=self._attempt_id
        )


def abort_stray_uploads(store: ObjectStore, bucket: str, key: str) -> int:
    """Abort every multipart upload that stands at exactly ``key``, and return how many there were."""
    strays = [upload.upload_id for upload in store.list_uploads(bucket, prefix=key) if upload.key == key]
    for upload_id in strays:
        store.abort_upload(bucket, key, upload_id)
    return len(strays)

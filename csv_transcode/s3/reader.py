"""One object as a stream of bytes: ranges pinned to its ETag, read ahead, and asked again where an answer breaks off.

botocore repeats requests but not the reading of their bodies, so that is done here: a part keeps what it has and asks
for the rest. All answers have the ETag of the first, so the bytes are those of one object or none.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from csv_transcode.errors import RetryableStoreError, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from concurrent.futures import Executor, Future

    from csv_transcode.s3.store import GotObject, ObjectStore

PART_BYTES: Final = 8 * 1024 * 1024
READAHEAD_PARTS: Final = 2
PIECE_BYTES_MAX: Final = 1024 * 1024  # what one read takes, and so what a broken answer can lose
ANSWERS_MAX: Final = 5  # to the requests for one part


def open_source(
    store: ObjectStore,
    bucket: str,
    key: str,
    *,
    size_hint: int | None,
    if_none_match: str | None,
    part_bytes: int = PART_BYTES,
    readahead: int = READAHEAD_PARTS,
    executor: Executor,
) -> Source | None:
    """Open the object at ``key`` with one GET; None where it still has the ETag ``if_none_match``.

    An object of more than ``part_bytes`` is read in parts, of which ``readahead`` (at least 1) are on their way in
    ``executor`` while one more is being used: no more than ``readahead + 1`` parts are in memory. A smaller one is
    read by the first GET alone and kept. ``size_hint`` only chooses the first request, and may be wrong: without a
    range the SDK can verify the checksum of the whole.
    """
    ranged = size_hint is not None and size_hint > part_bytes
    got = store.get(bucket, key, if_none_match=if_none_match, byte_range=(0, part_bytes) if ranged else None)
    if got is None:
        return None
    return Source(store, bucket, key, got, part_bytes=part_bytes, readahead=readahead, executor=executor)


class Source:
    """An open object: one version of it, as often as it is read. Leaving it as a context closes it."""

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        key: str,
        got: GotObject,
        *,
        part_bytes: int,
        readahead: int,
        executor: Executor,
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.etag = got.etag
        self.size = got.size
        self.version_id = got.version_id
        self._store = store
        self._first: GotObject | None = got
        self._whole: list[bytes] | None = None
        self._part_bytes = part_bytes
        self._readahead = readahead
        self._executor = executor

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the object's bytes from the start, in pieces of at most PIECE_BYTES_MAX, none of them empty.

        May be called again once the iterator before has been left. PreconditionFailedError: the object has changed
        since it was opened. RetryableStoreError: a part broke off ANSWERS_MAX times.
        """
        if self.size > self._part_bytes:
            yield from self._read_ahead()
        else:
            if self._whole is None:
                self._whole = self._read_part(0, self.size, self._take_first())
            yield from self._whole

    def close(self) -> None:
        """Drop the connection of an answer that was not read, and the bytes that were kept."""
        if first := self._take_first():
            first.body.close()
        self._whole = None

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _read_ahead(self) -> Iterator[bytes]:
        """Yield the pieces of all parts in order, with the next parts on their way."""
        parts = map(self._submit, range(0, self.size, self._part_bytes))
        waiting: deque[Future[list[bytes]]] = deque()
        try:
            waiting.extend(islice(parts, self._readahead))
            while waiting:
                pieces = waiting.popleft().result()
                waiting.extend(islice(parts, 1))
                yield from pieces
        finally:
            for part in waiting:
                part.cancel()

    def _submit(self, start: int) -> Future[list[bytes]]:
        stop = min(start + self._part_bytes, self.size)
        return self._executor.submit(self._read_part, start, stop, self._take_first() if start == 0 else None)

    def _take_first(self) -> GotObject | None:
        """Return the answer that opened the source, once: its body cannot be read again."""
        first, self._first = self._first, None
        return first

    def _read_part(self, start: int, stop: int, got: GotObject | None) -> list[bytes]:
        """Return the bytes from ``start`` up to ``stop``; ``got`` is an answer that begins with them."""
        part = _Part(start, stop)
        for _ in range(ANSWERS_MAX):
            if part.take(got or self._ask(part.offset, stop)):
                return part.pieces
            got = None
        message = f"GetObject s3://{self.bucket}/{self.key}: bytes {start} to {stop} broke off {ANSWERS_MAX} times"
        raise RetryableStoreError(message) from part.failure

    def _ask(self, start: int, stop: int) -> GotObject:
        """Ask for a range of this very object, or for the whole of it, which comes with a checksum."""
        byte_range = None if (start, stop) == (0, self.size) else (start, stop)
        got = self._store.get(self.bucket, self.key, if_match=self.etag, byte_range=byte_range)
        if got.start != start:
            got.body.close()
            message = f"GetObject s3://{self.bucket}/{self.key}: asked for byte {start}, answered from {got.start}"
            raise StoreError(message)
        return got


class _Part:
    """The bytes of one range, gathered from as many answers as it takes."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.offset = start
        self.pieces: list[bytes] = []
        self.failure: RetryableStoreError | None = None

    def take(self, got: GotObject) -> bool:
        """Add what ``got`` brings, and close it; False where bytes are still missing."""
        to_its_end = got.content_length == self.stop - self.offset
        try:
            self._add(got)
            if to_its_end:
                got.body.read1(1)  # there is nothing more, and the SDK verifies what there was
        except RetryableStoreError as error:
            self.failure = error
            if self.offset == self.stop:  # every byte came, but not as it was sent
                self.pieces, self.offset = [], self.start
        finally:
            got.body.close()
        return self.offset == self.stop

    def _add(self, got: GotObject) -> None:
        while missing := self.stop - self.offset:
            piece = got.body.read1(min(missing, PIECE_BYTES_MAX))
            if not piece:
                message = f"the answer ended {missing} bytes early"
                raise RetryableStoreError(message)
            self.pieces.append(piece)
            self.offset += len(piece)

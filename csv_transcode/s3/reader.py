"""One object as a stream of bytes: ranges pinned to its ETag, read ahead, and asked again where an answer breaks off.

botocore repeats requests but not the reading of their bodies, so that is done here: what came is kept, and the rest is
asked for, after a random while. All answers have the ETag of the first, so the bytes are those of one object or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from csv_transcode.errors import PreconditionFailedError, RetryableStoreError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Executor

    from csv_transcode.s3.store import GotObject, ObjectStore

PART_BYTES: Final = 8 * 1024 * 1024  # what is read ahead
RANGE_PARTS: Final = 8  # what one request asks for: in ranges of one part, a GET took a server half as much CPU again
PIECE_BYTES_MAX: Final = 1024 * 1024  # what one read takes, and so what a broken answer can lose
ANSWERS_MAX: Final = 5  # that may break off within one part


def open_source(
    store: ObjectStore,
    bucket: str,
    key: str,
    *,
    size_hint: int | None,
    if_none_match: str | None,
    part_bytes: int = PART_BYTES,
    range_parts: int = RANGE_PARTS,
    executor: Executor,
) -> Source | None:
    """Open the object at ``key`` with one GET; None where it still has the ETag ``if_none_match``.

    An object of more than ``part_bytes`` is read in parts, one being used while ``executor`` reads the next: no more
    than two are in memory. One request asks for ``range_parts`` of them. A smaller object is read by the first GET
    alone and kept. ``size_hint`` only chooses the first request, and may be wrong: without a range the SDK can verify
    the checksum of the whole.
    """
    range_bytes = range_parts * part_bytes
    ranged = size_hint is not None and size_hint > range_bytes
    got = store.get(bucket, key, if_none_match=if_none_match, byte_range=(0, range_bytes) if ranged else None)
    if got is None:
        return None
    return Source(store, bucket, key, got, part_bytes=part_bytes, range_bytes=range_bytes, executor=executor)


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
        range_bytes: int,
        executor: Executor,
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.etag = got.etag
        self.size = got.size
        self.version_id = got.version_id
        self.metadata = got.metadata
        self._store = store
        self._first: GotObject | None = got
        self._whole: list[bytes] | None = None
        self._part_bytes = part_bytes
        self._range_bytes = range_bytes
        self._executor = executor

    def chunks(self) -> Generator[bytes, None, None]:
        """Yield the object's bytes from the start, in pieces of at most PIECE_BYTES_MAX, none of them empty.

        May be called again once the iterator before has been left. PreconditionFailedError: the object has changed
        since it was opened. RetryableStoreError: ANSWERS_MAX answers broke off within one part, or a checksum says that
        bytes which have been used already were not what was sent.
        """
        if self.size > self._part_bytes:
            yield from self._read_ahead()
        else:
            if self._whole is None:
                self._whole = self._stream().read(self.size)
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
        """Yield the pieces of all parts in order, with the next part on its way."""
        stream = self._stream()
        part = self._executor.submit(stream.read, self._part_bytes)
        try:
            for start in range(0, self.size, self._part_bytes):
                pieces = part.result()
                following = start + self._part_bytes
                if following < self.size:
                    part = self._executor.submit(stream.read, min(following + self._part_bytes, self.size))
                for index in range(len(pieces)):
                    piece, pieces[index] = pieces[index], b""  # who takes it may let go of it
                    yield piece
        finally:
            part.cancel()
            part.add_done_callback(lambda _: stream.close())  # now, or once whoever still reads has finished

    def _stream(self) -> _Stream:
        first = self._take_first()
        return _Stream(f"s3://{self.bucket}/{self.key}", self._ask, self._store.rest, first, self._range_end(0))

    def _take_first(self) -> GotObject | None:
        """Return the answer that opened the source, once: its body cannot be read again."""
        first, self._first = self._first, None
        return first

    def _range_end(self, start: int) -> int:
        """Return where the range that holds byte ``start`` ends."""
        return min((start // self._range_bytes + 1) * self._range_bytes, self.size)

    def _ask(self, start: int) -> tuple[GotObject, int]:
        """Ask for what is left of a range of this very object; return the answer, and where it is to end.

        The whole of it is asked for without a range: that comes with a checksum.
        """
        stop = self._range_end(start)
        byte_range = None if (start, stop) == (0, self.size) else (start, stop)
        got = self._store.get(self.bucket, self.key, if_match=self.etag, byte_range=byte_range)
        if got.start != start:
            got.body.close()
            message = f"GetObject s3://{self.bucket}/{self.key}: asked for byte {start}, answered from {got.start}"
            raise StoreError(message)
        if got.size != self.size:  # the answer that opened it was cut short, its length too
            got.body.close()
            message = f"GetObject s3://{self.bucket}/{self.key}: {got.size} bytes, and {self.size} when it was opened"
            raise PreconditionFailedError(message)
        return got, stop


class _Stream:
    """The bytes of one object, in order, from as many answers as it takes; for one thread at a time."""

    def __init__(
        self,
        name: str,
        ask: Callable[[int], tuple[GotObject, int]],
        rest: Callable[[int], None],
        first: GotObject | None,
        end: int,
    ) -> None:
        self._name = name
        self._ask = ask
        self._rest = rest
        self._answer = first
        self._begin = 0  # of the answer
        self._end = end  # of what is wanted of it
        self._offset = 0

    def read(self, stop: int) -> list[bytes]:
        """Return the bytes from where the last read ended up to ``stop``, in pieces."""
        start = self._offset
        pieces: list[bytes] = []
        broken = 0
        while self._offset < stop or self._answer_is_used_up():
            if self._answer is None:
                self._begin = self._offset
                self._answer, self._end = self._ask(self._offset)
            try:
                if self._answer_is_used_up():
                    self._finish(self._answer)
                else:
                    pieces.append(self._piece(self._answer, min(stop, self._end)))
            except RetryableStoreError as error:
                self.close()
                broken += 1
                if broken == ANSWERS_MAX:
                    message = f"GetObject {self._name}: bytes {start} to {stop} broke off {ANSWERS_MAX} times"
                    raise RetryableStoreError(message) from error
                if self._offset == self._end:  # every byte came, but not as it was sent
                    if self._begin < start:  # and some are in use
                        raise
                    pieces, self._offset = [], start
                self._rest(broken - 1)
        return pieces

    def close(self) -> None:
        """Drop the connection of an answer that brings more than was read."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.body.close()

    def _answer_is_used_up(self) -> bool:
        return self._answer is not None and self._offset == self._end

    def _piece(self, answer: GotObject, stop: int) -> bytes:
        missing = stop - self._offset
        piece = answer.body.read1(min(missing, PIECE_BYTES_MAX))
        if not piece:
            message = f"the answer ended {missing} bytes early"
            raise RetryableStoreError(message)
        self._offset += len(piece)
        return piece

    def _finish(self, answer: GotObject) -> None:
        """Let go of an answer that brought all that is wanted of it."""
        if answer.content_length == self._end - self._begin:
            answer.body.read1(1)  # there is nothing more, and the SDK verifies what there was
        self.close()

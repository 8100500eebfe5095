"""A source to be read from its beginning to its end: a local file, or one object in S3."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from csv_transcode.cli.screen import MEGABYTE
from csv_transcode.errors import ObjectNotFoundError, PreconditionFailedError
from csv_transcode.local import read_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from contextlib import ExitStack

    from csv_transcode.cli.options import Asked
    from csv_transcode.cli.screen import Screen
    from csv_transcode.manifest import SourceRef
    from csv_transcode.runtime import Runtime
    from csv_transcode.s3.reader import Source
    from csv_transcode.s3.store import ObjectStore
    from csv_transcode.settings import Settings

HEADS_MAX: Final = 1_000  # of keys given one by one: more of them are converted without a total
LISTED_SAID: Final = 10_000
WHOLE_BYTES_MAX: Final = 16 << 20  # of an output: a larger one is read in ranges
AHEAD_BYTES: Final = 4 << 20


def open_chunks(
    source: tuple[str, str] | Path, settings: Settings, runtime: Runtime, stack: ExitStack
) -> tuple[Callable[[], Iterator[bytes]], int]:
    """Return (what opens the source's bytes, how many there are)."""
    if isinstance(source, Path):
        return lambda: read_chunks(source), source.stat().st_size
    from csv_transcode.s3.reader import open_source  # noqa: PLC0415 -- the S3 client, which files do not need

    pool = stack.enter_context(runtime.executor(runtime.cores, "io"))
    store, part_bytes = store_of(settings, runtime), settings.part_bytes
    opened = open_source(store, *source, size_hint=None, if_none_match=None, part_bytes=part_bytes, executor=pool)
    assert opened is not None  # noqa: S101 -- only If-None-Match makes it None
    stack.callback(opened.close)
    return opened.chunks, opened.size


def store_of(settings: Settings, runtime: Runtime) -> ObjectStore:
    """Return the store for one object at a time."""
    from csv_transcode.s3.client import make_client  # noqa: PLC0415 -- the S3 client, as above
    from csv_transcode.s3.store import ObjectStore  # noqa: PLC0415

    client = make_client(
        connections_max=runtime.cores + 1,
        retries_max=settings.retries_max,
        connect_timeout_seconds=settings.connect_timeout_seconds,
        read_timeout_seconds=settings.read_timeout_seconds,
        retry_budget=settings.retry_budget,
        runtime=runtime,
    )
    return ObjectStore(client, runtime, owners=settings.owners)


def require_object(source: tuple[str, str], store: ObjectStore) -> None:
    """Refuse a key where nothing stands before a failed conversion is made of it: it may lack a prefix's slash."""
    bucket, key = source
    if store.head(bucket, key) is None:
        below = next(store.list_objects(bucket, f"{key}/"), None)
        hint = f"; for every object under a prefix, write s3://{bucket}/{key}/" if below else ""
        message = f"there is no such object{hint}"
        raise ObjectNotFoundError(message)


def bytes_of(asked: Asked, store: ObjectStore, screen: Screen) -> int:
    """Return how many bytes the sources have that are asked for, as far as a listing says; for a progress bar."""
    settings = asked.settings
    if asked.keys is not None:
        heads = (store.head(settings.input_bucket, key) for key in asked.keys[:HEADS_MAX])
        return sum(head.size or 0 for head in heads if head) if len(asked.keys) <= HEADS_MAX else 0
    total = 0
    for number, found in enumerate(store.list_objects(settings.input_bucket, settings.prefix), start=1):
        total += 0 if settings.key_map.skip_reason(found.key) else found.size
        if number % LISTED_SAID == 0:
            screen.move(f"listed {number:,} objects, {total / MEGABYTE:,.0f} MB of sources")
    return total


class ObjectReader:
    """Objects of one version, read as streams and as files, in bounded memory; what has changed raises."""

    def __init__(self, store: ObjectStore, settings: Settings, executor: Executor) -> None:
        self._store = store
        self._settings = settings
        self._executor = executor

    def source(self, ref: SourceRef, version_id: str | None) -> Source:
        """Return the source that ``ref`` names: the newest version, or that with ``version_id``."""
        store = self._store if version_id is None else self._store.of_version(version_id)
        return self._open(store, ref.bucket, ref.key, ref.etag)

    def chunks(self, bucket: str, key: str, etag: str) -> Iterator[bytes]:
        """Yield the bytes of the object that has this ETag."""
        with self._open(self._store, bucket, key, etag) as opened:
            yield from opened.chunks()

    def file(self, bucket: str, key: str, etag: str, size: int) -> IO[bytes]:
        """Return the object that has this ETag as a file: small ones in memory, of large ones what is asked for."""
        if size <= WHOLE_BYTES_MAX:
            return io.BytesIO(b"".join(self.chunks(bucket, key, etag)))
        return io.BufferedReader(_RangedObject(self._store, bucket, key, etag, size), AHEAD_BYTES)

    def _open(self, store: ObjectStore, bucket: str, key: str, etag: str) -> Source:
        from csv_transcode.s3.reader import open_source  # noqa: PLC0415 -- as above

        opened = open_source(
            store,
            bucket,
            key,
            size_hint=None,
            if_none_match=None,
            part_bytes=self._settings.part_bytes,
            executor=self._executor,
        )
        assert opened is not None  # noqa: S101 -- only If-None-Match makes it None
        if opened.etag != etag:
            opened.close()
            message = f"s3://{bucket}/{key} has the ETag {opened.etag} by now, {etag} was expected"
            raise PreconditionFailedError(message)
        return opened


class _RangedObject(io.RawIOBase):
    """One version of an object as a file that can be read anywhere: a request a read."""

    def __init__(self, store: ObjectStore, bucket: str, key: str, etag: str, size: int) -> None:
        self._get = partial(store.get, bucket, key, if_match=etag)
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 -- a writable buffer
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        body = self._get(byte_range=(self._at, self._at + wanted)).body
        try:
            data = body.read(wanted)
        finally:
            body.close()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

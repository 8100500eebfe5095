"""A source to be read from its beginning to its end: a local file, or one object in S3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from csv_transcode.cli.screen import MEGABYTE
from csv_transcode.errors import ObjectNotFoundError
from csv_transcode.local import read_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from csv_transcode.cli.options import Asked
    from csv_transcode.cli.screen import Screen
    from csv_transcode.runtime import Runtime
    from csv_transcode.s3.store import ObjectStore
    from csv_transcode.settings import Settings

HEADS_MAX: Final = 1_000  # of keys given one by one: more of them are converted without a total
LISTED_SAID: Final = 10_000


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

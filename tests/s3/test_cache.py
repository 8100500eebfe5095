from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from csv_transcode import errors
from csv_transcode.runtime import Runtime
from csv_transcode.s3.cache import ObjectCache
from csv_transcode.s3.store import ObjectStore
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.s3.faults import end_after, record, spoil_bodies

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def put(s3: S3Client, key: str, body: bytes, bucket: str = INPUT_BUCKET) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=body)


def cache_of(s3: S3Client, objects_max: int = 3, bytes_max: int = 100) -> ObjectCache:
    return ObjectCache(ObjectStore(s3, Runtime()), Runtime(), objects_max, bytes_max)


def kept(s3: S3Client, cache: ObjectCache, *keys: str) -> list[str]:
    """Return those of ``keys`` that the cache has, which asking for them tells."""
    known = []
    for key in keys:
        sent = record(s3)
        cache.read(INPUT_BUCKET, key)
        if "if-none-match" in sent[0].headers:
            known.append(key)
    return known


def test_an_unchanged_object_is_one_conditional_request(s3: S3Client) -> None:
    put(s3, "a", b"content")
    cache = cache_of(s3)
    assert cache.read(INPUT_BUCKET, "a") == b"content"
    sent = record(s3)
    statuses: list[int] = []
    s3.meta.events.register("after-call.s3", lambda http_response, **_: statuses.append(http_response.status_code))
    assert cache.read(INPUT_BUCKET, "a") == b"content"
    etag = s3.head_object(Bucket=INPUT_BUCKET, Key="a")["ETag"]
    assert sent[0].headers["if-none-match"] == etag
    assert statuses[0] == 304


def test_a_changed_object_is_read_anew_and_kept_in_its_place(s3: S3Client) -> None:
    cache = cache_of(s3)
    for body in (b"one", b"two", b"three", b"one"):
        put(s3, "a", body)
        assert cache.read(INPUT_BUCKET, "a") == body
    assert cache._bytes == len(b"one")


def test_the_same_key_of_another_bucket_is_another_object(s3: S3Client) -> None:
    put(s3, "a", b"in")
    put(s3, "a", b"out", OUTPUT_BUCKET)
    cache = cache_of(s3)
    assert [cache.read(bucket, "a") for bucket in (INPUT_BUCKET, OUTPUT_BUCKET, INPUT_BUCKET)] == [b"in", b"out", b"in"]


def test_the_least_recently_read_goes_first(s3: S3Client) -> None:
    for key in "abcd":
        put(s3, key, b"content")
    cache = cache_of(s3)
    for key in "abcad":
        cache.read(INPUT_BUCKET, key)
    assert kept(s3, cache, "a", "c", "d") == ["a", "c", "d"]
    assert kept(s3, cache, "b") == []


def test_it_is_bounded_in_bytes(s3: S3Client) -> None:
    for key, size in {"a": 40, "b": 40, "c": 30, "large": 101, "full": 100}.items():
        put(s3, key, b"x" * size)
    cache = cache_of(s3, objects_max=100)
    for key in ("a", "b", "c"):
        cache.read(INPUT_BUCKET, key)
    assert (sorted(name for _, name in cache._objects), cache._bytes) == (["b", "c"], 70)
    assert cache.read(INPUT_BUCKET, "large") == b"x" * 101  # never kept, and nothing goes for it
    assert kept(s3, cache, "b", "c", "large") == ["b", "c"]
    cache.read(INPUT_BUCKET, "full")
    assert (len(cache._objects), cache._bytes) == (1, 100)


def test_one_that_has_grown_beyond_all_bounds_is_kept_no_longer(s3: S3Client) -> None:
    put(s3, "a", b"small")
    cache = cache_of(s3)
    cache.read(INPUT_BUCKET, "a")
    put(s3, "a", b"x" * 101)
    assert cache.read(INPUT_BUCKET, "a") == b"x" * 101
    assert (len(cache._objects), cache._bytes) == (0, 0)


def test_none_is_kept_where_it_is_turned_off(s3: S3Client) -> None:
    put(s3, "a", b"content")
    cache = cache_of(s3, objects_max=0)
    cache.read(INPUT_BUCKET, "a")
    assert kept(s3, cache, "a") == []


def test_clearing_forgets_everything(s3: S3Client) -> None:
    put(s3, "a", b"content")
    cache = cache_of(s3)
    cache.read(INPUT_BUCKET, "a")
    cache.clear()
    assert kept(s3, cache, "a") == []
    assert cache._bytes == len(b"content")


def test_an_empty_object_is_kept_too(s3: S3Client) -> None:
    put(s3, "a", b"")
    cache = cache_of(s3)
    assert cache.read(INPUT_BUCKET, "a") == b""
    assert kept(s3, cache, "a") == ["a"]


def test_a_missing_object_raises_and_so_does_one_that_is_gone(s3: S3Client) -> None:
    put(s3, "a", b"content")
    cache = cache_of(s3)
    cache.read(INPUT_BUCKET, "a")
    s3.delete_object(Bucket=INPUT_BUCKET, Key="a")
    for key in ("a", "b"):
        with pytest.raises(errors.ObjectNotFoundError):
            cache.read(INPUT_BUCKET, key)


def test_a_body_that_breaks_off_is_not_kept(s3: S3Client) -> None:
    put(s3, "a", b"content")
    cache = cache_of(s3)
    spoil_bodies(s3, end_after(3))
    with pytest.raises(errors.RetryableStoreError):
        cache.read(INPUT_BUCKET, "a")
    assert kept(s3, cache, "a") == []
    assert cache.read(INPUT_BUCKET, "a") == b"content"


def test_many_threads_at_once_keep_within_bounds(s3: S3Client) -> None:
    for number in range(8):
        put(s3, str(number), bytes([number]) * 30)
    cache = cache_of(s3)
    start = threading.Barrier(8)

    def read(number: int) -> bool:
        start.wait(timeout=30)
        return all(cache.read(INPUT_BUCKET, str(n % 8)) == bytes([n % 8]) * 30 for n in range(number, number + 8))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(8)))
    assert len(cache._objects) <= 3
    assert cache._bytes == sum(len(content) for _, content in cache._objects.values()) <= 100

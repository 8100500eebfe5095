"""Whole objects, kept for repeated reads: bounded in number and bytes, keyed by ETag."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csv_transcode.runtime import Runtime
    from csv_transcode.s3.store import ObjectStore


class ObjectCache:
    """Reads whole objects; one that has not changed since (S3 answers 304) comes from memory, least recent out first.

    At most ``objects_max`` objects of together ``bytes_max`` bytes are kept; a larger one never is.
    """

    def __init__(self, store: ObjectStore, runtime: Runtime, objects_max: int, bytes_max: int) -> None:
        self._store = store
        self._objects_max = objects_max
        self._bytes_max = bytes_max
        self._lock = runtime.condition()
        self._objects: OrderedDict[tuple[str, str], tuple[str, bytes]] = OrderedDict()
        self._bytes = 0

    def read(self, bucket: str, key: str) -> bytes:
        """Return the object's bytes as they are now; raises StoreError where it cannot be read."""
        with self._lock:
            etag, kept = self._objects.get((bucket, key), (None, b""))
        got = self._store.get(bucket, key, if_none_match=etag)
        if got is None:
            with self._lock:
                if (bucket, key) in self._objects:
                    self._objects.move_to_end((bucket, key))
            return kept
        try:
            content = got.body.read(-1)
        finally:
            got.body.close()
        self._keep((bucket, key), got.etag, content)
        return content

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._objects.clear()
            self._bytes = 0

    def _keep(self, name: tuple[str, str], etag: str, content: bytes) -> None:
        with self._lock:
            self._bytes -= len(self._objects.pop(name, ("", b""))[1])
            if self._objects_max == 0 or len(content) > self._bytes_max:
                return
            self._objects[name] = (etag, content)
            self._bytes += len(content)
            while len(self._objects) > self._objects_max or self._bytes > self._bytes_max:
                self._bytes -= len(self._objects.popitem(last=False)[1][1])

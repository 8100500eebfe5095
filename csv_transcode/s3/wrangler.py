"""Fetching objects with awswrangler, for ``USE_WRANGLER``: the same Source, another way to its bytes.

``awswrangler.s3.download`` takes an exact key and version (``read_csv`` would take a prefix or a glob) and writes to a
buffer, which is bounded here: an object over ``bytes_max`` is refused.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.errors import (
    LimitError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RetryableStoreError,
    StoreError,
)
from csv_transcode.s3.reader import PIECE_BYTES_MAX
from csv_transcode.s3.translation import foreign_errors, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from csv_transcode.s3.store import ObjectStore, StoredObject

DOWNLOAD_BYTES_MAX: Final = 128 << 20
# awswrangler takes these out of keys, wherever they stand, and would read another object.
_LOST_FROM_KEYS: Final = ("s3://", ":accesspoint/")
_NULL_VERSION: Final = "null"  # the one version that can be overwritten


class DownloadedSource:
    """One version of one object, whole in memory."""

    def __init__(self, bucket: str, key: str, seen: StoredObject, content: memoryview) -> None:
        self.bucket = bucket
        self.key = key
        self.etag = seen.etag
        self.version_id = seen.version_id
        self.metadata = seen.metadata
        self.size = len(content)
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        """Yield the object's bytes from the start; may be asked again."""
        for start in range(0, len(self._content), PIECE_BYTES_MAX):
            yield bytes(self._content[start : start + PIECE_BYTES_MAX])

    def close(self) -> None:
        """Let go of the bytes."""
        self._content = memoryview(b"")


def download_source(
    store: ObjectStore,
    bucket: str,
    key: str,
    *,
    if_none_match: str | None,
    client: S3Client,
    bytes_max: int = DOWNLOAD_BYTES_MAX,
) -> DownloadedSource | None:
    """Download the object at ``key``; None where it still has the ETag ``if_none_match``.

    ``client`` is the one that ``store`` sends its requests by; awswrangler sends its own by it, too.

    Raises LimitError for one larger than ``bytes_max``, PreconditionFailedError for one that changed on the way, and
    StoreError for a key that awswrangler would take for another.
    """
    if any(text in key for text in _LOST_FROM_KEYS):
        message = f"awswrangler cannot name s3://{bucket}/{key}; unset USE_WRANGLER to read the object"
        raise StoreError(message)
    seen = store.head(bucket, key)
    if seen is None:
        message = f"HeadObject s3://{bucket}/{key}: there is no such object"
        raise ObjectNotFoundError(message)
    if seen.etag == if_none_match:
        return None
    if seen.size is not None and seen.size > bytes_max:
        message = (
            f"{seen.size} bytes are more than USE_WRANGLER can buffer ({bytes_max}); unset it to stream the object"
        )
        raise LimitError(message)
    pinned = None if seen.version_id == _NULL_VERSION else seen.version_id
    content = _download(client, store.owned(bucket), key, pinned)
    after = seen if pinned else store.head(bucket, key)
    if after is None or after.etag != seen.etag:
        message = f"s3://{bucket}/{key} changed while it was downloaded"
        raise PreconditionFailedError(message)
    if len(content) != seen.size:
        message = f"awswrangler.s3.download s3://{bucket}/{key}: {len(content)} bytes came, {seen.size} stand there"
        raise RetryableStoreError(message)
    return DownloadedSource(bucket, key, seen, content)


def _download(client: S3Client, owned: dict[str, Any], key: str, version_id: str | None) -> memoryview:
    import awswrangler as wr  # noqa: PLC0415 -- half a second that only USE_WRANGLER pays

    buffer = io.BytesIO()
    path = f"s3://{owned['Bucket']}/{key}"
    session: Any = _SessionOfOneClient(_AskedOnce(client, f"awswrangler.s3.download {path}"))
    options: dict[str, Any] = {"version_id": version_id} if version_id else {}
    more = {name: value for name, value in owned.items() if name != "Bucket"}  # the expected owner, for HEAD and GET
    try:
        wr.s3.download(
            path, buffer, use_threads=False, boto3_session=session, s3_additional_kwargs=more or None, **options
        )
    except foreign_errors() as error:
        raise translated(error, f"awswrangler.s3.download {path}") from error
    return buffer.getbuffer()


class _SessionOfOneClient:
    """What awswrangler asks for a client: credentials, endpoint, retries and time limits are those of the others.

    A session of awswrangler's own would take them from wherever the process has some (boto3's default session may
    have been made for another account), and not from the client that the processor was given.
    """

    def __init__(self, client: _AskedOnce) -> None:
        self._client = client

    def client(self, **_: object) -> _AskedOnce:
        """Return the one client, whatever is asked for."""
        return self._client


class _AskedOnce:
    """A client whose errors are ours as soon as they are raised.

    awswrangler asks again for what did not connect or went silent, up to six times, and sleeps by its own clock in
    between; each time the client has repeated the request as often as it may.
    """

    def __init__(self, client: S3Client, request: str) -> None:
        self._client = client
        self._request = request

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (botocore has no types)
        """Return what the client has under this name; HEAD and GET raise StoreError."""
        found = getattr(self._client, name)
        return partial(self._ask, found) if name in ("get_object", "head_object") else found

    def _ask(self, method: Callable[..., Any], **parameters: Any) -> Any:  # noqa: ANN401 (as above)
        try:
            return method(**parameters)
        except foreign_errors() as error:
            raise translated(error, self._request) from error

"""One small object by its URL, for settings that name one: before there are settings to make a processor from."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client


def fetch(url: str, bytes_max: int, owners: Mapping[str, str], client: S3Client | None = None) -> bytes:
    """Return the object at ``s3://bucket/key``, or one byte more of it than ``bytes_max``.

    ``owners`` says which bucket must be whose. Raises the errors of ``ObjectStore.get``.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    store = ObjectStore(client or make_client(connections_max=1), Runtime(), owners=owners)
    with closing(store.get(bucket, key).body) as body:
        # The second read is empty where the first had everything, and only then are length and checksum verified.
        return body.read(bytes_max) + body.read(1)

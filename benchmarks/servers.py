"""A real S3 server on loopback with two buckets, and what a benchmark does there besides converting."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import boto3

from tests.seaweed import seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

INPUT_BUCKET: Final = "benchmark-in"
OUTPUT_BUCKET: Final = "benchmark-out"

# Go collects garbage all the time where its limit is below its needs: with 200 MiB a GET of 229 MB took twice as long.
MEMORY_MIB: Final = 1024
# The server gzips whatever it takes for text, and gunzips it on every GET: 10 ms of CPU a MB that S3 costs nobody.
# It looks at the content type first, so one that it takes for packed already makes it store the bytes as they are.
STORED_AS_IT_IS: Final = "application/zip"


@dataclass(frozen=True)
class Store:
    """The two buckets of a running server."""

    client: S3Client
    environment: Mapping[str, str]
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the server has spent so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def upload(self, source: Path, key: str) -> str:
        """Put the file ``source`` into the input bucket; return its ETag."""
        self.client.upload_file(str(source), INPUT_BUCKET, key, ExtraArgs={"ContentType": STORED_AS_IT_IS})
        return self.client.head_object(Bucket=INPUT_BUCKET, Key=key)["ETag"].strip('"')

    def put(self, source: Path, key: str) -> None:
        """Put the small file ``source`` into the input bucket."""
        body = source.read_bytes()
        self.client.put_object(Bucket=INPUT_BUCKET, Key=key, Body=body, ContentType=STORED_AS_IT_IS)

    def download(self, key: str, target: Path) -> None:
        """Write the object at ``key`` of the output bucket to the file ``target``."""
        self.client.download_file(OUTPUT_BUCKET, key, str(target))

    def wipe(self) -> None:
        """Delete everything in the output bucket."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=OUTPUT_BUCKET):
            if there := [{"Key": listed["Key"]} for listed in page.get("Contents", ())]:
                self.client.delete_objects(Bucket=OUTPUT_BUCKET, Delete={"Objects": there, "Quiet": True})  # type: ignore[typeddict-item]


@contextmanager
def store() -> Iterator[Store]:
    """Run SeaweedFS, with both buckets empty, for the length of the ``with``."""
    with (
        TemporaryDirectory(prefix="benchmark-s3-") as directory,
        seaweed(Path(directory), memory_mib=MEMORY_MIB) as server,
    ):
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name=server.region,
        )
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
            client.create_bucket(Bucket=bucket)
        yield Store(client, os.environ | server.environment, server.pid)

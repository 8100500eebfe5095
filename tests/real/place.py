"""A real S3 server with the tests' two buckets: what the function is told of it, and what stands there."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from csv_transcode.s3.client import make_client
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET, _empty
from tests.seaweed import SeaweedServer, seaweed
from tests.standing import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

CONNECTIONS_MAX: Final = 16
NOBODY: Final = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}


@dataclass(frozen=True)
class Place:
    """The server, and a client of the checks' own that reaches it straight."""

    server: SeaweedServer
    client: S3Client

    def environment(self, **settings: object) -> dict[str, str]:
        """Return the environment of a function that works here, silently."""
        buckets = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET, "PREFIX": PREFIX}
        given = {name.upper(): str(value) for name, value in settings.items()}
        return NOBODY | self.server.environment | buckets | {"LOG_LEVEL": "CRITICAL"} | given

    def through(self, endpoint_url: str) -> Place:
        """Return the same server as it is reached by another address; the checks' client keeps to the first."""
        return replace(self, server=replace(self.server, endpoint_url=endpoint_url))

    @contextmanager
    def at_hand(self, **settings: object) -> Iterator[Mapping[str, str]]:
        """Make the function's environment this process's own, for functions that work in it."""
        with mock.patch.dict(os.environ, self.environment(**settings)):
            yield os.environ

    def empty(self) -> None:
        """Take everything out of both buckets."""
        for bucket in (INPUT_BUCKET, OUTPUT_BUCKET):
            _empty(self.client, bucket)

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=INPUT_BUCKET, Key=key, Body=body)

    def put_all(self, bodies: Mapping[str, bytes]) -> None:
        """Make these the sources, several at a time."""
        with ThreadPoolExecutor(CONNECTIONS_MAX) as threads:
            list(threads.map(self.put, bodies.keys(), bodies.values()))

    def restore(self, objects: Mapping[str, tuple[bytes, dict[str, str]]]) -> None:
        """Make these, as ``saved`` returned them, what stands in the output bucket, and nothing else."""
        _empty(self.client, OUTPUT_BUCKET)
        for key, (body, metadata) in objects.items():
            self.client.put_object(Bucket=OUTPUT_BUCKET, Key=key, Body=body, Metadata=metadata)

    def saved(self) -> dict[str, tuple[bytes, dict[str, str]]]:
        """Return what stands in the output bucket."""
        return {key: self._get(key) for key in self.keys(OUTPUT_BUCKET)}

    def keys(self, bucket: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def _get(self, key: str) -> tuple[bytes, dict[str, str]]:
        got: Any = self.client.get_object(Bucket=OUTPUT_BUCKET, Key=key)
        return got["Body"].read(), got["Metadata"]


def place_at(server: SeaweedServer) -> Place:
    """Return the place at a running server, with both buckets made."""
    with mock.patch.dict(os.environ, NOBODY | server.environment):
        client = make_client(connections_max=CONNECTIONS_MAX)
    standing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in {INPUT_BUCKET, OUTPUT_BUCKET} - standing:
        client.create_bucket(Bucket=bucket)
    return Place(server, client)


@contextmanager
def place() -> Iterator[Place]:
    """Start a server, and end it and all that it held."""
    with tempfile.TemporaryDirectory(prefix="csv-transcode-") as directory, seaweed(Path(directory)) as server:
        yield place_at(server)

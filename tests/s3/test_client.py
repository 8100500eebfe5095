from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from csv_transcode.s3.client import SMALL_BYTES, make_client
from tests.conftest import INPUT_BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def test_pool_retries_and_time_limits_are_those_asked_for() -> None:
    client = make_client(connections_max=7, retries_max=2, connect_timeout_seconds=1.5, read_timeout_seconds=4)
    config = client.meta.config
    assert config.max_pool_connections == 7
    assert (config.connect_timeout, config.read_timeout) == (1.5, 4)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}
    assert config.tcp_keepalive


def test_endpoint_and_region_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    meta = make_client(connections_max=1).meta
    assert (meta.endpoint_url, meta.region_name) == ("http://127.0.0.1:9", "eu-central-1")


def test_importing_the_package_loads_no_sdk_and_making_a_client_loads_no_boto3() -> None:
    program = """
import sys
import csv_transcode.s3.client, csv_transcode.s3.store, csv_transcode.s3.reader, csv_transcode.s3.upload
before = {"boto3", "botocore", "urllib3"} & sys.modules.keys()
csv_transcode.s3.client.make_client(connections_max=1)
print(before, "boto3" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["set()", "False"]


@pytest.mark.parametrize(("size", "asked"), [(0, False), (SMALL_BYTES - 1, False), (SMALL_BYTES, True)])
def test_only_of_a_large_body_is_asked_whether_it_is_wanted(s3: S3Client, size: int, *, asked: bool) -> None:
    sent: list[bool] = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append("Expect" in request.headers))
    s3.put_object(Bucket=INPUT_BUCKET, Key="body", Body=bytes(size))
    assert sent == [asked]
    assert s3.head_object(Bucket=INPUT_BUCKET, Key="body")["ContentLength"] == size

"""The seed design as a Lambda function: it imports when the module is loaded, and converts at each S3 notification."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import awswrangler  # noqa: F401  # the seed design imports all of these before it looks at an event
import boto3  # noqa: F401
import fastavro  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
from pyarrow import parquet  # noqa: F401

from benchmarks.engines import Job, seed

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler(event: Mapping[str, Any], _: object) -> dict[str, Any]:
    """Convert the object that the notification names."""
    (record,) = event["Records"]
    entry = record["s3"]["object"]
    buckets = record["s3"]["bucket"]["name"], os.environ["OUTPUT_BUCKET"]
    seed(Job(buckets[0], unquote_plus(entry["key"]), str(entry["size"]), entry["eTag"], buckets[1], "processed/"))()
    return {"files": {"converted": 1}}

"""What stands in the buckets after a conversion, read by other people's readers, and whether manifests tell the truth.

Sources of these tests have a column of whole numbers and one of texts, so that the text of every value is the cell.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.settings import Settings
from s3_data_processor import S3DataProcessor
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.imitation import Imitated
from tests.s3.executors import InlineExecutor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

PREFIX: Final = "in/"
KEY: Final = "in/day.csv"
PARQUET: Final = "processed/day.parquet"
AVRO: Final = "processed/day.avro"
MANIFEST: Final = "processed/_manifests/day.csv.json"
FAILED: Final = "processed/_failed/day.csv.json"
REJECTS: Final = "processed/_rejects/day.csv.jsonl"

READ_KEPT_MAX: Final = 16  # outputs: most of those that a sweep over requests looks at are the same few

_TOKENS: Final = count(1)  # no two machines give the same: an attempt is known by its token

Cells = list[tuple[str, ...]]


def patient_client() -> S3Client:
    """Return a client that repeats nothing by itself: every fault reaches the product."""
    return make_client(connections_max=64, retries_max=0)


def inline_runtime() -> Runtime:
    """Return a machine without threads, time or chance: the same requests in the same order, every time."""
    ticks = count(1)
    return Runtime(
        clock=lambda: next(ticks) / 1000,
        sleep=lambda _: None,
        token=lambda size: f"{next(_TOKENS):0{2 * size}x}",
        executor=lambda _threads, _name: InlineExecutor(),
        condition=threading.Condition,
        cores=1,
        allowed_cores=frozenset,
    )


def settings(**overrides: Any) -> Settings:
    """Return settings for the tests' buckets; ``part_bytes`` may be less than S3 would take."""
    part_bytes = overrides.pop("part_bytes", None)
    made = Settings.of(INPUT_BUCKET, OUTPUT_BUCKET, **({"prefix": PREFIX} | overrides))
    if part_bytes is not None:
        object.__setattr__(made, "part_bytes", part_bytes)
    return made


def processor(client: S3Client, runtime: Runtime | None = None, **overrides: Any) -> S3DataProcessor:
    return S3DataProcessor.from_settings(settings(**overrides), s3_client=client, runtime=runtime)


def put(client: S3Client, body: bytes | str, key: str = KEY) -> str:
    """Make ``body`` the source at ``key``; return its ETag."""
    content = body.encode() if isinstance(body, str) else body
    return client.put_object(Bucket=INPUT_BUCKET, Key=key, Body=content)["ETag"].strip('"')


def standing(client: S3Client, bucket: str = OUTPUT_BUCKET) -> dict[str, bytes]:
    """Return every object of a bucket, as it is held, or as it is served where a server holds it."""
    if Imitated.serves(client):
        return Imitated.bodies(bucket)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def uploads(client: S3Client) -> list[str]:
    """Return the keys of the multipart uploads that have been neither completed nor aborted."""
    if Imitated.serves(client):
        return Imitated.uploads(OUTPUT_BUCKET)
    return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=OUTPUT_BUCKET).get("Uploads", ())]


def manifest(client: S3Client, key: str = MANIFEST) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read())
    return found


def failure(client: S3Client, key: str = FAILED) -> dict[str, Any]:
    return manifest(client, key)


def csv_cells(content: bytes) -> Cells:
    """Return the records of a CSV, the header apart, as Python's csv module reads them."""
    return [tuple(record) for record in list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]]


def parquet_table(content: bytes) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()


@functools.lru_cache(READ_KEPT_MAX)
def parquet_cells(content: bytes) -> Cells:
    columns = [column.to_pylist() for column in parquet_table(content).columns]
    return [tuple(map(str, row)) for row in zip(*columns, strict=True)]


def avro_records(content: bytes) -> list[dict[str, Any]]:
    return [record for record in fastavro.reader(io.BytesIO(content)) if isinstance(record, dict)]


@functools.lru_cache(READ_KEPT_MAX)
def avro_cells(content: bytes) -> Cells:
    return [tuple(map(str, record.values())) for record in avro_records(content)]


def require_truth(client: S3Client, *versions: bytes) -> dict[str, str]:
    """Check every manifest against what stands; return the states of the manifests by key.

    A committed one names outputs that stand as it says, and hold exactly the records of the version of the source that
    it names, one of ``versions``.
    """
    objects = standing(client)
    by_etag = {hashlib.md5(version, usedforsecurity=False).hexdigest(): version for version in versions}
    states = {}
    for key in [key for key in objects if "/_manifests/" in key]:
        told = json.loads(objects[key])
        states[key] = told["state"]
        if told["state"] == "committed":
            _require_true(client, objects, told, by_etag[told["source"]["etag"]])
    return states


def without(source: bytes, rejects: list[dict[str, Any]]) -> bytes:
    """Return what is left of ``source`` where what was rejected is taken out."""
    rest = bytearray(source)
    for line in reversed(rejects):
        place = slice(line["offset"], line["offset"] + line["length"])
        assert rest[place] == line["raw"].encode()
        del rest[place]
    return bytes(rest)


def _require_true(client: S3Client, objects: Mapping[str, bytes], told: Mapping[str, Any], source: bytes) -> None:
    rejects = _true_rejects(client, objects, told)
    cells = csv_cells(without(source, rejects))
    counted = len(cells)
    assert told["records"] == {"read": counted + len(rejects), "written": counted, "rejected": len(rejects)}
    read = {"parquet": parquet_cells, "avro": avro_cells}
    for output in told["outputs"]:
        content = objects[output["key"]]
        etag = _etag(client, output["key"])
        assert (output["etag"], output["bytes"], output["rows"]) == (etag, len(content), counted), output["key"]
        assert read[output["format"]](content) == cells, f"{output['key']} holds other records than its manifest says"


def _true_rejects(client: S3Client, objects: Mapping[str, bytes], told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rejects that the manifest names, which are all that stand."""
    key = f"processed/_rejects/{told['source']['key'].removeprefix(PREFIX)}.jsonl"
    content = objects.get(key, b"")
    rejects = [json.loads(line) for line in content.splitlines()]
    place = {"bucket": OUTPUT_BUCKET, "key": key}
    named = place | {"etag": _etag(client, key), "records": len(rejects), "bytes": len(content)} if rejects else None
    assert told["rejects"] == named
    return rejects


def _etag(client: S3Client, key: str) -> str:
    if Imitated.serves(client):
        return Imitated.etag(OUTPUT_BUCKET, key).strip('"')
    return client.head_object(Bucket=OUTPUT_BUCKET, Key=key)["ETag"].strip('"')

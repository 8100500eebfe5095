"""Ways to convert one CSV object to Parquet and Avro, each in a process of its own, each as its people would write it.

    python -m benchmarks.engines NAME INPUT_BUCKET KEY SIZE ETAG OUTPUT_BUCKET OUTPUT_PREFIX

An engine is a function that imports what it needs, makes its S3 client, and returns the conversion to be timed. Source
and outputs lie on the S3 server that the environment names; both outputs are snappy. A KEY that ends in ``/`` is a
prefix: all objects under it are converted, SIZE is nothing then. The last line printed is a JSON object: seconds of
importing and of converting, CPU seconds of converting, peak resident bytes.

``BENCHMARK_CORES`` is how many cores the engine may use, ``BENCHMARK_COUNT`` asks for the requests that it makes, and
``BENCHMARK_MEMORY_MB`` is the size of the function that ours runs as.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # nothing heavy here: what an engine imports is part of its start-up, and of no other's
    from collections.abc import Callable, Mapping
    from io import BytesIO

    Conversion = Callable[[], None]

FUNCTION_MEMORY_MB: Final = 2048
FUNCTION_TIMEOUT_MS: Final = 900_000
SMALL_WORKERS: Final = 20
KIB: Final = 1024
STATUS_OK: Final = 200
TEST_EVENT: Final = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T00:00:00.000Z", "Bucket": "b"}


@dataclass(frozen=True)
class Job:
    """One object to convert, and where to."""

    input_bucket: str
    key: str
    size: str
    etag: str
    output_bucket: str
    output_prefix: str

    @property
    def is_prefix(self) -> bool:
        """Whether all objects under the key are to be converted."""
        return self.key.endswith("/")

    def output_key(self, suffix: str) -> str:
        """Return the key of the output that ends in ``suffix``."""
        return f"{self.output_prefix}{self.key.removesuffix('.csv')}.{suffix}"


class Context:
    """What Lambda gives a handler beside the event, as far as a conversion may look at it."""

    function_name = "csv-transcode"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:csv-transcode"
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    memory_limit_in_mb = str(FUNCTION_MEMORY_MB)

    def __init__(self) -> None:
        self._end_ms = time.monotonic() * 1000 + FUNCTION_TIMEOUT_MS

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left of the longest time that Lambda grants."""
        return int(self._end_ms - time.monotonic() * 1000)


def ours(job: Job) -> Conversion:
    """Convert by the handler, as Lambda calls it for an S3 notification."""
    os.environ |= {
        "INPUT_BUCKET": job.input_bucket,
        "OUTPUT_BUCKET": job.output_bucket,
        "OUTPUT_PREFIX": job.output_prefix,
        "AWS_LAMBDA_FUNCTION_NAME": Context.function_name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": os.environ.get("BENCHMARK_MEMORY_MB", str(FUNCTION_MEMORY_MB)),
    }
    from lambda_handler import lambda_handler  # noqa: PLC0415

    # As for the peers, libraries are imported and the client is made before the clock starts.
    lambda_handler(TEST_EVENT, Context())

    event = {"prefix": job.key} if job.is_prefix else notification(job)

    def convert() -> None:
        report = lambda_handler(event, Context())
        if report["statusCode"] != STATUS_OK or not report["files"]["converted"]:
            message = f"not converted: {report}"
            raise RuntimeError(message)

    return convert


def seed(job: Job) -> Conversion:
    """Convert as the seed design does: pandas, a table from it, fastavro over its records; both writes in threads."""
    from io import BytesIO  # noqa: PLC0415

    import awswrangler  # noqa: F401, PLC0415  # the seed design imports it
    import boto3  # noqa: PLC0415
    import fastavro  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet as pq  # noqa: PLC0415

    client = boto3.client("s3", config=_pooled())

    def write_parquet(one: Job, frame: pd.DataFrame) -> None:
        buffer = BytesIO()
        pq.write_table(pa.Table.from_pandas(frame), buffer, compression="snappy")
        _put(client, one, "parquet", buffer)

    def write_avro(one: Job, frame: pd.DataFrame) -> None:
        buffer = BytesIO()
        fastavro.writer(buffer, _avro_schema(frame), frame.to_dict("records"), codec="snappy")
        _put(client, one, "avro", buffer)

    def convert(one: Job) -> None:
        body = client.get_object(Bucket=one.input_bucket, Key=one.key)["Body"].read()
        frame = pd.read_csv(BytesIO(_plain(one, body)))
        _both(lambda: write_parquet(one, frame), lambda: write_avro(one, frame))

    return _each(job, client, convert)


def wrangler(job: Job) -> Conversion:
    """Convert with awswrangler, from and to S3, and fastavro."""
    from io import BytesIO  # noqa: PLC0415

    import awswrangler as wr  # noqa: PLC0415
    import boto3  # noqa: PLC0415
    import fastavro  # noqa: PLC0415

    client = boto3.client("s3")

    def write_avro(frame: Any) -> None:  # noqa: ANN401  # pandas is for three engines only to import
        buffer = BytesIO()
        fastavro.writer(buffer, _avro_schema(frame), frame.to_dict("records"), codec="snappy")
        _put(client, job, "avro", buffer)

    def convert() -> None:
        frame = wr.s3.read_csv([f"s3://{job.input_bucket}/{job.key}"])  # as text it would be a prefix
        target = f"s3://{job.output_bucket}/{job.output_key('parquet')}"
        _both(lambda: wr.s3.to_parquet(frame, target, compression="snappy"), lambda: write_avro(frame))

    return convert


def pandas_pyarrow(job: Job) -> Conversion:
    """Convert with pandas over Arrow's types, its Parquet writer, and fastavro over its records."""
    from io import BytesIO  # noqa: PLC0415

    import boto3  # noqa: PLC0415
    import fastavro  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    client = boto3.client("s3")

    def write_parquet(frame: pd.DataFrame) -> None:
        buffer = BytesIO()
        frame.to_parquet(buffer, engine="pyarrow", compression="snappy", index=False)
        _put(client, job, "parquet", buffer)

    def write_avro(frame: pd.DataFrame) -> None:
        buffer = BytesIO()
        table = pa.Table.from_pandas(frame, preserve_index=False)
        fastavro.writer(buffer, _avro_of_arrow(table), table.to_pylist(), codec="snappy")
        _put(client, job, "avro", buffer)

    def convert() -> None:
        body = client.get_object(Bucket=job.input_bucket, Key=job.key)["Body"].read()
        frame = pd.read_csv(BytesIO(_plain(job, body)), engine="pyarrow", dtype_backend="pyarrow")
        _both(lambda: write_parquet(frame), lambda: write_avro(frame))

    return convert


def pyarrow_fastavro(job: Job) -> Conversion:
    """Convert with Arrow's CSV reader and Parquet writer, and fastavro over its rows."""
    from io import BytesIO  # noqa: PLC0415

    import boto3  # noqa: PLC0415
    import fastavro  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv as pa_csv  # noqa: PLC0415
    from pyarrow import parquet as pq  # noqa: PLC0415

    client = boto3.client("s3")

    def write_parquet(table: pa.Table) -> None:
        buffer = BytesIO()
        pq.write_table(table, buffer, compression="snappy")
        _put(client, job, "parquet", buffer)

    def write_avro(table: pa.Table) -> None:
        buffer = BytesIO()
        rows = (row for batch in table.to_batches() for row in batch.to_pylist())
        fastavro.writer(buffer, _avro_of_arrow(table), rows, codec="snappy")
        _put(client, job, "avro", buffer)

    def convert() -> None:
        body = client.get_object(Bucket=job.input_bucket, Key=job.key)["Body"].read()
        options = pa_csv.ParseOptions(newlines_in_values=True)
        table = pa_csv.read_csv(BytesIO(_plain(job, body)), parse_options=options)
        _both(lambda: write_parquet(table), lambda: write_avro(table))

    return convert


def polars(job: Job) -> Conversion:
    """Convert with Polars, dates typed."""
    return _polars(job, dates=True)


def polars_text(job: Job) -> Conversion:
    """Convert with Polars as it reads by default, dates left as text."""
    return _polars(job, dates=False)


def polars_stream(job: Job) -> Conversion:
    """Convert with Polars' lazy reader, from S3 by its own client, by its streaming engine."""
    from io import BytesIO  # noqa: PLC0415

    import boto3  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415

    client = boto3.client("s3")
    access = {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": os.environ["AWS_DEFAULT_REGION"],
        "aws_allow_http": "true",
    }

    def sink(lazy: pl.LazyFrame) -> None:
        target = f"s3://{job.output_bucket}/{job.output_key('parquet')}"
        lazy.sink_parquet(target, compression="snappy", storage_options=access)

    def write_avro(frame: pl.DataFrame) -> None:
        buffer = BytesIO()
        frame.write_avro(buffer, compression="snappy", name="Record")
        _put(client, job, "avro", buffer)

    def convert() -> None:
        source = f"s3://{job.input_bucket}/{job.key}"
        frame = pl.scan_csv(source, try_parse_dates=True, storage_options=access).collect(engine="streaming")
        _both(lambda: sink(frame.lazy()), lambda: write_avro(frame))

    return convert


def duckdb(job: Job) -> Conversion:
    """Convert with DuckDB, by files; its Avro has no codec but null."""
    from pathlib import Path  # noqa: PLC0415
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    import boto3  # noqa: PLC0415
    import duckdb as database  # noqa: PLC0415
    from duckdb_extensions import import_extension  # noqa: PLC0415

    import_extension("avro")
    database.execute("LOAD avro")
    client = boto3.client("s3")

    def convert() -> None:
        with TemporaryDirectory() as directory:
            source = Path(directory) / "source.csv"
            client.download_file(job.input_bucket, job.key, str(source))
            database.execute("CREATE TABLE source AS FROM read_csv($path)", {"path": str(source)})
            for suffix, options in (("parquet", "FORMAT parquet, COMPRESSION snappy"), ("avro", "FORMAT avro")):
                target = Path(directory) / suffix
                database.execute(f"COPY source TO '{target}' ({options})")
                client.upload_file(str(target), job.output_bucket, job.output_key(suffix))

    return convert


ENGINES: Final[Mapping[str, Callable[[Job], Conversion]]] = {
    "ours": ours,
    "seed": seed,
    "polars": polars,
    "polars_text": polars_text,
    "polars_stream": polars_stream,
    "wrangler": wrangler,
    "pandas_pyarrow": pandas_pyarrow,
    "pyarrow_fastavro": pyarrow_fastavro,
    "duckdb": duckdb,
}


def main(name: str, *job: str) -> None:
    """Run one engine once, and print what it took."""
    if cores := os.environ.get("BENCHMARK_CORES"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    requests = _counted_requests() if os.environ.get("BENCHMARK_COUNT") else None
    started = time.perf_counter()
    convert = ENGINES[name](Job(*job))
    imported, cpu = time.perf_counter(), time.process_time()
    before = len(requests) if requests else 0
    convert()
    ended, cpu_ended = time.perf_counter(), time.process_time()
    measured = {
        "import_seconds": imported - started,
        "seconds": ended - imported,
        "cpu_seconds": cpu_ended - cpu,
        "peak_bytes": _peak_bytes(),
    }
    if requests is not None:
        measured["requests"] = len(requests) - before
    print(json.dumps(measured))


def _counted_requests() -> list[None]:
    """Return a list that grows by one with every request that a client of botocore, whoever makes it, sends to S3."""
    import botocore.handlers  # noqa: PLC0415

    sent: list[None] = []
    botocore.handlers.BUILTIN_HANDLERS.append(("before-send.s3.*", lambda **_: sent.append(None)))
    return sent


def _polars(job: Job, *, dates: bool) -> Conversion:
    from io import BytesIO  # noqa: PLC0415

    import boto3  # noqa: PLC0415
    import polars as pl  # noqa: PLC0415

    client = boto3.client("s3", config=_pooled())

    def write_parquet(one: Job, frame: pl.DataFrame) -> None:
        buffer = BytesIO()
        frame.write_parquet(buffer, compression="snappy")
        _put(client, one, "parquet", buffer)

    def write_avro(one: Job, frame: pl.DataFrame) -> None:
        buffer = BytesIO()
        frame.write_avro(buffer, compression="snappy", name="Record")
        _put(client, one, "avro", buffer)

    def convert(one: Job) -> None:
        body = client.get_object(Bucket=one.input_bucket, Key=one.key)["Body"].read()
        frame = pl.read_csv(body, try_parse_dates=dates)  # from bytes: a tenth faster than from BytesIO
        _both(lambda: write_parquet(one, frame), lambda: write_avro(one, frame))

    return _each(job, client, convert)


def _pooled() -> Any:  # noqa: ANN401  # botocore is for the engines to import
    from botocore.config import Config  # noqa: PLC0415

    return Config(max_pool_connections=2 * SMALL_WORKERS)


def _put(client: Any, job: Job, suffix: str, buffer: BytesIO) -> None:  # noqa: ANN401  # as above
    """Make what has been written the output that ends in ``suffix``."""
    client.put_object(Bucket=job.output_bucket, Key=job.output_key(suffix), Body=buffer.getvalue())


def _both(write_parquet: Callable[[], object], write_avro: Callable[[], object]) -> None:
    """Write both outputs, in a thread each."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(write) for write in (write_parquet, write_avro)]:
            future.result()


def _each(job: Job, client: Any, convert: Callable[[Job], None]) -> Conversion:  # noqa: ANN401  # as above
    """Return the conversion of the job's object, or of all objects under its prefix, by 20 workers."""
    if not job.is_prefix:
        return lambda: convert(job)

    def convert_all() -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

        pages = client.get_paginator("list_objects_v2").paginate(Bucket=job.input_bucket, Prefix=job.key)
        jobs = [replace(job, key=listed["Key"]) for page in pages for listed in page["Contents"]]
        with ThreadPoolExecutor(SMALL_WORKERS) as pool:
            for future in [pool.submit(convert, one) for one in jobs]:
                future.result()

    return convert_all


def _plain(job: Job, body: bytes) -> bytes:
    """Return the source's bytes, decompressed where the job's reader does not do that by itself."""
    import gzip  # noqa: PLC0415

    return gzip.decompress(body) if job.key.endswith(".gz") else body


def _avro_schema(frame: Any) -> dict[str, Any]:  # noqa: ANN401  # pandas is for two engines only to import
    """Return a record as the data frame's types have it; nullable only where nulls are: fastavro's best time."""
    names = {"int64": "long", "float64": "double", "bool": "boolean"}
    fields = []
    for name, column in frame.items():
        avro_type = names.get(str(column.dtype), "string")
        fields.append({"name": name, "type": ["null", avro_type] if column.hasnans else avro_type})
    return {"type": "record", "name": "Record", "fields": fields}


def _avro_of_arrow(table: Any) -> dict[str, Any]:  # noqa: ANN401  # as above
    """Return a record as an Arrow table's types have it; nullable only where nulls are."""
    import pyarrow as pa  # noqa: PLC0415

    names: dict[Any, Any] = {
        pa.int64(): "long",
        pa.float64(): "double",
        pa.bool_(): "boolean",
        pa.date32(): {"type": "int", "logicalType": "date"},
    }
    fields = []
    for column in table.schema:
        avro_type = names.get(column.type, "string")
        if pa.types.is_timestamp(column.type):
            avro_type = {"type": "long", "logicalType": "timestamp-micros"}
        nullable = table[column.name].null_count > 0
        fields.append({"name": column.name, "type": ["null", avro_type] if nullable else avro_type})
    return {"type": "record", "name": "Record", "fields": fields}


def notification(job: Job) -> dict[str, Any]:
    """Return what S3 sends to Lambda when the job's object has been put."""
    from urllib.parse import quote_plus  # noqa: PLC0415

    bucket = {
        "name": job.input_bucket,
        "ownerIdentity": {"principalId": "A"},
        "arn": f"arn:aws:s3:::{job.input_bucket}",
    }
    entry = {"key": quote_plus(job.key), "size": int(job.size), "eTag": job.etag, "sequencer": "0"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "A"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "A", "x-amz-id-2": "A"},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "csv", "bucket": bucket, "object": entry},
    }
    return {"Records": [record]}


def _peak_bytes() -> int:
    """Return the most memory that was resident since this program began.

    Not ``ru_maxrss``: that begins with what the parent held when it forked.
    """
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # pathlib is an import more to pay for
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * KIB


if __name__ == "__main__":
    main(*sys.argv[1:])

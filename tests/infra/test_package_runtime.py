"""The function under AWS's own Python runtime client, behind AWS's Runtime Interface Emulator: what Lambda would see.

What runs is the repository's code over the packages of this environment; `make package-check` runs the package itself.
"""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow.parquet as pq
import pytest

from infra.package.emulator import EmulatorError, developers_runtime, emulated, emulator_binary
from infra.package.locks import ROOT
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET, not_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from infra.package.emulator import EmulatedFunction
    from tests.seaweed import SeaweedServer

pytestmark = pytest.mark.integration

HANDLER: Final = "lambda_handler.lambda_handler"
BUCKETS: Final = {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET}
GOOD: Final = b"id,zip\n1,02134\n2,10001\n"
BAD: Final = b"id,zip\n1,2,3\n4,5,6\n"  # every record has a field too many
ATTEMPTS_MAX: Final = 5
RECORDS: Final = [{"id": 1, "zip": "02134"}, {"id": 2, "zip": "10001"}]
TEST_EVENT: Final = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-23T00:00:00.000Z", "Bucket": "b"}


@contextmanager
def function(environment: dict[str, str], *, timeout_seconds: int = 60) -> Iterator[EmulatedFunction]:
    try:
        emulator_binary()
    except EmulatorError as error:
        not_installed(str(error))
    with emulated(developers_runtime(HANDLER, ROOT), ROOT, environment, timeout_seconds=timeout_seconds) as running:
        yield running


def notification(key: str) -> dict[str, Any]:
    entry = {"bucket": {"name": INPUT_BUCKET}, "object": {"key": key}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entry}
    return {"Records": [record]}


def outputs(s3: S3Client, stem: str) -> tuple[list[Any], list[Any]]:
    """Return the records of both outputs, by other people's readers."""
    bodies = [
        s3.get_object(Bucket=OUTPUT_BUCKET, Key=f"processed/{stem}.{name}")["Body"].read()
        for name in ("parquet", "avro")
    ]
    return pq.read_table(io.BytesIO(bodies[0])).to_pylist(), [*fastavro.reader(io.BytesIO(bodies[1]))]


def test_cold_warm_and_an_error(seaweed_s3: S3Client, seaweed_server: SeaweedServer) -> None:
    for key, body in (("cold.csv", GOOD), ("warm.csv", GOOD), ("bad.csv", BAD)):
        seaweed_s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=body)
    with function(BUCKETS | seaweed_server.environment) as running:
        cold, warm, again = (running.invoke(notification(key)) for key in ("cold.csv", "warm.csv", "warm.csv"))
        failed, refused = running.invoke(notification("bad.csv")), running.invoke({"keys": 1})
        after = running.invoke(TEST_EVENT)
        logged = running.logged()
    assert [answer.body["files"]["converted"] for answer in (cold, warm, again)] == [1, 1, 0]
    assert outputs(seaweed_s3, "cold") == outputs(seaweed_s3, "warm") == (RECORDS, RECORDS)
    assert (failed.error, "bad.csv" in failed.body["errorMessage"]) == ("FilesFailedError", True)
    assert refused.error == "EventError"
    assert after.body["statusCode"] == 200
    assert logged.count("INIT RTDONE") == 1  # one start for all six events


def test_a_batch_of_a_distributed_map(seaweed_s3: S3Client, seaweed_server: SeaweedServer) -> None:
    items = []
    for key, body in (("in/a b+c.csv", GOOD), ("in/bad.csv", BAD), ("in/ü.csv", GOOD)):
        etag = seaweed_s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=body)["ETag"]
        listed = {"Etag": etag, "Key": key, "LastModified": 1795000000, "Size": len(body), "StorageClass": "STANDARD"}
        items.append(listed)
    with function(BUCKETS | seaweed_server.environment) as running:
        answer = running.invoke({"Items": items, "BatchInput": {"run": "2026-11-23"}})
    outcomes = {result["key"]: result["outcome"] for result in answer.body["results"]}
    assert outcomes == {"in/a b+c.csv": "converted", "in/bad.csv": "failed", "in/ü.csv": "converted"}
    assert outputs(seaweed_s3, "in/a b+c") == outputs(seaweed_s3, "in/ü") == (RECORDS, RECORDS)


@pytest.mark.long
def test_what_the_function_could_not_finish_is_answered_before_lambda_ends_it() -> None:
    with silent_s3() as (environment, _):
        settings = BUCKETS | environment | {"DEADLINE_MARGIN_SECONDS": "2"}
        with function(settings, timeout_seconds=5) as running:
            answer = running.invoke({"keys": ["in/day.csv"]})
    assert (answer.body["statusCode"], answer.body["files"]["deferred"]) == (206, 1)


@pytest.mark.long
def test_after_a_timeout_the_next_event_finds_a_new_process() -> None:
    # Settings are read before there is a deadline to keep: an answer that never comes is what Lambda's timeout is for.
    with silent_s3() as (environment, answering):
        settings = BUCKETS | environment | {"COLUMN_TYPES": "s3://types/columns.json", "READ_TIMEOUT_SECONDS": "60"}
        with function(settings, timeout_seconds=5) as running:
            timed_out = running.invoke(TEST_EVENT)
            answering.set()
            # A machine with much else to do may be too slow for a start in five seconds, but not each time.
            after = next(filter(None, (answered(running) for _ in range(ATTEMPTS_MAX))), None)
    assert "timed out after 5.00 seconds" in str(timed_out.body)
    assert after == {"converted": 0, "skipped": 1, "failed": 0, "deferred": 0}


def answered(running: EmulatedFunction) -> dict[str, int] | None:
    body = running.invoke(TEST_EVENT).body
    return body["files"] if isinstance(body, dict) else None


@contextmanager
def silent_s3() -> Iterator[tuple[dict[str, str], threading.Event]]:
    """Yield what points the SDK at a server that answers nobody until the event is set, and then with ``{}``."""
    answering, ended = threading.Event(), threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            while not (answering.is_set() or ended.is_set()):
                ended.wait(0.05)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("ETag", '"99914b932bd37a50b983c5e7c90ae93b"')
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a process that was killed has hung up
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield (
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
                "AWS_DEFAULT_REGION": "us-east-1",
            },
            answering,
        )
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()

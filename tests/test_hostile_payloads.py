"""Whatever an event says, no request leaves the input bucket's PREFIX and the output bucket's OUTPUT_PREFIX.

The function and the processor are the product's own, down to the SDK's client; only its HTTP session is replaced, by
one that keeps every request and answers as an S3 that holds one small CSV at every fourth key.

HYPOTHESIS_PROFILE=thorough pytest tests/test_hostile_payloads.py     100,000 events, and other ones each time
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit
from zlib import crc32

import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.errors import EventError, TranscodeError
from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.telemetry import get_logger
from lambda_handler import LambdaFunction
from s3_data_processor import S3DataProcessor
from tests.hostile import INPUT_BUCKET, OUTPUT_BUCKET, events
from tests.profiles import examples
from tests.s3.faults import _Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from csv_transcode.settings import Settings

EVENTS: Final = 2000  # half of them in `make test`, fifty times as many under the thorough profile
ACCOUNTS: Final = {INPUT_BUCKET: "111122223333", OUTPUT_BUCKET: "444455556666"}
CSV: Final = b"id,name\n1,a\n2,b\n"
ANSWER_BYTES_MAX: Final = 6 << 20  # Lambda's own limit


@dataclass(frozen=True)
class Request:
    """One request as it would leave the machine: ``key`` is empty where a listing is asked for, of ``prefix``."""

    method: str
    bucket: str
    key: str
    prefix: str
    owner: str | None
    url: str

    @classmethod
    def of(cls, sent: Any) -> Request:
        url = urlsplit(sent.url)
        bucket, dot, _ = url.netloc.partition(".s3.")
        assert dot, sent.url  # both buckets have names that stand in the host's
        query = parse_qs(url.query, keep_blank_values=True)
        owner = sent.headers.get("x-amz-expected-bucket-owner")
        shown = owner.decode() if isinstance(owner, bytes) else owner
        return cls(sent.method, bucket, unquote(url.path)[1:], query.get("prefix", [""])[0], shown, sent.url)


@dataclass
class Wire:
    """What is below the S3 client: keeps what is sent, and answers."""

    sent: list[Request] = field(default_factory=list)

    def send(self, request: Any) -> AWSResponse:
        asked = Request.of(request)
        self.sent.append(asked)
        status, body, headers = self._answer(asked, request.url)
        return AWSResponse(request.url, status, headers, _Raw(b"" if request.method == "HEAD" else body))

    def close(self) -> None:
        """Nothing is held."""

    def _answer(self, asked: Request, url: str) -> tuple[int, bytes, dict[str, str]]:
        if "list-type=2" in url:
            key = quote(f"{asked.prefix}listed.csv")
            facts = "<Size>15</Size><ETag>&quot;1&quot;</ETag><LastModified>2026-11-01T06:00:01.000Z</LastModified>"
            listed = f"<Contents><Key>{key}</Key>{facts}</Contents>"
            return 200, f"<ListBucketResult><KeyCount>1</KeyCount>{listed}</ListBucketResult>".encode(), {}
        if asked.method == "PUT":
            return 200, b"", {"ETag": '"1"'}
        if not asked.key:
            return 200, b"<ListMultipartUploadsResult/>", {}
        if asked.key.startswith("in/") and crc32(asked.key.encode()) % 4 == 0:
            return 200, CSV, {"ETag": '"1"', "Content-Length": str(len(CSV))}
        return 404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", {}


class AtOnce(Executor):
    """Runs what it is given in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 -- whoever asks for the result gets it
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Place:
    """Where a function may read, and where it may write and read."""

    prefix: str
    output_bucket: str
    output_prefix: str = "processed/"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "INPUT_BUCKET": INPUT_BUCKET,
            "OUTPUT_BUCKET": self.output_bucket,
            "PREFIX": self.prefix,
            "OUTPUT_PREFIX": self.output_prefix,
            "EXPECTED_INPUT_BUCKET_OWNER": ACCOUNTS[INPUT_BUCKET],
            "EXPECTED_OUTPUT_BUCKET_OWNER": ACCOUNTS[self.output_bucket],
            "LOG_LEVEL": "CRITICAL",
        }

    def allows(self, asked: Request) -> bool:
        where = asked.key or asked.prefix
        source = asked.bucket == INPUT_BUCKET and where.startswith(self.prefix) and asked.method in ("GET", "HEAD")
        target = asked.bucket == self.output_bucket and where.startswith(self.output_prefix)
        return (source or target) and asked.owner == ACCOUNTS[asked.bucket]


PLACES: Final = (
    Place("in/", OUTPUT_BUCKET),
    Place("in/", INPUT_BUCKET),
    Place("in/", OUTPUT_BUCKET, "in/"),
    Place("", OUTPUT_BUCKET),
    Place("in/2026/", OUTPUT_BUCKET, "lake/"),
)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def functions(wire: Wire) -> Iterator[dict[Place, LambdaFunction]]:
    """Return the function of every place, each with the product's own processor, client and settings."""
    client = make_client(connections_max=10)
    client._endpoint.http_session = wire
    runtime = Runtime(executor=lambda _workers, _name: AtOnce(), sleep=lambda _seconds: None)
    built: list[S3DataProcessor] = []

    def build(settings: Settings) -> S3DataProcessor:
        built.append(S3DataProcessor.from_settings(settings, s3_client=client, runtime=runtime))
        return built[-1]

    def fetch(url: str) -> bytes:
        raise AssertionError(url)

    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield {place: LambdaFunction(place.environment, build, fetch) for place in PLACES}
    logger.handlers[:], logger.level, logger.propagate = before
    for processor in built:
        processor.close()


def test_no_payload_reaches_beyond_the_buckets_and_prefixes(wire: Wire, functions: dict[Place, LambdaFunction]) -> None:
    seen: Counter[str] = Counter()

    @examples(EVENTS)
    @given(event=events, place=st.sampled_from(PLACES))
    def holds(event: object, place: Place) -> None:
        wire.sent.clear()
        seen["events"] += 1
        try:
            answer = functions[place](event, None)
        except EventError:
            assert not wire.sent  # refused before anything is asked for
            seen["refused"] += 1
        except TranscodeError as error:  # any other is not the project's own, and fails the test
            seen[type(error).__name__] += 1
        else:
            assert len(json.dumps(answer)) < ANSWER_BYTES_MAX
            seen["answered"] += 1
        assert [asked for asked in wire.sent if not place.allows(asked)] == []
        seen.update(f"{asked.method} {asked.bucket}" for asked in wire.sent)

    holds()
    print(dict(sorted(seen.items())))  # noqa: T201 -- pytest -s shows what was tried
    # The check could not fail if nothing came through.
    reached = {"refused", "answered", "FilesFailedError", f"GET {INPUT_BUCKET}", f"PUT {OUTPUT_BUCKET}"}
    assert reached <= seen.keys()
    assert seen["events"] >= EVENTS // 8


def test_dots_in_a_key_are_sent_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Who made "secret.csv" of it on the way would leave the prefix.
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    try:
        client = make_client(connections_max=1, retries_max=0)
        for key in ("in/../secret.csv", "in/./a//b.csv", "in/%2e%2e/a.csv"):
            with pytest.raises(client.exceptions.ClientError):
                client.get_object(Bucket="source-bucket", Key=key)
    finally:
        server.shutdown()
        server.server_close()
    sent = ["in/../secret.csv", "in/./a//b.csv", "in/%252e%252e/a.csv"]
    assert asked == [f"/source-bucket/{key}" for key in sent]

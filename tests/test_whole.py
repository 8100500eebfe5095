"""The whole product against a real S3 server, which enforces what an imitation in process does not."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import lambda_handler
from csv_transcode import errors
from csv_transcode.report import Outcome
from csv_transcode.s3.client import make_client
from csv_transcode.s3.reader import RANGE_PARTS
from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.s3.faults import answer, before, operations, record
from tests.standing import (
    AVRO,
    FAILED,
    KEY,
    MANIFEST,
    PARQUET,
    REJECTS,
    avro_cells,
    csv_cells,
    inline_runtime,
    parquet_cells,
    patient_client,
    processor,
    put,
    require_truth,
    standing,
    uploads,
)
from tests.trouble import KilledError, Trouble, troubled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from csv_transcode.report import ObjectResult

pytestmark = pytest.mark.integration

ROOT: Final = Path(__file__).parent.parent
EVENTS: Final = ROOT / "tests" / "events"
PART: Final = 5 << 20  # the least that S3 takes
DAY: Final = b"id,text\n1,one\n2,two\n"
BAD: Final = b"id,text\n1,one,more\n"


def large(seed: int) -> bytes:
    """Return a CSV whose outputs are of two parts each."""
    text = random.Random(seed).randbytes(3 << 20).hex()
    return b"id,text\n" + b"".join(b"%d,%s\n" % (i, text[i * 1000 : i * 1000 + 1000].encode()) for i in range(6_000))


ONE, TWO, THREE = (large(seed) for seed in range(3))
VERSIONS: Final = (ONE, TWO, THREE, DAY)


@pytest.fixture
def client(seaweed_s3: S3Client) -> S3Client:
    assert seaweed_s3.list_buckets()["Buckets"]
    return patient_client()


@pytest.fixture
def other(client: S3Client) -> S3Client:  # noqa: ARG001 -- first the buckets
    """Return another writer's client."""
    return patient_client()


def convert(client: S3Client, *, force: bool = False, **overrides: Any) -> ObjectResult:
    """Convert KEY, as one request after the other."""
    with processor(client, inline_runtime(), part_bytes=PART, parquet_compression="none", **overrides) as made:
        return made.convert(KEY, force=force)


def converted(client: S3Client, source: bytes) -> None:
    put(client, source)
    assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)


def require_committed(client: S3Client, source: bytes) -> None:
    assert require_truth(client, source) == {MANIFEST: "committed"}
    assert set(standing(client)) - {FAILED} == {PARQUET, AVRO, MANIFEST}
    assert uploads(client) == []


class TestLargeObjects:
    """Conditions on multipart uploads, which only a real server holds."""

    def test_first_and_again_and_anew(self, client: S3Client) -> None:
        sent = record(client)
        converted(client, ONE)
        assert operations(sent).count("CompleteMultipartUpload") == 2
        assert client.head_object(Bucket=OUTPUT_BUCKET, Key=PARQUET)["ETag"].endswith('-2"')
        require_committed(client, ONE)
        sent.clear()
        assert convert(client).outcome is Outcome.SKIPPED
        assert operations(sent) == ["GetObject", "GetObject"]
        first = standing(client)
        assert convert(client, force=True).outcome is Outcome.CONVERTED
        assert standing(client) == first
        converted(client, TWO)
        require_committed(client, TWO)

    @pytest.mark.parametrize(
        ("comes", "operation", "number"),
        [
            ("the same version", "UploadPart", 4),
            ("the same version", "CompleteMultipartUpload", 2),
            ("the same version", "PutObject", 2),
            ("a newer one", "HeadObject", 2),
            ("a newer one", "CompleteMultipartUpload", 1),
            ("a newer one", "CompleteMultipartUpload", 2),
            ("a newer one", "PutObject", 2),
            ("the older one again", "HeadObject", 2),
            ("the older one again", "CompleteMultipartUpload", 1),
            ("the older one again", "CompleteMultipartUpload", 2),
        ],
    )
    def test_another_writer_in_the_middle(
        self, client: S3Client, other: S3Client, comes: str, operation: str, number: int
    ) -> None:
        """What has been converted whole, just before one of our requests, is replaced whole or not at all."""
        newest = {"the same version": TWO, "a newer one": THREE, "the older one again": ONE}[comes]
        converted(client, ONE)
        put(client, TWO)
        before(client, operation, number, lambda: converted(other, newest))
        convert(client)
        require_truth(client, *VERSIONS)
        converted(client, newest)
        require_committed(client, newest)

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Arrow's writers, killed
    @pytest.mark.parametrize(
        ("operation", "over"),
        [("UploadPart", None), ("CompleteMultipartUpload", ONE), ("PutObject", None), ("PutObject", ONE)],
        ids=["parts", "completion over an older version", "manifest", "manifest over an older version"],
    )
    def test_a_process_that_dies(self, client: S3Client, other: S3Client, operation: str, over: bytes | None) -> None:
        if over is not None:
            converted(other, over)
        put(other, TWO)
        dies = Trouble(10**6, kills=True)
        before(client, operation, 2 if operation != "PutObject" or over else 1, lambda: die_now(dies))
        with troubled(client, dies), pytest.raises(KilledError):
            convert(client)
        require_truth(other, *VERSIONS)
        assert convert(other).outcome is Outcome.CONVERTED
        require_committed(other, TWO)

    def test_rejects_of_several_parts_and_then_none(self, client: S3Client) -> None:
        ragged = ONE + ONE.partition(b"\n")[2].replace(b"\n", b",x\n")
        put(client, ragged)
        sent = record(client)
        assert convert(client, delimiter=",", max_rejected_ratio=1.0).outcome is Outcome.CONVERTED
        assert operations(sent).count("CompleteMultipartUpload") == 3
        assert client.head_object(Bucket=OUTPUT_BUCKET, Key=REJECTS)["ETag"].endswith('-2"')
        assert require_truth(client, ragged) == {MANIFEST: "committed"}
        converted(client, TWO)
        assert require_truth(client, TWO) == {MANIFEST: "committed"}
        assert standing(client)[REJECTS] == b""
        assert uploads(client) == []

    def test_a_conflict_when_parts_are_put_together_uploads_them_again(self, client: S3Client) -> None:
        put(client, ONE)
        answer(client, "CompleteMultipartUpload", (409, "ConditionalRequestConflict"))
        sent = record(client)
        assert convert(client).outcome is Outcome.CONVERTED
        assert operations(sent).count("CreateMultipartUpload") == 4
        require_committed(client, ONE)

    def test_an_upload_that_another_has_aborted_ends_as_skipped(self, client: S3Client, other: S3Client) -> None:
        put(client, ONE)
        before(client, "UploadPart", 4, lambda: converted_over_a_claim(other))
        assert convert(client).outcome is Outcome.SKIPPED
        require_committed(client, ONE)


def die_now(trouble: Trouble) -> None:
    trouble.number = 0
    raise KilledError


def converted_over_a_claim(client: S3Client) -> None:
    """Convert as who comes after a crash does, aborting what uploads stand."""
    client.put_object(Bucket=OUTPUT_BUCKET, Key=MANIFEST, Body=b"")
    assert convert(client).outcome is Outcome.CONVERTED


class TestRaces:
    @pytest.mark.parametrize("size", ["small", "large"])
    def test_many_processors_on_one_key_while_it_changes(self, client: S3Client, size: str) -> None:
        """However it goes, what a manifest says stands; and one more conversion brings the newest version."""
        versions = [b"id,text\n%d,x\n" % number for number in range(4)] if size == "small" else [ONE, TWO]
        for version in versions:
            put(client, version)
            start = threading.Barrier(4)
            with ThreadPoolExecutor(4) as threads:
                racing = [threads.submit(race, start) for _ in range(3)]
                start.wait(timeout=60)
                put(client, versions[0])
                put(client, version)
                results = [future.result() for future in racing]
            assert {result.retryable for result in results if result.outcome is Outcome.FAILED} <= {True}
            require_truth(client, *versions)
            assert convert(client).outcome in (Outcome.CONVERTED, Outcome.SKIPPED)
            require_committed(client, version)


def race(start: threading.Barrier) -> ObjectResult:
    with processor(make_client(connections_max=20), part_bytes=PART, parquet_compression="none") as made:
        start.wait(timeout=60)
        return made.convert(KEY)


class TestManyObjects:
    def test_a_prefix_with_everything_in_it(self, client: S3Client) -> None:
        names = [f"in/{number:03}.csv" for number in range(40)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: put(client, BAD if name.endswith("7.csv") else DAY, name), names))
        put(client, b"", "in/empty.csv")
        put(client, b"no table", "in/readme.md")
        put(client, ONE, "in/large.csv")
        with processor(client) as made:
            report = made.run()
            again = made.run()
        assert report.to_dict()["files"] == {"converted": 37, "skipped": 2, "failed": 4, "deferred": 0}
        assert again.to_dict()["files"] == {"converted": 0, "skipped": 39, "failed": 4, "deferred": 0}
        states = require_truth(client, *VERSIONS)
        assert (len(states), set(states.values())) == (37, {"committed"})
        assert uploads(client) == []

    def test_wrangler_brings_the_same(self, client: S3Client, seaweed_server: object) -> None:
        assert seaweed_server
        put(client, ONE)
        with processor(client) as made:
            assert made.convert(KEY).outcome is Outcome.CONVERTED
        plain = standing(client)
        with processor(client, use_wrangler=True) as made:
            assert made.convert(KEY).outcome is Outcome.SKIPPED
            assert made.convert(KEY, force=True).outcome is Outcome.CONVERTED
        assert standing(client) == plain

    def test_a_notebook(self, client: S3Client) -> None:
        put(client, ONE)
        with processor(client) as made:
            assert made.read_s3_file(INPUT_BUCKET, KEY) == made.read_s3_file(INPUT_BUCKET, KEY) == ONE
            frame = made.read_csv_to_dataframe(INPUT_BUCKET, KEY)
            made.write_parquet_to_s3(frame, OUTPUT_BUCKET, "mine.parquet")
            made.write_avro_to_s3(frame, OUTPUT_BUCKET, "mine.avro")
        objects = standing(client)
        assert parquet_cells(objects["mine.parquet"]) == avro_cells(objects["mine.avro"]) == csv_cells(ONE)

    def test_a_bucket_that_is_not_there_or_not_ours(self, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
        put(client, DAY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with processor(patient_client()) as made:
            result = made.convert(KEY)
            assert (result.outcome, result.retryable) == (Outcome.FAILED, False)
            with pytest.raises(errors.AccessDeniedError):
                made.list_s3_objects()
        assert standing(client) == {}


class TestFunction:
    """The handler with events as AWS sends them, and its own client."""

    @pytest.fixture(autouse=True)
    def _deployed(self, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        for bucket in ("source-bucket", "target-bucket"):
            client.create_bucket(Bucket=bucket)
        environment = {"INPUT_BUCKET": "source-bucket", "OUTPUT_BUCKET": "target-bucket", "PREFIX": "in/"}
        for name, value in (environment | {"LOG_LEVEL": "CRITICAL"}).items():
            monkeypatch.setenv(name, value)
        logger = logging.getLogger("csv_transcode")
        as_it_was = (logger.handlers[:], logger.level, logger.propagate)
        yield
        lambda_handler._FUNCTION._discard()
        logger.handlers[:], logger.level, logger.propagate = as_it_was
        for bucket in ("source-bucket", "target-bucket"):
            for key in standing(client, bucket):
                client.delete_object(Bucket=bucket, Key=key)
            client.delete_bucket(Bucket=bucket)

    @pytest.mark.parametrize(
        "name",
        [
            *("s3_put_special_key", "s3_put_2_6_versioned_special_key", "eventbridge_object_created_special_key"),
            *("sqs_s3_special_key", "sqs_eventbridge_special_key", "direct_keys_special_key", "scheduler"),
        ],
    )
    def test_an_object_of_a_special_key(self, client: S3Client, name: str) -> None:
        client.put_object(Bucket="source-bucket", Key="in/Größe 100%+Rabatt.csv", Body=DAY)
        event = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
        told = lambda_handler.lambda_handler(event, None)
        assert told in ({"batchItemFailures": []}, told | {"statusCode": 200})
        objects = standing(client, "target-bucket")
        assert parquet_cells(objects["processed/Größe 100%+Rabatt.parquet"]) == csv_cells(DAY)
        assert avro_cells(objects["processed/Größe 100%+Rabatt.avro"]) == csv_cells(DAY)

    def test_a_batch_of_messages_with_a_bad_one(self, client: S3Client) -> None:
        client.put_object(Bucket="source-bucket", Key="in/good.csv", Body=DAY)
        client.put_object(Bucket="source-bucket", Key="in/bad.csv", Body=BAD)
        event = json.loads((EVENTS / "eventbridge_object_created.json").read_text(encoding="utf-8"))
        records = []
        for key in ("in/good.csv", "in/bad.csv", "in/none.csv"):
            event["detail"]["object"]["key"] = key
            records.append({"messageId": key, "eventSource": "aws:sqs", "body": json.dumps(event)})
        assert lambda_handler.lambda_handler({"Records": records}, None) == {
            "batchItemFailures": [{"itemIdentifier": "in/bad.csv"}, {"itemIdentifier": "in/none.csv"}]
        }


class TestCommandLine:
    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "csv_transcode", "convert", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    def test_from_s3_to_s3_and_to_files(self, client: S3Client, tmp_path: Path) -> None:
        put(client, ONE)
        put(client, BAD, "in/bad.csv")
        done = self.run(f"s3://{INPUT_BUCKET}/in/", f"s3://{OUTPUT_BUCKET}/processed/")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("1 converted, 1 failed; 6,000 records")
        assert done.stdout == ""
        require_committed_as(client, "bad.csv")
        done = self.run(f"s3://{INPUT_BUCKET}/{KEY}", tmp_path / "out")
        assert (done.returncode, done.stdout) == (0, "")
        objects = standing(client)
        for path, key in ((tmp_path / "out" / "day.parquet", PARQUET), (tmp_path / "out" / "day.avro", AVRO)):
            assert path.read_bytes() == objects[key]


def require_committed_as(client: S3Client, *failed: str) -> None:
    assert require_truth(client, *VERSIONS) == {MANIFEST: "committed"}
    recorded = {f"processed/_failed/{name}.json" for name in failed}
    assert set(standing(client)) == {PARQUET, AVRO, MANIFEST, *recorded}


def test_nobody_waits_for_the_whole_of_a_large_object(client: S3Client) -> None:
    """Parts of the outputs go up while ranges of the source still come."""
    source = b"id,text\n" + b"".join(b"%d,%s\n" % (i, b"%032x" % (i * 7**30) * 30) for i in range(60_000))
    put(client, source)
    sent = record(client)
    with processor(client, part_bytes=PART, parquet_compression="none", avro_codec="null") as made:
        report = made.run(made.list_s3_objects())
    assert report.results[0].outcome is Outcome.CONVERTED
    order = operations(sent)
    ranges = [place for place, request in enumerate(sent) if "range" in request.headers]
    assert len(ranges) == -(-len(source) // (RANGE_PARTS * PART)) > 1
    assert order.index("UploadPart") < ranges[-1]

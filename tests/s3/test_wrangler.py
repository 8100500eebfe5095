"""Objects fetched with awswrangler: exactly the one asked for, and one version of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from csv_transcode import errors
from csv_transcode.runtime import Runtime
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import ObjectStore
from csv_transcode.s3.wrangler import DownloadedSource, download_source
from tests.conftest import INPUT_BUCKET as BUCKET
from tests.s3.faults import Slept, before, operations, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

DAY = b"id\n1\n"


def fetch(s3: S3Client, key: str, **options: Any) -> DownloadedSource | None:
    given = {"if_none_match": None, "client": s3} | options
    return download_source(ObjectStore(s3, Runtime()), BUCKET, key, **given)


def content(source: DownloadedSource | None) -> bytes:
    assert source is not None
    return b"".join(source.chunks())


def put(s3: S3Client, key: str, body: bytes = DAY) -> str:
    return s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"].strip('"')


def during_download(s3: S3Client, act: Callable[[], object]) -> None:
    """Call ``act`` just before awswrangler asks for the bytes."""
    s3.meta.events.register_first("before-send.s3.GetObject", lambda **_: act() and None)


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            "day.csv",
            "day[1].csv",
            "d?y.csv",
            "*.csv",
            "in//day.csv",
            "a b+c%20ä.csv",
            "day.csv/",
            "!ay.csv",
            "in/s3:/x",
        ],
    )
    def test_exactly_the_key(self, s3: S3Client, key: str) -> None:
        for other in ("day.csv.bak", "day1.csv", "daz.csv", "day.csv", "in/day.csv"):
            put(s3, other, b"another")
        etag = put(s3, key)
        source = fetch(s3, key)
        assert content(source) == DAY
        assert source is not None
        assert (source.bucket, source.key, source.etag, source.size) == (BUCKET, key, etag, len(DAY))

    @pytest.mark.parametrize("key", ["in/s3://day.csv", "x:accesspoint/day.csv"])
    def test_a_key_that_awswrangler_would_take_for_another_is_refused(self, s3: S3Client, key: str) -> None:
        """It takes these words out of the middle of a key, and reads what stands there then."""
        for other in ("in/day.csv", "x:accesspoint:day.csv", key):
            put(s3, other, b"another")
        with pytest.raises(errors.StoreError, match="USE_WRANGLER"):
            fetch(s3, key)


class TestTrouble:
    @pytest.mark.parametrize("error", [ReadTimeoutError(endpoint_url="s3"), ConnectionClosedError(endpoint_url="s3")])
    def test_awswrangler_does_not_ask_again_by_itself(self, s3: S3Client, error: Exception) -> None:
        """It would, six times, each of them repeated by the client, and sleep for up to a minute in between."""
        put(s3, "day.csv")
        slept = Slept()
        client = make_client(connections_max=1, retries_max=2, runtime=slept.runtime())
        asked = []

        def before_send(**_: object) -> None:
            asked.append("GetObject")
            raise error

        client.meta.events.register_first("before-send.s3.GetObject", before_send)
        with pytest.raises(errors.RetryableStoreError, match=r"awswrangler\.s3\.download s3://input-bucket/day\.csv"):
            fetch(client, "day.csv")
        assert len(asked) == 3
        assert len(slept) == 2

    def test_what_stands_no_more_is_missing(self, s3: S3Client) -> None:
        put(s3, "day.csv")
        before(s3, "GetObject", 1, lambda: s3.delete_object(Bucket=BUCKET, Key="day.csv"))
        with pytest.raises(errors.ObjectNotFoundError):
            fetch(s3, "day.csv")


class TestLimits:
    def test_an_object_over_the_budget_is_refused_before_a_byte_of_it_comes(self, s3: S3Client) -> None:
        put(s3, "day.csv", b"x" * 11)
        sent = record(s3)
        with pytest.raises(errors.LimitError, match=r"11 bytes are more than USE_WRANGLER can buffer \(10\)"):
            fetch(s3, "day.csv", bytes_max=10)
        assert operations(sent) == ["HeadObject"]
        put(s3, "day.csv", b"x" * 10)
        assert content(fetch(s3, "day.csv", bytes_max=10)) == b"x" * 10

    def test_an_unchanged_object_is_not_downloaded(self, s3: S3Client) -> None:
        etag = put(s3, "day.csv")
        sent = record(s3)
        assert fetch(s3, "day.csv", if_none_match=etag) is None
        assert operations(sent) == ["HeadObject"]
        assert content(fetch(s3, "day.csv", if_none_match="0" * 32)) == DAY

    def test_an_empty_object(self, s3: S3Client) -> None:
        put(s3, "day.csv", b"")
        assert content(fetch(s3, "day.csv")) == b""

    def test_no_other_session_of_the_process_is_asked(self, s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """boto3's default session may be of another account."""
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())
        monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: pytest.fail("another client was made"))
        put(s3, "day.csv")
        assert content(fetch(s3, "day.csv")) == DAY

    def test_a_missing_object(self, s3: S3Client) -> None:
        with pytest.raises(errors.ObjectNotFoundError):
            fetch(s3, "day.csv")

    def test_its_bytes_come_in_pieces_as_often_as_asked(self, s3: S3Client) -> None:
        body = bytes(range(256)) * 10_000
        put(s3, "day.csv", body)
        source = fetch(s3, "day.csv")
        assert source is not None
        for _ in range(2):
            pieces = list(source.chunks())
            assert (b"".join(pieces), len(pieces)) == (body, 3)
        source.close()
        assert list(source.chunks()) == []


class TestVersions:
    def versioning(self, s3: S3Client, status: Any) -> None:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})

    def test_an_object_that_changes_on_the_way_is_refused(self, s3: S3Client) -> None:
        put(s3, "day.csv")
        during_download(s3, lambda: put(s3, "day.csv", b"id\n2\n"))
        with pytest.raises(errors.PreconditionFailedError, match="changed while it was downloaded"):
            fetch(s3, "day.csv")

    def test_an_object_that_is_deleted_on_the_way_is_refused(self, s3: S3Client) -> None:
        put(s3, "day.csv")
        during_download(s3, lambda: s3.delete_object(Bucket=BUCKET, Key="day.csv"))
        with pytest.raises((errors.PreconditionFailedError, errors.ObjectNotFoundError)):
            fetch(s3, "day.csv")

    def test_where_versions_are_kept_the_one_that_was_seen_comes(self, s3: S3Client) -> None:
        self.versioning(s3, "Enabled")
        version = s3.put_object(Bucket=BUCKET, Key="day.csv", Body=DAY)["VersionId"]
        during_download(s3, lambda: put(s3, "day.csv", b"id\n2\n"))
        source = fetch(s3, "day.csv")
        assert content(source) == DAY
        assert source is not None
        assert source.version_id == version

    @pytest.mark.parametrize("status", ["Enabled", "Suspended"])
    def test_a_version_without_an_id_can_be_overwritten(self, s3: S3Client, status: str) -> None:
        """What was there before versions were kept is version ``null``."""
        put(s3, "day.csv")
        self.versioning(s3, status)
        pretend_null_version(s3)
        during_download(s3, lambda: put(s3, "day.csv", b"id\n2\n"))
        with pytest.raises(errors.PreconditionFailedError, match="changed while it was downloaded"):
            fetch(s3, "day.csv")

    def test_a_body_of_another_length_is_refused(self, s3: S3Client) -> None:
        put(s3, "day.csv")

        def ask_for_less(request: Any, **_: object) -> None:
            request.headers["Range"] = "bytes=0-1"

        s3.meta.events.register_first("before-send.s3.GetObject", ask_for_less)
        with pytest.raises(errors.RetryableStoreError, match="2 bytes came, 5 stand there"):
            fetch(s3, "day.csv")


def pretend_null_version(s3: S3Client) -> None:
    """Let HEAD say ``null``, as S3 does of such an object."""

    def after_call(parsed: dict[str, Any], **_: object) -> None:
        parsed.setdefault("VersionId", "null")

    s3.meta.events.register("after-call.s3.HeadObject", after_call)

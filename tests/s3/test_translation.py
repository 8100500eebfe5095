"""Every way in which S3, the network or the SDK says no, and which of our errors it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from botocore import exceptions as sdk
from botocore.awsrequest import AWSResponse
from botocore.parsers import ResponseParserError
from urllib3 import exceptions as http

from csv_transcode import errors
from csv_transcode.s3.client import make_client
from csv_transcode.s3.store import Condition, ObjectStore
from tests.s3.faults import Slept, _Raw, answer

if TYPE_CHECKING:
    from collections.abc import Callable

SAID = [
    (400, "InvalidArgument", errors.StoreError),
    (400, "ExpiredToken", errors.AccessDeniedError),
    (400, "BadDigest", errors.RetryableStoreError),
    (400, "RequestTimeout", errors.RetryableStoreError),
    (400, "RequestLimitExceeded", errors.RetryableStoreError),
    (400, "ThrottlingException", errors.RetryableStoreError),  # of KMS, through S3
    (400, "KMS.ThrottlingException", errors.RetryableStoreError),
    (400, "KMS.DisabledException", errors.StoreError),
    (400, "XAmzContentChecksumMismatch", errors.RetryableStoreError),
    (403, "AccessDenied", errors.AccessDeniedError),
    (403, "SignatureDoesNotMatch", errors.AccessDeniedError),
    (403, "InvalidObjectState", errors.ArchivedError),
    (404, "NoSuchBucket", errors.BucketNotFoundError),
    (404, "NoSuchKey", errors.ObjectNotFoundError),
    (404, "NoSuchVersion", errors.ObjectNotFoundError),
    (409, "ConditionalRequestConflict", errors.ConflictError),
    (409, "OperationAborted", errors.ConflictError),
    (412, "PreconditionFailed", errors.PreconditionFailedError),
    (416, "InvalidRange", errors.PreconditionFailedError),
    (429, "TooManyRequests", errors.RetryableStoreError),
    (500, "InternalError", errors.RetryableStoreError),
    (501, "NotImplemented", errors.StoreError),
    (403, "SlowDown", errors.RetryableStoreError),
    (503, "SlowDown", errors.RetryableStoreError),
    (503, "ServiceUnavailable", errors.RetryableStoreError),
]
BROKEN: list[tuple[Exception, type[errors.StoreError]]] = [
    (sdk.EndpointConnectionError(endpoint_url="http://s3", error="refused"), errors.RetryableStoreError),
    (sdk.ConnectTimeoutError(endpoint_url="http://s3"), errors.RetryableStoreError),
    (sdk.ReadTimeoutError(endpoint_url="http://s3"), errors.RetryableStoreError),
    (sdk.ConnectionClosedError(endpoint_url="http://s3"), errors.RetryableStoreError),
    (sdk.SSLError(endpoint_url="http://s3", error="bad record"), errors.RetryableStoreError),
    (sdk.HTTPClientError(error="something else"), errors.RetryableStoreError),
    (http.ProtocolError("broken"), errors.RetryableStoreError),
    (http.SSLError("bad record"), errors.RetryableStoreError),
    (ResponseParserError("invalid XML"), errors.RetryableStoreError),
    (sdk.NoCredentialsError(), errors.AccessDeniedError),
    (sdk.CredentialRetrievalError(provider="p", error_msg="m"), errors.AccessDeniedError),
    (sdk.UnknownEndpointError(service_name="s3", region_name="r"), errors.StoreError),
]


@pytest.fixture(scope="module")
def store() -> ObjectStore:
    """Return a store that sends a request once, and would find nobody to send it to."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        client = make_client(connections_max=1, retries_max=0)
    return ObjectStore(client, Slept().runtime())


@pytest.mark.parametrize(("status", "code", "expected"), SAID, ids=[f"{status}-{code}" for status, code, _ in SAID])
def test_an_answer_becomes(store: ObjectStore, status: int, code: str, expected: type[Exception]) -> None:
    answer(store._client, "GetObject", (status, code))
    with pytest.raises(errors.StoreError) as caught:
        store.get("some-bucket", "some/key")
    assert type(caught.value) is expected
    for said in ("GetObject", "s3://some-bucket/some/key", str(status), code, "as the test says"):
        assert said in str(caught.value)
    assert isinstance(caught.value.__cause__, sdk.ClientError)


@pytest.mark.parametrize(("broken", "expected"), BROKEN, ids=[type(broken).__name__ for broken, _ in BROKEN])
def test_a_broken_network_becomes(store: ObjectStore, broken: Exception, expected: type[Exception]) -> None:
    answer(store._client, "GetObject", broken)
    with pytest.raises(errors.StoreError) as caught:
        store.get("some-bucket", "some/key")
    assert type(caught.value) is expected
    for said in ("GetObject", "s3://some-bucket/some/key", type(broken).__name__):
        assert said in str(caught.value)
    assert caught.value.__cause__ is broken


@pytest.mark.parametrize(
    ("code", "expected"),
    [("InternalError", errors.RetryableStoreError), ("PreconditionFailed", errors.PreconditionFailedError)],
)
def test_an_error_inside_a_200_is_one(store: ObjectStore, code: str, expected: type[Exception]) -> None:
    answer(store._client, "CompleteMultipartUpload", (200, code))
    answer(store._client, "HeadObject", *[(404, "")] * (code == "PreconditionFailed"))
    with pytest.raises(expected, match=code):
        store.complete_upload("b-1", "k", "u", ["e"], condition=Condition.absent(), attempt_id="a")


def test_arguments_that_the_sdk_refuses_are_translated_too(store: ObjectStore) -> None:
    with pytest.raises(errors.StoreError, match="ParamValidationError"):
        store.get("some-bucket", "")


def calls(store: ObjectStore) -> dict[str, Callable[[], object]]:
    """Return a call for every operation."""
    condition = Condition.none()
    return {
        "ListObjectsV2": lambda: list(store.list_objects("b-1", "k")),
        "GetObject": lambda: store.get("b-1", "k"),
        "HeadObject": lambda: store.head("b-1", "k"),
        "PutObject": lambda: store.put(
            "b-1", "k", b"", condition=condition, attempt_id="a", marker="avro", content_type="t"
        ),
        "CreateMultipartUpload": lambda: store.create_upload(
            "b-1", "k", attempt_id="a", marker="avro", content_type="t"
        ),
        "UploadPart": lambda: store.upload_part("b-1", "k", "u", 1, b""),
        "CompleteMultipartUpload": lambda: store.complete_upload(
            "b-1", "k", "u", ["e"], condition=condition, attempt_id="a"
        ),
        "AbortMultipartUpload": lambda: store.abort_upload("b-1", "k", "u"),
        "ListMultipartUploads": lambda: list(store.list_uploads("b-1", "k")),
    }


def test_every_method_translates(store: ObjectStore) -> None:
    for operation, call in calls(store).items():
        answer(store._client, operation, (403, "AccessDenied"))
        with pytest.raises(errors.AccessDeniedError, match=rf"{operation}.* s3://b-1/k: 403"):
            call()


def test_a_missing_object_is_a_condition_not_met_where_an_etag_was_asked_for(store: ObjectStore) -> None:
    answer(store._client, "GetObject", (404, "NoSuchKey"))
    with pytest.raises(errors.PreconditionFailedError, match="NoSuchKey"):
        store.get("some-bucket", "key", if_match="e")
    answer(store._client, "PutObject", (404, "NoSuchKey"))
    answer(store._client, "HeadObject", (404, ""))
    with pytest.raises(errors.PreconditionFailedError, match="NoSuchKey"):
        store.put("b-1", "k", b"", condition=Condition.matches("e"), attempt_id="a", marker="avro", content_type="t")


def test_a_missing_bucket_is_never_a_condition_not_met(store: ObjectStore) -> None:
    answer(store._client, "PutObject", (404, "NoSuchBucket"))
    with pytest.raises(errors.BucketNotFoundError):
        store.put("b-1", "k", b"", condition=Condition.matches("e"), attempt_id="a", marker="avro", content_type="t")


@pytest.mark.parametrize("code", ["AccessDenied", ""], ids=["get", "head"])
def test_a_403_to_a_reader_says_that_the_object_may_be_missing(store: ObjectStore, code: str) -> None:
    answer(store._client, "GetObject" if code else "HeadObject", (403, code))
    with pytest.raises(errors.AccessDeniedError, match="s3:ListBucket"):
        store.get("some-bucket", "key") if code else store.head("some-bucket", "key")


HEAD: Final = {"ETag": '"e"', "Content-Length": "2", "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
LISTED: Final = """<ListBucketResult><IsTruncated>false</IsTruncated>
<Contents><Key>k</Key><Size>12</Size><ETag>"e"</ETag><LastModified>2026-11-23T10:00:00.000Z</LastModified></Contents></ListBucketResult>"""


@pytest.mark.parametrize(
    ("operation", "head", "body"),
    [
        ("GetObject", {"ETag": None}, "ab"),
        ("GetObject", {"Content-Length": None}, "ab"),
        ("GetObject", {"Content-Length": "2x"}, "ab"),
        ("GetObject", {"Content-Range": "bytes 0-1/2x"}, "ab"),
        ("GetObject", {"Last-Modified": "Mon, 99 Nxv"}, "ab"),
        ("HeadObject", {"ETag": None}, ""),
        ("HeadObject", {"Content-Length": None}, ""),
        ("PutObject", {"ETag": None}, ""),
        ("UploadPart", {"ETag": None}, ""),
        ("CreateMultipartUpload", {}, "<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"),
        ("CompleteMultipartUpload", {}, "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"),
        ("ListObjectsV2", {}, LISTED.replace("<Size>12", "<Size>1x")),
        ("ListObjectsV2", {}, LISTED.replace("2026-", "20x6")),
        ("ListObjectsV2", {}, LISTED.replace("ETag", "ETbg")),
    ],
)
def test_an_answer_that_was_damaged_on_its_way_may_be_whole_the_next_time(
    store: ObjectStore, operation: str, head: dict[str, str | None], body: str
) -> None:
    """Only bodies have checksums."""
    headers = {name: value for name, value in (HEAD | head).items() if value is not None}
    damaged = AWSResponse("http://s3", 200, headers, _Raw(body.encode()))
    events = store._client.meta.events
    events.register_first(f"before-send.s3.{operation}", lambda **_: damaged, unique_id="damaged")
    try:
        with pytest.raises(errors.RetryableStoreError, match=rf"{operation}.* s3://b-1/k: (KeyError|ValueError)"):
            calls(store)[operation]()
    finally:
        events.unregister(f"before-send.s3.{operation}", unique_id="damaged")

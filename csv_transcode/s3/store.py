"""Every S3 request of the package, and the translation of everything that can go wrong with one.

ETags are kept as S3 gives them but without their double quotes. Metadata must be ASCII: values are percent-encoded on
their way out, and come back as S3 has them.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from copy import copy
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, overload
from urllib.parse import quote

from msgspec import Struct, field

from csv_transcode.errors import ConflictError, PreconditionFailedError
from csv_transcode.s3.delays import full_jitter
from csv_transcode.s3.translation import foreign_errors, status_of, translated
from csv_transcode.s3.watch import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, ObjectTypeDef

    from csv_transcode.runtime import Runtime
    from csv_transcode.s3.watch import Watch

ATTEMPT_ID: Final = "attempt-id"
MARKER: Final = "csv-transcode"  # on every object that this package writes: which kind of output it is
CONFLICT_REPEATS_MAX: Final = 5
READ_BYTES: Final = 1 << 20
ARCHIVES: Final = ("GLACIER", "DEEP_ARCHIVE")  # GLACIER_IR is read like any other


class Condition(Struct, frozen=True):
    """What must hold at a key for an upload to become its object."""

    if_match: str | None = None
    if_none_match: str | None = None

    @classmethod
    def absent(cls) -> Condition:
        """Ask that no object stands at the key."""
        return cls(if_none_match="*")

    @classmethod
    def matches(cls, etag: str) -> Condition:
        """Ask that the object at the key has this ETag."""
        return cls(if_match=etag)

    @classmethod
    def none(cls) -> Condition:
        """Ask nothing: whatever stands there is replaced."""
        return cls()

    @property
    def parameters(self) -> dict[str, Any]:
        """The condition as a request says it."""
        return _given(IfMatch=_quoted(self.if_match), IfNoneMatch=self.if_none_match)


class ListedObject(Struct, frozen=True):
    """One object of a listing."""

    key: str
    size: int
    etag: str
    storage_class: str
    last_modified: datetime
    is_restored: bool = False  # from an archive, for the time being

    @property
    def is_archived(self) -> bool:
        """Whether a GET would be refused until the object is restored."""
        return self.storage_class in ARCHIVES and not self.is_restored


class ListedUpload(Struct, frozen=True):
    """One multipart upload that has been neither completed nor aborted."""

    key: str
    upload_id: str


class StoredObject(Struct, frozen=True):
    """An object as it stands; ``size`` is None where S3 did not say, and ``version_id`` where versions are not kept."""

    etag: str
    version_id: str | None
    size: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class GotObject(Struct, frozen=True):
    """The answer to a GET: ``content_length`` bytes of an object of ``size`` bytes, beginning at byte ``start``.

    ``body`` belongs to the caller, who closes it.
    """

    etag: str
    size: int
    version_id: str | None
    body: ObjectBody
    start: int
    content_length: int
    metadata: Mapping[str, str]


class ObjectBody:
    """The bytes of one answer; they come once, and whatever breaks on the way is a RetryableStoreError."""

    def __init__(self, stream: Any, request: str) -> None:  # noqa: ANN401 (botocore has no types)
        self._stream = stream
        self._request = request

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, or all where it is negative.

        Fewer mean that the end was reached, and that length and checksum are right as far as the SDK can check them.
        """
        if size < 0:
            return self.read1(None)
        pieces = []
        while size and (piece := self.read1(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def read1(self, size: int | None) -> bytes:
        """Return what one read brings: at most ``size`` bytes, none at the verified end; everything for None."""
        with _translating(f"{self._request}: body"):
            data: bytes = self._stream.read(size)
        return data

    def close(self) -> None:
        """Give the connection back, or drop it where there is more to come."""
        self._stream.close()


class ObjectStore:
    """One S3 client's requests. Every method raises the errors of ``csv_transcode.errors`` and no others.

    ``owners`` says which account must own a bucket: every request there says so, and S3 refuses it where another one
    does. What is written is encrypted with the KMS key ``kms_key_id``, or as the bucket has it. ``watch`` is told of
    every answer to the client, so that of the stores of one client only one may have it.
    """

    def __init__(
        self,
        client: S3Client,
        runtime: Runtime,
        *,
        owners: Mapping[str, str] | None = None,
        kms_key_id: str | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._owners = dict(owners or {})
        self._encryption: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        )
        self._version: dict[str, str] = {}
        if watch is not None:
            tell(client, watch, runtime.clock)

    def of_version(self, version_id: str) -> ObjectStore:
        """Return this store as it is for one older version of one object: its GETs ask for that."""
        store = copy(self)
        store._version = {"VersionId": version_id}  # noqa: SLF001 -- its own
        return store

    def owned(self, bucket: str) -> dict[str, Any]:
        """Return ``bucket``, and the account that must own it if one is expected, as a request says it."""
        return {"Bucket": bucket, **_given(ExpectedBucketOwner=self._owners.get(bucket))}

    def rest(self, repeat: int) -> None:
        """Wait before something is tried again for the ``repeat``-th time, from 0."""
        self._runtime.sleep(full_jitter(self._runtime, repeat))

    def list_objects(self, bucket: str, prefix: str, start_after: str = "") -> Iterator[ListedObject]:
        """Yield the objects under ``prefix`` whose keys come after ``start_after``, in the order of their keys.

        A page that fails raises, after what the pages before it have yielded.
        """
        pages = self._client.get_paginator("list_objects_v2")
        asked = {**self.owned(bucket), "Prefix": prefix, **_given(StartAfter=start_after or None)}
        with _translating(_request("ListObjectsV2", bucket, prefix)):
            for page in pages.paginate(OptionalObjectAttributes=["RestoreStatus"], **asked):
                yield from map(_listed, page.get("Contents", ()))

    @overload
    def get(
        self,
        bucket: str,
        key: str,
        *,
        if_none_match: None = None,
        if_match: str | None = None,
        byte_range: tuple[int, int] | None = None,
    ) -> GotObject: ...

    @overload
    def get(
        self,
        bucket: str,
        key: str,
        *,
        if_none_match: str | None,
        if_match: str | None = None,
        byte_range: tuple[int, int] | None = None,
    ) -> GotObject | None: ...

    def get(
        self,
        bucket: str,
        key: str,
        *,
        if_none_match: str | None = None,
        if_match: str | None = None,
        byte_range: tuple[int, int] | None = None,
    ) -> GotObject | None:
        """Return an object, or its bytes from ``byte_range[0]`` up to but not including ``byte_range[1]``.

        None: the object has the ETag ``if_none_match``. An empty object is the answer to any range that begins at 0.
        """
        pinned = _given(IfNoneMatch=_quoted(if_none_match), IfMatch=_quoted(if_match))
        ranged = _given(Range=byte_range and f"bytes={byte_range[0]}-{byte_range[1] - 1}")
        request = _request("GetObject", bucket, key)
        try:
            asked = {**self.owned(bucket), **self._version, **pinned, **ranged}
            return _got(self._client.get_object(Key=key, **asked), request)
        except foreign_errors() as error:
            if status_of(error) == HTTPStatus.NOT_MODIFIED:
                return None
            if status_of(error) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and byte_range and byte_range[0] == 0:
                # Not even byte 0 exists, so the object is empty; this answer says neither its ETag nor its version.
                return self.get(bucket, key, if_none_match=if_none_match, if_match=if_match)
            raise translated(error, request, if_match=if_match is not None) from error

    def read(self, bucket: str, key: str) -> Iterator[bytes]:
        """Yield an object's bytes as they come; what breaks on the way is a RetryableStoreError."""
        body = self.get(bucket, key).body
        try:
            while piece := body.read1(READ_BYTES):
                yield piece
        finally:
            body.close()

    def head(self, bucket: str, key: str) -> StoredObject | None:
        """Return what stands at ``key``; None where nothing does (or the bucket does not exist: HEAD says only 404)."""
        try:
            answer = self._client.head_object(**self.owned(bucket), Key=key)
            etag, size = _unquoted(answer["ETag"]), answer["ContentLength"]
        except foreign_errors() as error:
            if status_of(error) == HTTPStatus.NOT_FOUND:
                return None
            raise translated(error, _request("HeadObject", bucket, key)) from error
        return StoredObject(etag, answer.get("VersionId"), size, answer["Metadata"])

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        condition: Condition,
        attempt_id: str,
        marker: str,
        content_type: str,
    ) -> StoredObject:
        """Make ``body`` the object at ``key``; PreconditionFailedError where ``condition`` does not hold.

        ``attempt_id`` must be new for every body: where the SDK repeats a request whose answer was lost, the condition
        fails because of the first one, and the attempt id at the object tells that from another writer's (contract
        section 6, point 4). ``marker`` says at the object what kind of output it is. A conflict is repeated, and raised
        after CONFLICT_REPEATS_MAX repeats.
        """
        parameters = {
            "Body": body,
            "ContentType": content_type,
            "Metadata": _metadata(attempt_id, marker),
            **self._encryption,
            **condition.parameters,
        }
        for repeat in range(CONFLICT_REPEATS_MAX):
            with suppress(ConflictError):
                return self._put(bucket, key, attempt_id, parameters)
            self.rest(repeat)
        return self._put(bucket, key, attempt_id, parameters)

    def create_upload(self, bucket: str, key: str, *, attempt_id: str, marker: str, content_type: str) -> str:
        """Create a multipart upload and return its id; it stands, and costs, until completed or aborted."""
        with _translating(_request("CreateMultipartUpload", bucket, key)):
            answer = self._client.create_multipart_upload(
                **self.owned(bucket),
                Key=key,
                ContentType=content_type,
                Metadata=_metadata(attempt_id, marker),
                **self._encryption,
            )
            return answer["UploadId"]

    def upload_part(self, bucket: str, key: str, upload_id: str, number: int, body: bytes) -> str:
        """Upload part ``number`` (from 1) and return its ETag; PreconditionFailedError where the upload is gone."""
        with _translating(_request(f"UploadPart {number}", bucket, key)):
            answer = self._client.upload_part(
                **self.owned(bucket), Key=key, UploadId=upload_id, PartNumber=number, Body=body
            )
            return _unquoted(answer["ETag"])

    def complete_upload(
        self, bucket: str, key: str, upload_id: str, etags: Sequence[str], *, condition: Condition, attempt_id: str
    ) -> StoredObject:
        """Make the parts with these ETags, numbered from 1, the object at ``key``.

        PreconditionFailedError where ``condition`` does not hold or the upload is gone, unless the object carries
        ``attempt_id`` (see ``put``). ConflictError: all parts must be uploaded again. Either way the upload, if it
        still stands, is the caller's to abort.
        """
        parts: Any = [{"PartNumber": number, "ETag": _quoted(etag)} for number, etag in enumerate(etags, start=1)]
        request = _request("CompleteMultipartUpload", bucket, key)
        try:
            with _translating(request, if_match=condition.if_match is not None):
                answer = self._client.complete_multipart_upload(
                    **self.owned(bucket),
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                    **condition.parameters,
                )
                return StoredObject(_unquoted(answer["ETag"]), answer.get("VersionId"))
        except PreconditionFailedError:
            if ours := self._ours(bucket, key, attempt_id):
                return ours
            raise

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Abort a multipart upload; one that is gone already is as good."""
        with suppress(PreconditionFailedError), _translating(_request("AbortMultipartUpload", bucket, key)):
            self._client.abort_multipart_upload(**self.owned(bucket), Key=key, UploadId=upload_id)

    def list_uploads(self, bucket: str, prefix: str) -> Iterator[ListedUpload]:
        """Yield the multipart uploads that stand under ``prefix``."""
        pages = self._client.get_paginator("list_multipart_uploads")
        with _translating(_request("ListMultipartUploads", bucket, prefix)):
            for page in pages.paginate(**self.owned(bucket), Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    yield ListedUpload(upload["Key"], upload["UploadId"])

    def _put(self, bucket: str, key: str, attempt_id: str, parameters: dict[str, Any]) -> StoredObject:
        try:
            with _translating(_request("PutObject", bucket, key), if_match="IfMatch" in parameters):
                answer = self._client.put_object(**self.owned(bucket), Key=key, **parameters)
                return StoredObject(_unquoted(answer["ETag"]), answer.get("VersionId"), len(parameters["Body"]))
        except PreconditionFailedError:
            if ours := self._ours(bucket, key, attempt_id):
                return ours
            raise

    def _ours(self, bucket: str, key: str, attempt_id: str) -> StoredObject | None:
        """Return the object at ``key`` if this very attempt has put it there."""
        found = self.head(bucket, key)
        return found if found and found.metadata.get(ATTEMPT_ID) == quote(attempt_id) else None


@contextmanager
def _translating(request: str, *, if_match: bool = False) -> Iterator[None]:
    try:
        yield
    except foreign_errors() as error:
        raise translated(error, request, if_match=if_match) from error


def _request(operation: str, bucket: str, key: str) -> str:
    return f"{operation} s3://{bucket}/{key}"


def _given(**parameters: str | None) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _quoted(etag: str | None) -> str | None:
    return None if etag is None else f'"{etag}"'


def _unquoted(etag: str) -> str:
    return etag.strip('"')


def _metadata(attempt_id: str, marker: str) -> dict[str, str]:
    return {ATTEMPT_ID: quote(attempt_id), MARKER: quote(marker)}


def _listed(entry: ObjectTypeDef) -> ListedObject:
    return ListedObject(
        key=entry["Key"],
        size=entry["Size"],
        etag=_unquoted(entry["ETag"]),
        storage_class=entry.get("StorageClass", "STANDARD"),
        last_modified=entry["LastModified"],
        is_restored="RestoreExpiryDate" in entry.get("RestoreStatus", {}),
    )


def _got(answer: GetObjectOutputTypeDef, request: str) -> GotObject:
    # "bytes 0-9/1234" where the answer is a part of the object
    unit, _, size = answer.get("ContentRange", "").partition("/")
    return GotObject(
        etag=_unquoted(answer["ETag"]),
        size=int(size) if size else answer["ContentLength"],
        version_id=answer.get("VersionId"),
        body=ObjectBody(answer["Body"], request),
        start=int(unit.removeprefix("bytes ").partition("-")[0]) if size else 0,
        content_length=answer["ContentLength"],
        metadata=answer["Metadata"],
    )

"""S3 as its clients see it, in memory: raw HTTP requests in, raw HTTP and XML answers out, strongly consistent.

What it refuses it refuses as S3 does: conditions that do not hold, checksums that are wrong, parts that are too small,
uploads that are gone, buckets that belong to somebody else than the request expects.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, unquote_plus
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

OWNER: Final = "111122223333"
PAGE_KEYS_MAX: Final = 1000
DATE: Final = "2026-11-23T12:00:00.000Z"
META: Final = "x-amz-meta-"
CHECKSUM: Final = "x-amz-checksum-crc32"
_NO_CONTENT: Final = 204
_PARTIAL: Final = 206


@dataclass(frozen=True)
class Request:
    """One request as it arrives: header names in lower case, body as it was sent and once it is unpacked."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def operation(self) -> str:
        """The name that the SDK has for it; ``ListObjectsV2`` for a further page, too."""
        for method, mark, name in _OPERATIONS:
            if method == self.method and (mark in self.query if mark else True):
                return name if self.key or name in _OF_BUCKETS else "ListObjectsV2"
        message = f"{self.method} {self.query}"
        raise NotImplementedError(message)


_OF_BUCKETS: Final = ("ListMultipartUploads",)
_OPERATIONS: Final = (
    ("GET", "uploads", "ListMultipartUploads"),
    ("GET", "", "GetObject"),
    ("HEAD", "", "HeadObject"),
    ("PUT", "partNumber", "UploadPart"),
    ("PUT", "", "PutObject"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
)
WRITES: Final = ("PutObject", "CompleteMultipartUpload")


@dataclass(frozen=True)
class Answer:
    """One answer; ``body`` is what comes, which the headers may contradict."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Held:
    """One version of one object; ``serial`` tells it from every other object that was ever written."""

    content: bytes
    etag: str
    serial: int
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    checksum: str | None


@dataclass
class Upload:
    """A multipart upload that has been neither completed nor aborted."""

    key: str
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    serial: int
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass
class Bucket:
    """What stands in one bucket; ``versioned`` says whether answers name versions."""

    versioned: bool = False
    unique_etags: bool = False
    objects: dict[str, Held] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    versions: dict[tuple[str, str], Held] = field(default_factory=dict)  # by key and version id, where versioned

    def copy(self) -> Bucket:
        """Return a bucket that can change without this one."""
        uploads = {name: replace(upload, parts=dict(upload.parts)) for name, upload in self.uploads.items()}
        return replace(self, objects=dict(self.objects), uploads=uploads, versions=dict(self.versions))


class RefusedError(Exception):
    """S3's refusal: a status and S3's own word for it."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Server:
    """Some buckets, and the answers to requests for them."""

    def __init__(self, buckets: dict[str, Bucket], *, page_keys: int = PAGE_KEYS_MAX, part_bytes_min: int = 1) -> None:
        self.buckets = buckets
        self.page_keys = page_keys
        self.part_bytes_min = part_bytes_min
        self._serial = 0

    def copy(self) -> Server:
        """Return a server that can change without this one."""
        buckets = {name: bucket.copy() for name, bucket in self.buckets.items()}
        made = Server(buckets, page_keys=self.page_keys, part_bytes_min=self.part_bytes_min)
        made._serial = self._serial
        return made

    def answer(self, request: Request) -> Answer:
        """Carry a request out, or refuse it."""
        try:
            return _ANSWERS[request.operation](self, self._bucket(request), request)
        except RefusedError as refusal:
            return refused(refusal.status, refusal.code, request.method)

    def _bucket(self, request: Request) -> Bucket:
        if request.headers.get("x-amz-expected-bucket-owner", OWNER) != OWNER:
            raise RefusedError(403, "AccessDenied")
        if request.bucket not in self.buckets:
            raise RefusedError(404, "NoSuchBucket")
        return self.buckets[request.bucket]

    def put(self, bucket: str, key: str, content: bytes, *, checksum: bool = True) -> Held:
        """Make ``content`` the object at ``key``, as somebody else than the product does."""
        return self._hold(self.buckets[bucket], key, content, {}, {}, checksum=crc32(content) if checksum else None)

    def delete(self, bucket: str, key: str) -> None:
        """Take the object at ``key`` away, as somebody else than the product does."""
        del self.buckets[bucket].objects[key]

    # ------------------------------------------------------------------ objects

    def _put_object(self, bucket: Bucket, request: Request) -> Answer:
        content, checksum = _received(request)
        _require_condition(bucket, request)
        held = self._hold(bucket, request.key, content, _metadata(request), _kept_headers(request), checksum=checksum)
        return Answer(200, _identity(bucket, held))

    def _get_object(self, bucket: Bucket, request: Request) -> Answer:
        held = _standing(bucket, request)
        headers = _described(bucket, held)
        etag = f'"{held.etag}"'
        if request.headers.get("if-match", etag) != etag:
            raise RefusedError(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == etag:
            return Answer(304, _identity(bucket, held))
        asked = request.headers.get("range")
        if asked is None:
            if held.checksum and request.headers.get("x-amz-checksum-mode") == "ENABLED":
                headers[CHECKSUM] = held.checksum
            return Answer(200, headers | {"content-length": str(len(held.content))}, held.content)
        return _ranged(held, headers, asked)

    def _head_object(self, bucket: Bucket, request: Request) -> Answer:
        held = _standing(bucket, request)
        return Answer(200, _described(bucket, held) | {"content-length": str(len(held.content))})

    def _list_objects(self, bucket: Bucket, request: Request) -> Answer:
        prefix, query = request.query.get("prefix", ""), request.query
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = sorted(key for key in bucket.objects if key.startswith(prefix) and key > after)
        shown = keys[: min(self.page_keys, int(query.get("max-keys", PAGE_KEYS_MAX)))]
        cut = len(shown) < len(keys)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if cut else ""
        listed = "".join(_listed(key, bucket.objects[key], url="encoding-type" in query) for key in shown)
        encoding = "<EncodingType>url</EncodingType>" if "encoding-type" in query else ""
        return _xml(
            "ListBucketResult",
            f"<Name>{request.bucket}</Name><KeyCount>{len(shown)}</KeyCount>{encoding}"
            f"<IsTruncated>{str(cut).lower()}</IsTruncated>{token}{listed}",
        )

    def _hold(
        self,
        bucket: Bucket,
        key: str,
        content: bytes,
        metadata: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        checksum: str | None,
        etag: str | None = None,
    ) -> Held:
        self._serial += 1
        if etag is None or bucket.unique_etags:
            etag = _md5(content if not bucket.unique_etags else b"%d" % self._serial)
        bucket.objects[key] = held = Held(content, etag, self._serial, metadata, headers, checksum)
        if bucket.versioned:
            bucket.versions[key, _version_id(held)] = held
        return held

    # ------------------------------------------------------------------ multipart uploads

    def _create(self, bucket: Bucket, request: Request) -> Answer:
        self._serial += 1
        upload_id = f"upload-{self._serial}"
        bucket.uploads[upload_id] = Upload(request.key, _metadata(request), _kept_headers(request), self._serial)
        return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")

    def _upload_part(self, bucket: Bucket, request: Request) -> Answer:
        content, _ = _received(request)
        upload = _upload(bucket, request)
        etag = _md5(content)
        upload.parts[int(request.query["partNumber"])] = (etag, content)
        return Answer(200, {"etag": f'"{etag}"'})

    def _complete(self, bucket: Bucket, request: Request) -> Answer:
        upload = _upload(bucket, request)
        _require_condition(bucket, request)
        named = list(_named_parts(request.body))
        parts = [upload.parts.get(number, ("", b"")) for number, _ in named]
        if not named or [etag for etag, _ in parts] != [etag for _, etag in named]:
            raise RefusedError(400, "InvalidPart")
        if any(len(content) < self.part_bytes_min for _, content in parts[:-1]):
            raise RefusedError(400, "EntityTooSmall")
        digest = hashlib.md5(b"".join(bytes.fromhex(etag) for etag, _ in parts), usedforsecurity=False).hexdigest()
        content = b"".join(part for _, part in parts)
        del bucket.uploads[request.query["uploadId"]]
        etag = f"{digest}-{len(parts)}"
        held = self._hold(bucket, request.key, content, upload.metadata, upload.headers, checksum=None, etag=etag)
        answer = _xml(
            "CompleteMultipartUploadResult", f"<Key>{escape(request.key)}</Key><ETag>&quot;{held.etag}&quot;</ETag>"
        )
        return replace(answer, headers={**answer.headers, **_version(bucket, held)})

    def _abort(self, bucket: Bucket, request: Request) -> Answer:
        _upload(bucket, request)
        del bucket.uploads[request.query["uploadId"]]
        return Answer(_NO_CONTENT)

    def _list_uploads(self, bucket: Bucket, request: Request) -> Answer:
        query = request.query
        after = (query.get("key-marker", ""), query.get("upload-id-marker", ""))
        found = sorted((upload.key, name) for name, upload in bucket.uploads.items())
        found = [one for one in found if one[0].startswith(query.get("prefix", "")) and one > after]
        shown = found[: self.page_keys]
        cut = len(shown) < len(found)
        marks = (
            f"<NextKeyMarker>{escape(shown[-1][0])}</NextKeyMarker>"
            f"<NextUploadIdMarker>{shown[-1][1]}</NextUploadIdMarker>"
            if cut
            else ""
        )
        listed = "".join(
            f"<Upload><Key>{escape(key)}</Key><UploadId>{name}</UploadId><Initiated>{DATE}</Initiated></Upload>"
            for key, name in shown
        )
        return _xml("ListMultipartUploadsResult", f"<IsTruncated>{str(cut).lower()}</IsTruncated>{marks}{listed}")


_ANSWERS: Final[Mapping[str, Callable[[Server, Bucket, Request], Answer]]] = {
    "ListObjectsV2": Server._list_objects,
    "GetObject": Server._get_object,
    "HeadObject": Server._head_object,
    "PutObject": Server._put_object,
    "CreateMultipartUpload": Server._create,
    "UploadPart": Server._upload_part,
    "CompleteMultipartUpload": Server._complete,
    "AbortMultipartUpload": Server._abort,
    "ListMultipartUploads": Server._list_uploads,
}


def parsed(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Return the request that was sent to ``https://bucket.s3.…/key?query``."""
    host, _, rest = url.partition("://")[2].partition("/")
    path, _, text = rest.partition("?")
    query = {}
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        query[name] = unquote_plus(value)
    return Request(method, host.partition(".")[0], unquote(path), query, headers, body)


def refused(status: int, code: str, method: str = "GET") -> Answer:
    """Return S3's refusal; one of a HEAD has no body, and so no word but the status."""
    body = b"" if method == "HEAD" else f"<Error><Code>{code}</Code><Message>as S3 says</Message></Error>".encode()
    return Answer(status, {"content-type": "application/xml", "content-length": str(len(body))}, body)


def crc32(content: bytes) -> str:
    """Return S3's text of a CRC32."""
    return b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def _received(request: Request) -> tuple[bytes, str | None]:
    """Return a body as it was meant, and its checksum; refuse one that is not what was sent."""
    content, trailer = request.body, dict[str, str]()
    if "aws-chunked" in request.headers.get("content-encoding", ""):
        content, trailer = _dechunked(request.body)
        if len(content) != int(request.headers["x-amz-decoded-content-length"]):
            raise RefusedError(400, "IncompleteBody")
    told = trailer.get(CHECKSUM) or request.headers.get(CHECKSUM)
    if told is not None and told != crc32(content):
        raise RefusedError(400, "BadDigest")
    return content, told


def _dechunked(body: bytes) -> tuple[bytes, dict[str, str]]:
    content, at = list[bytes](), 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].partition(b";")[0], 16)
        at = end + 2
        if not size:
            lines = body[at:].decode().split("\r\n")
            return b"".join(content), dict(line.split(":", 1) for line in lines if line)
        content.append(body[at : at + size])
        at += size + 2


def _require_condition(bucket: Bucket, request: Request) -> None:
    """Refuse a write whose condition does not hold: 412, or 404 for an If-Match where nothing stands."""
    held = bucket.objects.get(request.key)
    if "if-none-match" in request.headers and held is not None:
        raise RefusedError(412, "PreconditionFailed")
    expected = request.headers.get("if-match")
    if expected is not None and held is None:
        raise RefusedError(404, "NoSuchKey")
    if expected is not None and held is not None and expected != f'"{held.etag}"':
        raise RefusedError(412, "PreconditionFailed")


def _standing(bucket: Bucket, request: Request) -> Held:
    version_id = request.query.get("versionId")
    held = bucket.versions.get((request.key, version_id)) if version_id else bucket.objects.get(request.key)
    if held is None:
        raise RefusedError(404, "NoSuchVersion" if version_id else "NoSuchKey")
    return held


def _upload(bucket: Bucket, request: Request) -> Upload:
    upload = bucket.uploads.get(request.query["uploadId"])
    if upload is None or upload.key != request.key:
        raise RefusedError(404, "NoSuchUpload")
    return upload


def _metadata(request: Request) -> dict[str, str]:
    return {name.removeprefix(META): value for name, value in request.headers.items() if name.startswith(META)}


def _kept_headers(request: Request) -> dict[str, str]:
    """Return what the object remembers of how it was to be stored."""
    return {name: value for name, value in request.headers.items() if name.startswith("x-amz-server-side-encryption")}


def _version(bucket: Bucket, held: Held) -> dict[str, str]:
    return {"x-amz-version-id": _version_id(held)} if bucket.versioned else {}


def _version_id(held: Held) -> str:
    return f"version-{held.serial}"


def _identity(bucket: Bucket, held: Held) -> dict[str, str]:
    return {"etag": f'"{held.etag}"', **_version(bucket, held)}


def _described(bucket: Bucket, held: Held) -> dict[str, str]:
    metadata = {META + name: value for name, value in held.metadata.items()}
    return {**_identity(bucket, held), **metadata, "last-modified": "Mon, 23 Nov 2026 12:00:00 GMT"}


def _ranged(held: Held, headers: dict[str, str], asked: str) -> Answer:
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start, stop = int(first), min(int(last) + 1, len(held.content))
    if start >= len(held.content):
        raise RefusedError(416, "InvalidRange")
    content = held.content[start:stop]
    place = {"content-range": f"bytes {start}-{stop - 1}/{len(held.content)}", "content-length": str(len(content))}
    return Answer(_PARTIAL, headers | place, content)


def _listed(key: str, held: Held, *, url: bool) -> str:
    name = quote(key) if url else escape(key)
    return (
        f"<Contents><Key>{name}</Key><LastModified>{DATE}</LastModified><ETag>&quot;{held.etag}&quot;</ETag>"
        f"<Size>{len(held.content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _named_parts(body: bytes) -> Iterator[tuple[int, str]]:
    for part in body.decode().split("<Part>")[1:]:
        number = part.partition("<PartNumber>")[2].partition("<")[0]
        etag = part.partition("<ETag>")[2].partition("<")[0]
        yield int(number), etag.replace("&quot;", "").strip('"')


def _xml(name: str, inner: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}>{inner}</{name}>'.encode()
    return Answer(200, {"content-type": "application/xml", "content-length": str(len(body))}, body)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()

"""What the SDK and its HTTP library raise, in the words of this package.

Nothing of them is imported before something was raised: whoever raised it has loaded them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from csv_transcode.errors import (
    AccessDeniedError,
    ArchivedError,
    BucketNotFoundError,
    ConflictError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RetryableStoreError,
    StoreError,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# S3's own word decides where it says more than the status, or comes with a status of its own (an error inside a 200).
_BY_CODE: Final[dict[str, type[StoreError]]] = {
    "AccessDenied": AccessDeniedError,
    "ConditionalRequestConflict": ConflictError,
    "ExpiredToken": AccessDeniedError,
    "InvalidObjectState": ArchivedError,
    "InvalidToken": AccessDeniedError,
    "NoSuchBucket": BucketNotFoundError,
    "NoSuchKey": ObjectNotFoundError,
    # A conversion that has committed aborts the uploads it finds: whoever misses one was overtaken.
    "NoSuchUpload": PreconditionFailedError,
    "NotImplemented": StoreError,
    "OperationAborted": ConflictError,
    "PreconditionFailed": PreconditionFailedError,
    # 400, yet nothing is wrong with the request but what happened to it on the way.
    "BadDigest": RetryableStoreError,
    "IncompleteBody": RetryableStoreError,
    "RequestTimeout": RetryableStoreError,
    "XAmzContentChecksumMismatch": RetryableStoreError,
    "XAmzContentSHA256Mismatch": RetryableStoreError,
}
_BY_STATUS: Final[dict[int, type[StoreError]]] = {
    HTTPStatus.FORBIDDEN: AccessDeniedError,
    HTTPStatus.NOT_FOUND: ObjectNotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.PRECONDITION_FAILED: PreconditionFailedError,
    # Only bytes of an object already seen are asked for: it has become shorter.
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: PreconditionFailedError,
    HTTPStatus.TOO_MANY_REQUESTS: RetryableStoreError,
}
_THROTTLED_CODES: Final = ("SlowDown", "RequestLimitExceeded", "BandwidthLimitExceeded", "RequestThrottled")
_HIDDEN: Final = " (a missing object too looks like this where s3:ListBucket is not granted)"


def foreign_errors() -> tuple[type[Exception], ...]:
    """Return everything that a request, or the reading of its answer, raises.

    The last two come of a head or a listing that was damaged on its way: a number or a date that is none, a field that
    is missing.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    return BotoCoreError, ClientError, HTTPError, ResponseParserError, ValueError, KeyError


def status_of(error: Exception) -> int:
    """Return the HTTP status S3 answered with; 0 where there was no answer."""
    response: dict[str, dict[str, int]] = getattr(error, "response", None) or {}
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def asks_for_fewer(code: str) -> bool:
    """Say whether S3's word for an error means too many requests, its own or KMS's, whatever the status is."""
    return code in _THROTTLED_CODES or "Throttling" in code


def translated(error: Exception, request: str, *, if_match: bool = False) -> StoreError:
    """Return our error for a foreign one; ``request`` says operation, bucket and key.

    ``if_match``: the request was conditional on an ETag, so that a missing object is a condition not met.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415

    if not isinstance(error, ClientError):
        return _kind_without_answer(error)(f"{request}: {type(error).__name__}: {error}")
    kind = _kind_of_answer(error)
    if if_match and kind is ObjectNotFoundError:
        kind = PreconditionFailedError
    answer = error.response["Error"]
    hint = _HIDDEN if kind is AccessDeniedError and error.operation_name in ("GetObject", "HeadObject") else ""
    return kind(f"{request}: {status_of(error)} {answer.get('Code')}: {answer.get('Message')}{hint}")


def _kind_of_answer(error: ClientError) -> type[StoreError]:
    code, status = error.response["Error"].get("Code", ""), status_of(error)
    if asks_for_fewer(code):
        return RetryableStoreError
    fallback = RetryableStoreError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StoreError
    return _BY_CODE.get(code) or _BY_STATUS.get(status, fallback)


def _kind_without_answer(error: Exception) -> type[StoreError]:
    """Return the kind of an error that S3 has not sent: credentials, arguments, or else the network."""
    from botocore import exceptions  # noqa: PLC0415

    credentials = exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError
    network = (
        *(exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError),
        exceptions.FlexibleChecksumError,
    )
    if isinstance(error, credentials):
        return AccessDeniedError
    arguments = isinstance(error, exceptions.BotoCoreError) and not isinstance(error, network)
    return StoreError if arguments else RetryableStoreError

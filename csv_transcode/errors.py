"""The exceptions of the package, one tree, and whether trying again can help.

    TranscodeError
    ├── SettingsError               a setting is missing, wrong, or not supported yet
    ├── EventError                  a payload that is none of the events we know
    ├── SourceError                 the source's own bytes cannot be converted; trying again changes nothing
    │   ├── CompressionError        compressed, or compressed and damaged
    │   ├── EncodingError           not text in the expected encoding
    │   ├── DialectError            delimiter, quoting or header not convincing, or not supported
    │   ├── RecordError             one record breaks the format: where, what was found, what was expected
    │   ├── RejectedError           too many records are rejected
    │   └── LimitError              larger than a named limit allows
    ├── FrameError                  a DataFrame or table that cannot be written without changing a value
    ├── ConservationError           counts do not add up: nothing is published
    ├── ManifestError               a commit record that is damaged, archived, or of another version
    ├── StoreError                  S3 said no
    │   ├── BucketNotFoundError
    │   ├── ObjectNotFoundError     404 (or 403 where ListBucket is not granted)
    │   ├── AccessDeniedError
    │   ├── PreconditionFailedError 412, or 404 on an If-Match: somebody else was first
    │   ├── ConflictError           409: repeat (PutObject) or upload again (CompleteMultipartUpload)
    │   ├── ArchivedError           in an archive storage class, not restored
    │   └── RetryableStoreError     throttled, 5xx, network, short body
    ├── RetryableError              everything here may work if simply tried again
    │   ├── ContendedError          lost to other writers more often than the limit on start-overs
    │   └── DeadlineError           the invocation's time is over, or too short for this; a fresh one has more
    ├── TooLongError                no fresh invocation of this function could finish it in time
    ├── UnexpectedError             a defect of this package, or no memory: of one object, which it must not outlive
    ├── BackfillError               a backfill that cannot be started, followed, or summed up
    └── FilesFailedError            raised by the handler for an event whose sender must learn of the failure

``retryable`` says whether the same request may succeed later without anybody changing anything.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from csv_transcode.rejects import Reject


class TranscodeError(Exception):
    """Root of every error that the package raises on purpose."""

    retryable: bool = False


class SettingsError(TranscodeError):
    """All the settings that are wrong, in one message: variable, value, what is allowed."""


class EventError(TranscodeError):
    """The payload is not an event that this function answers; raised before any S3 request."""


class SourceError(TranscodeError):
    """The source cannot be converted as it is; the same bytes will fail again."""


class CompressionError(SourceError):
    """The source is compressed in a way that is not supported, or its compressed data is damaged."""


class EncodingError(SourceError):
    """The source's bytes are not text in the encoding expected."""


class DialectError(SourceError):
    """Delimiter, quoting or header are not convincing, or not supported."""


class RecordError(SourceError):
    """One record breaks the format.

    ``record`` counts from 1 after the header (0 is the header), ``line`` from 1, ``offset`` and ``length`` are bytes in
    the decoded source, ``reason`` is the machine-readable word of contract section 5.
    """

    reason = "record"

    def __init__(
        self, detail: str, *, record: int, line: int, offset: int, length: int = 0, reason: str | None = None
    ) -> None:
        super().__init__(f"record {record} (line {line}, byte {offset}): {detail}")
        self.detail = detail
        self.record = record
        self.line = line
        self.offset = offset
        self.length = length
        self.reason = reason or type(self).reason


class RejectedError(SourceError):
    """More records are rejected than MAX_REJECTED_RATIO allows: ``rejected`` of ``read``; ``rejects`` are the first."""

    def __init__(self, message: str, *, read: int, rejected: int, rejects: tuple[Reject, ...]) -> None:
        super().__init__(message)
        self.read = read
        self.rejected = rejected
        self.rejects = rejects


class LimitError(SourceError):
    """The source is larger, in some dimension, than a named limit allows."""


class FrameError(TranscodeError):
    """A DataFrame holds something that the format cannot say exactly."""


class ConservationError(TranscodeError):
    """Records read, written and rejected do not add up; nothing has been published."""


class ManifestError(TranscodeError):
    """A commit record cannot be read: damaged, archived, or of a version that this one does not know."""


class StoreError(TranscodeError):
    """S3 refused a request; the message names operation, bucket, key, status and S3's own code."""


class BucketNotFoundError(StoreError):
    """The bucket does not exist."""


class ObjectNotFoundError(StoreError):
    """The object does not exist (or may not be seen: 403 without ``s3:ListBucket``)."""


class AccessDeniedError(StoreError):
    """The credentials may not do this."""


class PreconditionFailedError(StoreError):
    """A conditional request lost (412, or 404 on an ``If-Match``)."""


class ConflictError(StoreError):
    """409: another conditional request was under way at the same key."""


class ArchivedError(StoreError):
    """The object lies in an archive storage class and has not been restored."""


class RetryableStoreError(StoreError):
    """Throttling, 5xx, a network error or a short body, after the bounded retries."""

    retryable = True


class RetryableError(TranscodeError):
    """The work was not done, nothing is wrong with it, and trying again may succeed."""

    retryable = True


class ContendedError(RetryableError):
    """Other writers won every one of a bounded number of attempts at the same key."""


class DeadlineError(RetryableError):
    """The invocation has no time left for this: nothing was published, and what was begun is aborted."""


class TooLongError(TranscodeError):
    """At the rate measured, no fresh invocation could finish this: more memory, a longer timeout, or Fargate."""


class BackfillError(TranscodeError):
    """A backfill cannot be started, followed, or summed up; the message says what was asked of whom."""


class FilesFailedError(TranscodeError):
    """Some files of an event failed; raised so that an asynchronous sender retries and then dead-letters it."""


class UnexpectedError(TranscodeError):
    """An exception that is none of these, out of one object's conversion: kind and place, and never its own words.

    What Arrow says of a value quotes it. Running out of memory may go better alone, so it is retryable.
    """

    def __init__(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        super().__init__(f"{type(error).__name__}{place}: not foreseen, so this object was given up")
        self.retryable = isinstance(error, MemoryError)

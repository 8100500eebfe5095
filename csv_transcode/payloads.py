"""What the senders' payloads look like, as far as they are read, and how one is read as what it should be.

One shape for each thing that AWS sends; msgspec holds a payload against it, and says where what was found instead of
what. Fields that no shape names are never looked at, so that senders may add some. Sizes, which are hints, and
parts that only some events need are ``Any``, which msgspec passes through unseen: who reads them says what becomes
of one that is wrong.
docs/decisions/2026-11-23-payloads.md says why msgspec, and what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from csv_transcode.errors import EventError

OBJECTS_MAX: Final = 100_000  # named one by one in one event; more than that is a prefix
RECORDS_MAX: Final = 10_000  # of one event: the largest batch that Lambda takes from SQS
MESSAGE_CHARACTERS_MAX: Final = 1 << 20  # of one text that holds an event: SQS's own limit is 1 MiB
MESSAGES_CHARACTERS_MAX: Final = 6 << 20  # of all of them together: Lambda's own limit is 6 MB
ID_CHARACTERS_MAX: Final = 4096  # of what an answer repeats

Json = Mapping[str, Any]
Id = Annotated[str, Meta(max_length=ID_CHARACTERS_MAX)]
Shape = TypeVar("Shape")


class BucketName(Struct):
    """``{"name": …}``, of a notification or of EventBridge."""

    name: str


class NotifiedObject(Struct):
    """``Records[].s3.object`` of a notification; the key is URL-encoded."""

    key: str
    size: Any = None


class NotifiedEntity(Struct):
    """``Records[].s3`` of a notification that an object was created."""

    bucket: BucketName
    object: NotifiedObject


class NotificationRecord(Struct, rename="camel"):
    """One record of a notification; what ``s3`` holds depends on ``event_name``."""

    event_name: str
    s3: Any = None


class Notification(Struct):
    """An S3 notification."""

    records: Annotated[list[NotificationRecord], Meta(max_length=RECORDS_MAX)] = field(name="Records")


class EventBridgeObject(Struct, rename="kebab"):
    """``detail.object`` of an EventBridge event; the key stands as it is."""

    key: str
    size: Any = None


class EventBridgeDetail(Struct):
    """``detail`` of "Object Created"."""

    bucket: BucketName
    object: EventBridgeObject


class EventBridgeEvent(Struct, rename="kebab"):
    """An EventBridge event of S3; what ``detail`` holds depends on ``detail_type``."""

    detail_type: str
    detail: Any = None


class SnsMessage(Struct, rename="pascal"):
    """``Records[].Sns``, and what SNS puts into a queue where raw delivery is off; ``message`` holds an event."""

    message: str
    type: str = "Notification"


class SnsRecord(Struct, rename="pascal"):
    """One record of what SNS sends to a function."""

    sns: SnsMessage


class SnsEvent(Struct, rename="pascal"):
    """What SNS sends to a function."""

    records: Annotated[list[SnsRecord], Meta(max_length=RECORDS_MAX)]


class QueuedMessage(Struct, rename="camel"):
    """One message of a queue; a body that is no event is this message's failure alone."""

    message_id: Id
    body: Any = None


class QueueBatch(Struct, rename="pascal"):
    """What Lambda reads from a queue."""

    records: Annotated[list[QueuedMessage], Meta(max_length=RECORDS_MAX)]


class FailedInvocation(Struct, rename="camel"):
    """What Lambda sends to a failure destination: the event that failed each time, and around it how it failed."""

    request_payload: Any


class ListedItem(Struct, rename="pascal"):
    """One item of a Distributed Map: an object of a listing, or a row of an Inventory (``bucket``), a CSV or a JSON."""

    key: str
    bucket: str | None = None
    size: Any = None
    is_delete_marker: Any = None


class ItemBatch(Struct, rename="pascal"):
    """What a Distributed Map with an ItemBatcher sends."""

    items: Annotated[list[ListedItem], Meta(max_length=OBJECTS_MAX)]


class WrittenResults(Struct, rename="pascal"):
    """Where the results of a Distributed Map's batches are: the manifest that names them."""

    bucket: str
    key: str


class MapOutput(Struct, rename="pascal"):
    """The output of a Distributed Map with a ResultWriter."""

    result_writer_details: WrittenResults


class BatchFailure(Struct):
    """One bad file of a batch."""

    key: str
    reason: str = ""


class BatchReport(Struct):
    """What the state machine keeps of the function's report on a batch."""

    files: dict[str, int]
    records: dict[str, int]
    bytes: dict[str, int]
    failures: list[BatchFailure]


class BatchTask(Struct, rename="camel"):
    """One task of S3 Batch Operations; version 1.0 names the bucket by ARN, 2.0 by name."""

    task_id: Id
    s3_key: Any = field(default=None, name="s3Key")
    s3_bucket: Any = field(default=None, name="s3Bucket")
    s3_bucket_arn: Any = field(default=None, name="s3BucketArn")


class BatchInvocation(Struct, rename="camel"):
    """What S3 Batch Operations sends, in any version of its schema."""

    invocation_schema_version: Id
    invocation_id: Id
    tasks: Annotated[list[BatchTask], Meta(max_length=RECORDS_MAX)]


class DirectCall(Struct):
    """What a person or a program sends by itself, but for ``prefix`` and ``start_after``."""

    keys: Annotated[list[str], Meta(max_length=OBJECTS_MAX)] | None = None
    dry_run: bool = False
    force: bool = False


def read_as(payload: object, shape: type[Shape], where: str = "the event") -> Shape:
    """Return ``payload`` as a ``shape``; EventError says where what was found, and what was expected, and no values."""
    try:
        return msgspec.convert(payload, shape)
    except msgspec.ValidationError as error:
        message = str(error)
        located = message.replace("`$", f"`{where}") if "`$" in message else f"{message} - at `{where}`"
        raise EventError(located) from None
    except UnicodeEncodeError:
        message = f"{where} holds a name that is not valid Unicode"
        raise EventError(message) from None


def read_json(text: object, where: str) -> object:
    """Return the JSON that ``text`` is; EventError where it is none, or too long. Its own words are not repeated."""
    if not isinstance(text, str):
        message = f"{where} is {type(text).__name__}, expected a text"
        raise EventError(message)
    if len(text) > MESSAGE_CHARACTERS_MAX:
        message = f"{where} has {len(text)} characters, at most {MESSAGE_CHARACTERS_MAX} are allowed"
        raise EventError(message)
    try:
        found: object = msgspec.json.decode(text)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        message = f"{where} is no JSON ({len(text)} characters)"
        raise EventError(message) from None
    return found

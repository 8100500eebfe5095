"""Any event → what it asks for (contract section 2): objects, skipped keys, or a listing.

One row of ``_ROWS`` and one function for every row of the contract's table; ``payloads.py`` has the shapes. A function
raises ``EventError`` where a payload is not what its row says; nothing else is ever raised, whatever the payload is.

Buckets, keys and event names are required to be texts. A size is a hint, for the current
version is what is converted: one of the wrong type is as good as missing.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from msgspec import Struct, field
from msgspec.structs import replace

from csv_transcode.errors import EventError
from csv_transcode.keys import KEY_BYTES_MAX
from csv_transcode.payloads import (
    MESSAGES_CHARACTERS_MAX,
    BatchInvocation,
    BatchTask,
    DirectCall,
    EventBridgeDetail,
    EventBridgeEvent,
    FailedInvocation,
    ItemBatch,
    Json,
    ListedItem,
    MapOutput,
    Notification,
    NotificationRecord,
    NotifiedEntity,
    QueueBatch,
    SnsEvent,
    SnsMessage,
    read_as,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from csv_transcode.keys import KeyMap

SHOWN_MAX: Final = 100
NAMES_SHOWN_MAX: Final = 10
SIZE_DIGITS_MAX: Final = 15
TEST_EVENT: Final = "s3:TestEvent"
CREATED: Final = "ObjectCreated:"
OBJECT_CREATED: Final = "Object Created"
NOTIFICATION: Final = "Notification"
_DIRECT_FIELDS: Final = ("keys", "prefix", "start_after", "dry_run", "force")


class EventKind(Enum):
    """Who invoked the function, and so in what shape the answer goes back."""

    S3_NOTIFICATION = "S3 notification"
    SNS = "S3 → SNS"
    SQS = "SQS"
    EVENTBRIDGE = "EventBridge"
    SCHEDULE = "schedule"
    DIRECT = "direct"
    STEP_FUNCTIONS = "Step Functions"
    MAP_RESULTS = "Step Functions' results"
    S3_BATCH = "S3 Batch Operations"


class EventObject(Struct, frozen=True):
    """One key to convert; ``size`` is a hint of what the event knew, ``message_id`` the message that named it."""

    key: str
    size: int | None = None
    message_id: str | None = None


class Skipped(Struct, frozen=True):
    """One thing that the event names and that is not converted; ``key`` is empty where it names none."""

    key: str
    reason: str
    message_id: str | None = None


class Sweep(Struct, frozen=True):
    """A listing to convert: keys under ``prefix`` (which lies under PREFIX), after ``start_after``."""

    prefix: str
    start_after: str | None = None


class BatchJob(Struct, frozen=True):
    """What an answer to S3 Batch Operations repeats of its question."""

    schema_version: str
    invocation_id: str


class MapResults(Struct, frozen=True):
    """Where the results of a Distributed Map's batches are: in the object ``key`` of the output bucket, or here."""

    key: str | None = None
    inline: tuple[object, ...] = ()


class Invocation(Struct, frozen=True):
    """What one event asks for.

    A *message* is one of SQS, or a task of S3 Batch Operations: what is answered one by one. ``objects`` holds every
    key once; ``carriers`` has, for keys that came in messages, the ids of all messages that named them. ``malformed``
    holds (message id, why) of messages that name nothing that could be read; ``message_ids`` all messages. An event
    with ``map_results`` asks for their sum, and for no conversion.
    """

    kind: EventKind
    objects: tuple[EventObject, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    sweep: Sweep | None = None
    dry_run: bool = False
    force: bool = False
    malformed: tuple[tuple[str, str], ...] = ()
    message_ids: tuple[str, ...] = ()
    carriers: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    batch_job: BatchJob | None = None
    map_results: MapResults | None = None


def parse_event(event: object, key_map: KeyMap) -> Invocation:
    """Return what ``event`` asks for; ``EventError`` where it is none of the events of the contract."""
    payload = _object(event, "the event")
    return _row_of(payload).read(payload, key_map)


class _Row(Struct, frozen=True):
    kind: EventKind
    recognises: Callable[[Json], bool]
    read: Callable[[Json, KeyMap], Invocation]


def _row_of(payload: Json) -> _Row:
    for row in _ROWS:
        if row.recognises(payload):
            return row
    names = ", ".join(_shown(name) for name in islice(payload, NAMES_SHOWN_MAX)) or "none"
    message = f"not an event that this function answers; its fields are {names}"
    raise EventError(message)


def _s3_notification(payload: Json, key_map: KeyMap) -> Invocation:
    """Read an S3 notification, or the test event that S3 sends when one is configured."""
    if payload.get("Event") == TEST_EVENT:
        return Invocation(EventKind.S3_NOTIFICATION, skipped=(Skipped("", TEST_EVENT),))
    records = enumerate(read_as(payload, Notification).records)
    return _invocation(EventKind.S3_NOTIFICATION, (_s3_record(record, number, key_map) for number, record in records))


def _s3_record(record: NotificationRecord, number: int, key_map: KeyMap) -> EventObject | Skipped:
    name = record.event_name.removeprefix("s3:")
    if not name.startswith(CREATED):
        return _not_created(name, unquote_plus(_key_hint(record.s3)))
    entity = read_as(record.s3, NotifiedEntity, f"Records[{number}].s3")
    found = entity.object
    return _encoded(found.key, entity.bucket.name, found.size, key_map)


def _eventbridge(payload: Json, key_map: KeyMap) -> Invocation:
    """Read an EventBridge event of S3."""
    return _invocation(EventKind.EVENTBRIDGE, [_eventbridge_object(read_as(payload, EventBridgeEvent), key_map)])


def _eventbridge_object(event: EventBridgeEvent, key_map: KeyMap) -> EventObject | Skipped:
    if event.detail_type != OBJECT_CREATED:
        return _not_created(event.detail_type, _key_hint(event.detail))
    detail = read_as(event.detail, EventBridgeDetail, "detail")
    found = detail.object
    return _raw(found.key, detail.bucket.name, found.size, key_map)


def _sns(payload: Json, key_map: KeyMap) -> Invocation:
    """Read what SNS sends to a function; it knows no partial answer, so a message that is no event refuses them all."""
    records = read_as(payload, SnsEvent).records
    _require_bounded(record.sns.message for record in records)
    found = (_published(record.sns, f"Records[{number}].Sns", key_map) for number, record in enumerate(records))
    return _invocation(EventKind.SNS, chain.from_iterable(found))


def _published(message: SnsMessage, where: str, key_map: KeyMap) -> list[EventObject | Skipped]:
    """Return what the event inside a message of SNS names."""
    if message.type != NOTIFICATION:
        refused = f"{where}.Type is {_shown(message.type)}, expected {NOTIFICATION!r}"
        raise EventError(refused)
    where = f"{where}.Message"
    return _carried(_object(read_json(message.message, where), where), where, key_map)


def _sqs(payload: Json, key_map: KeyMap) -> Invocation:
    """Read a batch of SQS messages; a body that is no event fails its own message only."""
    messages = read_as(payload, QueueBatch).records
    _require_bounded(one.body for one in messages)
    return _by_message(EventKind.SQS, ((one.message_id, partial(_body, one.body, key_map)) for one in messages))


def _body(body: object, key_map: KeyMap) -> list[EventObject | Skipped]:
    """Return what the event inside an SQS message names, with SNS's or a failure destination's envelope or without."""
    where = "the message's body"
    payload = _object(read_json(body, where), where)
    if "TopicArn" in payload and "Records" not in payload:
        return _published(read_as(payload, SnsMessage, where), where, key_map)
    if "requestContext" in payload and "requestPayload" in payload:
        payload, where = _failed(payload, where), f"{where}.requestPayload"
    return _carried(payload, where, key_map)


def _failed(payload: Json, where: str) -> Json:
    """Return the event of an invocation that failed each time; a dead letter is sent again with all around it."""
    return _object(read_as(payload, FailedInvocation, where).request_payload, f"{where}.requestPayload")


def _carried(payload: Json, where: str, key_map: KeyMap) -> list[EventObject | Skipped]:
    """Return what an event inside a message names: only events that name objects may stand there."""
    row = _row_of(payload)
    if row.kind not in _CARRIED:
        message = f"{where} is an event of kind {row.kind.value!r}, which a message cannot carry"
        raise EventError(message)
    try:
        inner = row.read(payload, key_map)
    except EventError as error:
        message = f"{where}: {error}"
        raise EventError(message) from None
    return [*inner.objects, *inner.skipped]


def _schedule(_payload: Json, key_map: KeyMap) -> Invocation:
    """Take every schedule for the whole prefix, whatever its detail says."""
    return Invocation(EventKind.SCHEDULE, sweep=Sweep(key_map.prefix))


def _s3_batch(payload: Json, key_map: KeyMap) -> Invocation:
    """Read the tasks of S3 Batch Operations; one that names no object is that task's failure only."""
    asked = read_as(payload, BatchInvocation)
    read = _by_message(EventKind.S3_BATCH, ((one.task_id, partial(_task, one, key_map)) for one in asked.tasks))
    return replace(read, batch_job=BatchJob(asked.invocation_schema_version, asked.invocation_id))


def _task(task: BatchTask, key_map: KeyMap) -> list[EventObject | Skipped]:
    """Return what a task names: the bucket by name or else by ARN, whatever the schema's version is."""
    bucket = task.s3_bucket
    if bucket is None and isinstance(task.s3_bucket_arn, str):
        bucket = task.s3_bucket_arn.rpartition(":")[2]
    return [_encoded(_text(task.s3_key, "s3Key"), _text(bucket, "s3Bucket"), None, key_map)]


def _step_functions(payload: Json, key_map: KeyMap) -> Invocation:
    """Read a batch of a Distributed Map's items, or one item that comes by itself."""
    items = read_as(payload, ItemBatch).items if "Items" in payload else [read_as(payload, ListedItem)]
    return _invocation(EventKind.STEP_FUNCTIONS, (_item(item, key_map) for item in items))


def _item(item: ListedItem, key_map: KeyMap) -> EventObject | Skipped:
    """Return the object that an item names. A row of an Inventory names the bucket, and its key is URL-encoded."""
    if item.bucket is None:
        return _raw(item.key, key_map.input_bucket, item.size, key_map)
    if item.is_delete_marker in (True, "true"):
        return Skipped(_cut(item.key), "a delete marker")
    return _encoded(item.key, item.bucket, item.size, key_map)


def _map_results(payload: Json, key_map: KeyMap) -> Invocation:
    """Read the output of a Distributed Map: the batches' results, or where under OUTPUT_PREFIX they are."""
    found = payload["MapResults"]
    if isinstance(found, list):
        return Invocation(EventKind.MAP_RESULTS, map_results=MapResults(inline=tuple(found)))
    written = read_as(found, MapOutput, "MapResults").result_writer_details
    if written.bucket != key_map.output_bucket or not written.key.startswith(key_map.output_prefix):
        message = (
            f"MapResults are at {_shown(written.key)}, expected under {key_map.output_prefix!r} of the output bucket"
        )
        raise EventError(message)
    return Invocation(EventKind.MAP_RESULTS, map_results=MapResults(_bounded(written.key)))


def _direct(payload: Json, key_map: KeyMap) -> Invocation:
    """Read a direct invocation: keys one by one, or a listing."""
    call = read_as(payload, DirectCall)
    if "keys" not in payload:
        sweep = _sweep(payload, key_map)
        return Invocation(EventKind.DIRECT, sweep=sweep, dry_run=call.dry_run, force=call.force)
    if call.keys is None or "prefix" in payload or "start_after" in payload:
        message = f"keys is {_shown(call.keys)}, expected a list, and neither prefix nor start_after beside it"
        raise EventError(message)
    named = (_judged(EventObject(_key(key)), key_map, listed=False) for key in call.keys)
    return replace(_invocation(EventKind.DIRECT, named), dry_run=call.dry_run, force=call.force)


def _sweep(payload: Json, key_map: KeyMap) -> Sweep:
    """Read a listing. A null to start after is the beginning; a null prefix is refused: mistakes must not widen it."""
    prefix, start_after = payload.get("prefix", key_map.prefix), payload.get("start_after")
    if not isinstance(prefix, str) or not prefix.startswith(key_map.prefix):
        message = f"prefix is {_shown(prefix)}, expected a text that begins with {key_map.prefix!r}"
        raise EventError(message)
    return Sweep(_bounded(prefix) if prefix else "", None if start_after in (None, "") else _bounded(start_after))


def _by_message(
    kind: EventKind, messages: Iterable[tuple[str, Callable[[], list[EventObject | Skipped]]]]
) -> Invocation:
    """Return the invocation of messages, by id and what reads them; one that cannot be read fails alone."""
    found: list[EventObject | Skipped] = []
    malformed: list[tuple[str, str]] = []
    message_ids: dict[str, None] = {}
    for message_id, read in messages:
        message_ids[message_id] = None
        try:
            found += [replace(one, message_id=message_id) for one in read()]
        except EventError as error:
            malformed.append((message_id, str(error)))
    return replace(_invocation(kind, found), malformed=tuple(malformed), message_ids=tuple(message_ids))


def _invocation(kind: EventKind, found: Iterable[EventObject | Skipped]) -> Invocation:
    """Return an invocation that converts each key once; of several mentions, the last one's size is taken."""
    objects: dict[str, EventObject] = {}
    skipped: dict[Skipped, None] = {}
    carriers: dict[str, frozenset[str]] = {}
    for one in found:
        if isinstance(one, Skipped):
            skipped[one] = None
            continue
        objects[one.key] = one
        if one.message_id is not None:
            carriers[one.key] = carriers.get(one.key, frozenset()) | {one.message_id}
    return Invocation(kind, tuple(objects.values()), tuple(skipped), carriers=MappingProxyType(carriers))


def _not_created(name: str, key: str) -> Skipped:
    return Skipped(_cut(key), f"{_shown(name)} creates no object")


def _encoded(key: str, bucket: str, size: object, key_map: KeyMap) -> EventObject | Skipped:
    """Return the object whose key was sent URL-encoded, or why it is skipped."""
    try:
        decoded = unquote_plus(key, errors="strict")
    except UnicodeDecodeError:
        message = f"key {_shown(key)} is not UTF-8, URL-encoded"
        raise EventError(message) from None
    return _raw(decoded, bucket, size, key_map)


def _raw(key: str, bucket: str, size: object, key_map: KeyMap) -> EventObject | Skipped:
    """Return the object whose key stands as it is, or why it is skipped."""
    found = EventObject(_key(key), _size(size))
    if bucket != key_map.input_bucket:
        return Skipped(_cut(found.key), f"in bucket {_shown(bucket)}, not in the input bucket")
    return _judged(found, key_map, listed=True)


def _judged(found: EventObject, key_map: KeyMap, *, listed: bool) -> EventObject | Skipped:
    if len(found.key) > KEY_BYTES_MAX:
        return Skipped(_cut(found.key), f"too long to map: S3's keys have at most {KEY_BYTES_MAX} bytes")
    reason = key_map.skip_reason(found.key, listed=listed)
    return found if reason is None else Skipped(found.key, reason)


def _records_from(field: str, source: str) -> Callable[[Json], bool]:
    """Return the test for ``Records`` that all come from ``source``."""

    def recognises(payload: Json) -> bool:
        records = payload.get("Records")
        if not isinstance(records, list) or not records:
            return False
        return all(isinstance(record, dict) and record.get(field) == source for record in records)

    return recognises


def _from_source(*sources: str) -> Callable[[Json], bool]:
    return lambda payload: payload.get("source") in sources


def _is_s3_notification(payload: Json) -> bool:
    return payload.get("Event") == TEST_EVENT or _records_from("eventSource", "aws:s3")(payload)


def _is_s3_batch(payload: Json) -> bool:
    return "invocationSchemaVersion" in payload and "tasks" in payload


def _is_step_functions(payload: Json) -> bool:
    return "Items" in payload or "Key" in payload


def _is_direct(payload: Json) -> bool:
    return all(name in _DIRECT_FIELDS for name in payload)


# The first row that recognises a payload reads it.
_ROWS: Final = (
    _Row(EventKind.S3_NOTIFICATION, _is_s3_notification, _s3_notification),
    _Row(EventKind.SNS, _records_from("EventSource", "aws:sns"), _sns),
    _Row(EventKind.SQS, _records_from("eventSource", "aws:sqs"), _sqs),
    _Row(EventKind.EVENTBRIDGE, _from_source("aws.s3"), _eventbridge),
    _Row(EventKind.SCHEDULE, _from_source("aws.events", "aws.scheduler"), _schedule),
    _Row(EventKind.S3_BATCH, _is_s3_batch, _s3_batch),
    _Row(EventKind.STEP_FUNCTIONS, _is_step_functions, _step_functions),
    _Row(EventKind.MAP_RESULTS, lambda payload: "MapResults" in payload, _map_results),
    _Row(EventKind.DIRECT, _is_direct, _direct),
)
_CARRIED: Final = (EventKind.S3_NOTIFICATION, EventKind.EVENTBRIDGE)


def _require_bounded(texts: Iterable[object]) -> None:
    """Refuse messages that are more together than Lambda delivers at once, and so name more objects than that holds."""
    characters = sum(len(one) for one in texts if isinstance(one, str))
    if characters > MESSAGES_CHARACTERS_MAX:
        message = f"the messages have {characters} characters, at most {MESSAGES_CHARACTERS_MAX} are allowed"
        raise EventError(message)


def _object(value: object, where: str) -> Json:
    if isinstance(value, dict):
        return value
    message = f"{where} is {type(value).__name__}, expected an object"
    raise EventError(message)


def _key_hint(entity: object) -> str:
    """Return the key, as it is sent, of an event that is skipped anyway; empty where there is none."""
    described = entity.get("object") if isinstance(entity, dict) else None
    key = described.get("key") if isinstance(described, dict) else None
    return _cut(key).encode(errors="replace").decode() if isinstance(key, str) else ""


def _text(value: object, name: str) -> str:
    if isinstance(value, str):
        return value
    message = f"{name} is {type(value).__name__}, expected a text"
    raise EventError(message)


def _key(value: object) -> str:
    """Return a key that S3 could hold, but for its length: a text that is not empty and has a UTF-8 form."""
    if not isinstance(value, str) or not value:
        message = f"a key is {_shown(value)}, expected a text that is not empty"
        raise EventError(message)
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"key {_shown(value)} is not valid Unicode"
        raise EventError(message) from None
    return value


def _bounded(value: object) -> str:
    """Return a key that a listing may begin with or after."""
    key = _key(value)
    if len(key.encode()) <= KEY_BYTES_MAX:
        return key
    message = f"prefix or start_after has {len(key.encode())} bytes, S3's keys have at most {KEY_BYTES_MAX}"
    raise EventError(message)


def _size(value: object) -> int | None:
    """Return a size, which an Inventory and a CSV list have as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= SIZE_DIGITS_MAX:
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 10**SIZE_DIGITS_MAX else None


def _cut(key: str) -> str:
    """Return what is kept of a key that is not converted."""
    return key[:KEY_BYTES_MAX]


def _shown(value: object) -> str:
    """Return what a message shows of a value: never a nested one, which may be deeper than ``repr`` goes."""
    return repr(value[:SHOWN_MAX]) if isinstance(value, str) else type(value).__name__

"""Any event → what it asks for (contract section 2): objects, skipped keys, or a listing.

One row of ``_ROWS`` and one function for every row of the contract's table. A function raises ``EventError`` where a
payload is not what its row says; nothing else is ever raised, whatever the payload is.

Buckets, keys and event names are required to be texts. Sizes, ETags and version ids are hints, for the current version
is what is converted: one of the wrong type is as good as missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from csv_transcode.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from csv_transcode.keys import KeyMap

OBJECTS_MAX: Final = 100_000  # named in one event; more than that is a prefix
SHOWN_MAX: Final = 100
NAMES_SHOWN_MAX: Final = 10
TEST_EVENT: Final = "s3:TestEvent"
CREATED: Final = "ObjectCreated:"
_DIRECT_FIELDS: Final = ("keys", "prefix", "start_after", "dry_run", "force")

Json = Mapping[str, Any]


class EventKind(Enum):
    """Who invoked the function, and so in what shape the answer goes back."""

    S3_NOTIFICATION = "S3 notification"
    SNS = "S3 → SNS"
    SQS = "SQS"
    EVENTBRIDGE = "EventBridge"
    SCHEDULE = "schedule"
    DIRECT = "direct"
    STEP_FUNCTIONS = "Step Functions"
    S3_BATCH = "S3 Batch Operations"


@dataclass(frozen=True)
class EventObject:
    """One key to convert; all but ``key`` are hints of what the event knew."""

    key: str
    size: int | None = None
    etag: str | None = None
    version_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True)
class Skipped:
    """One thing that the event names and that is not converted; ``key`` is empty where it names none."""

    key: str
    reason: str
    message_id: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A listing to convert: keys under ``prefix`` (which lies under PREFIX), after ``start_after``."""

    prefix: str
    start_after: str | None = None


@dataclass(frozen=True)
class Invocation:
    """What one event asks for.

    ``objects`` holds every key once; ``carriers`` has, for keys that came in SQS messages, the ids of all messages that
    named them. ``malformed`` holds (message id, why) of messages whose body is no event; ``message_ids`` all messages.
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


def parse_event(event: object, key_map: KeyMap) -> Invocation:
    """Return what ``event`` asks for; ``EventError`` where it is none of the events of the contract."""
    payload = _object(event, "the event")
    return _row_of(payload).read(payload, key_map)


@dataclass(frozen=True)
class _Row:
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
    records = [_object(record, "a record") for record in payload["Records"]]
    return _invocation(EventKind.S3_NOTIFICATION, (_s3_record(record, key_map) for record in records))


def _s3_record(record: Json, key_map: KeyMap) -> EventObject | Skipped:
    name = _text(record, "eventName", "Records[]").removeprefix("s3:")
    if not name.startswith(CREATED):
        return _not_created(name, unquote_plus(_key_hint(record.get("s3"))))
    bucket, described = _bucket_and_object(record.get("s3"), "Records[].s3")
    key = _decoded(_text(described, "key", "Records[].s3.object"))
    hints = (_size(described.get("size")), _hint(described.get("eTag")), _hint(described.get("versionId")))
    return _notified(EventObject(key, *hints), bucket, key_map)


def _eventbridge(payload: Json, key_map: KeyMap) -> Invocation:
    """Read an EventBridge event of S3."""
    return _invocation(EventKind.EVENTBRIDGE, [_eventbridge_object(payload, key_map)])


def _eventbridge_object(payload: Json, key_map: KeyMap) -> EventObject | Skipped:
    name = _text(payload, "detail-type", "the event")
    if name != "Object Created":
        return _not_created(name, _key_hint(payload.get("detail")))
    bucket, described = _bucket_and_object(payload.get("detail"), "detail")
    key = _key(described.get("key"))  # raw: as it stands
    hints = (_size(described.get("size")), _hint(described.get("etag")), _hint(described.get("version-id")))
    return _notified(EventObject(key, *hints), bucket, key_map)


def _sqs(payload: Json, key_map: KeyMap) -> Invocation:
    """Read a batch of SQS messages; a body that is no event fails its own message only."""
    found: list[EventObject | Skipped] = []
    malformed: list[tuple[str, str]] = []
    message_ids: list[str] = []
    for record in payload["Records"]:
        message_id = _text(_object(record, "a record"), "messageId", "Records[]")
        message_ids.append(message_id)
        try:
            found += [replace(one, message_id=message_id) for one in _body(record.get("body"), key_map)]
        except EventError as error:
            malformed.append((message_id, str(error)))
    distinct = tuple(dict.fromkeys(message_ids))
    return replace(_invocation(EventKind.SQS, found), malformed=tuple(malformed), message_ids=distinct)


def _body(body: object, key_map: KeyMap) -> list[EventObject | Skipped]:
    """Return what the event inside an SQS message names: only events that name objects may stand there."""
    if not isinstance(body, str):
        message = f"the message's body is {type(body).__name__}, expected a text"
        raise EventError(message)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        message = f"the message's body is no JSON: {_shown(body)}"
        raise EventError(message) from None
    row = _row_of(_object(payload, "the message's body"))
    if row.kind not in _INSIDE_SQS:
        message = f"a message cannot carry an event of kind {row.kind.value!r}"
        raise EventError(message)
    inner = row.read(payload, key_map)
    return [*inner.objects, *inner.skipped]


def _schedule(_payload: Json, key_map: KeyMap) -> Invocation:
    """Take every schedule for the whole prefix, whatever its detail says."""
    return Invocation(EventKind.SCHEDULE, sweep=Sweep(key_map.prefix))


def _direct(payload: Json, key_map: KeyMap) -> Invocation:
    """Read a direct invocation: keys one by one, or a listing."""
    dry_run, force = _flag(payload, "dry_run"), _flag(payload, "force")
    if "keys" not in payload:
        return Invocation(EventKind.DIRECT, sweep=_sweep(payload, key_map), dry_run=dry_run, force=force)
    keys = payload["keys"]
    if not isinstance(keys, list) or "prefix" in payload or "start_after" in payload:
        message = f"keys is {type(keys).__name__}, expected a list, and neither prefix nor start_after beside it"
        raise EventError(message)
    named = [_judged(EventObject(_key(key)), key_map, listed=False) for key in keys]
    return replace(_invocation(EventKind.DIRECT, named), dry_run=dry_run, force=force)


def _sweep(payload: Json, key_map: KeyMap) -> Sweep:
    """Read a listing. A null to start after is the beginning; a null prefix is refused: mistakes must not widen it."""
    prefix, start_after = payload.get("prefix", key_map.prefix), payload.get("start_after")
    if not isinstance(prefix, str) or not prefix.startswith(key_map.prefix):
        message = f"prefix is {_shown(prefix)}, expected a text that begins with {key_map.prefix!r}"
        raise EventError(message)
    return Sweep(_key(prefix) if prefix else "", None if start_after in (None, "") else _key(start_after))


def _later(kind: EventKind) -> Callable[[Json, KeyMap], Invocation]:
    def refuse(_payload: Json, _key_map: KeyMap) -> Invocation:
        message = f"events of kind {kind.value!r} are not supported yet"
        raise EventError(message)

    return refuse


def _invocation(kind: EventKind, found: Iterable[EventObject | Skipped]) -> Invocation:
    """Return an invocation that converts each key once; of several mentions, the last one's hints are taken."""
    objects: dict[str, EventObject] = {}
    skipped: list[Skipped] = []
    carriers: dict[str, frozenset[str]] = {}
    for one in found:
        if isinstance(one, Skipped):
            skipped.append(one)
            continue
        objects[one.key] = one
        if one.message_id is not None:
            carriers[one.key] = carriers.get(one.key, frozenset()) | {one.message_id}
    if len(objects) + len(skipped) > OBJECTS_MAX:
        message = f"the event names {len(objects) + len(skipped)} objects, at most {OBJECTS_MAX} are allowed"
        raise EventError(message)
    return Invocation(kind, tuple(objects.values()), tuple(dict.fromkeys(skipped)), carriers=MappingProxyType(carriers))


def _not_created(name: str, key: str) -> Skipped:
    return Skipped(key, f"{_shown(name)} creates no object")


def _notified(found: EventObject, bucket: str, key_map: KeyMap) -> EventObject | Skipped:
    """Return the object of a notification, or why it is skipped."""
    if bucket != key_map.input_bucket:
        return Skipped(found.key, f"in bucket {_shown(bucket)}, not in the input bucket")
    return _judged(found, key_map, listed=True)


def _judged(found: EventObject, key_map: KeyMap, *, listed: bool) -> EventObject | Skipped:
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
    _Row(EventKind.SNS, _records_from("EventSource", "aws:sns"), _later(EventKind.SNS)),
    _Row(EventKind.SQS, _records_from("eventSource", "aws:sqs"), _sqs),
    _Row(EventKind.EVENTBRIDGE, _from_source("aws.s3"), _eventbridge),
    _Row(EventKind.SCHEDULE, _from_source("aws.events", "aws.scheduler"), _schedule),
    _Row(EventKind.S3_BATCH, _is_s3_batch, _later(EventKind.S3_BATCH)),
    _Row(EventKind.STEP_FUNCTIONS, _is_step_functions, _later(EventKind.STEP_FUNCTIONS)),
    _Row(EventKind.DIRECT, _is_direct, _direct),
)
_INSIDE_SQS: Final = (EventKind.S3_NOTIFICATION, EventKind.EVENTBRIDGE)


def _object(value: object, where: str) -> Json:
    if isinstance(value, dict):
        return value
    message = f"{where} is {type(value).__name__}, expected an object"
    raise EventError(message)


def _bucket_and_object(entity: object, where: str) -> tuple[str, Json]:
    found = _object(entity, where)
    bucket = _text(_object(found.get("bucket"), f"{where}.bucket"), "name", f"{where}.bucket")
    return bucket, _object(found.get("object"), f"{where}.object")


def _key_hint(entity: object) -> str:
    """Return the key, as it is sent, of an event that is skipped anyway; empty where there is none."""
    described = entity.get("object") if isinstance(entity, dict) else None
    key = described.get("key") if isinstance(described, dict) else None
    return key.encode(errors="replace").decode() if isinstance(key, str) else ""


def _text(described: Json, name: str, where: str) -> str:
    value = described.get(name)
    if isinstance(value, str):
        return value
    message = f"{where}.{name} is {type(value).__name__}, expected a text"
    raise EventError(message)


def _key(value: object) -> str:
    """Return a key that S3 could hold: a text that is not empty and has a UTF-8 form."""
    if not isinstance(value, str) or not value:
        message = f"a key is {_shown(value)}, expected a text that is not empty"
        raise EventError(message)
    try:
        value.encode()
    except UnicodeEncodeError:
        message = f"key {_shown(value)} is not valid Unicode"
        raise EventError(message) from None
    return value


def _decoded(key: str) -> str:
    """Return the key that S3 sent URL-encoded."""
    try:
        return _key(unquote_plus(key, errors="strict"))
    except UnicodeDecodeError:
        message = f"key {_shown(key)} is not UTF-8, URL-encoded"
        raise EventError(message) from None


def _flag(described: Json, name: str) -> bool:
    value = described.get(name, False)
    if isinstance(value, bool):
        return value
    message = f"{name} is {_shown(value)}, expected true or false"
    raise EventError(message)


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _hint(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(value: object) -> str:
    """Return what a message shows of a value: never a nested one, which may be deeper than ``repr`` goes."""
    return repr(value[:SHOWN_MAX]) if isinstance(value, str) else type(value).__name__

"""Events as nobody should send them, for hypothesis: every kind, with hostile keys and buckets, bent anywhere."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INPUT_BUCKET: Final = "source-bucket"
OUTPUT_BUCKET: Final = "target-bucket"

SEGMENTS: Final = ("in/", "in", "processed/", "_manifests/", "../", "./", "/", "//", "%2e%2e/", "..%2F", "%2F", "..\\")
SEGMENTS_ODD: Final = (
    "?versionId=1",
    "?uploads",
    "#",
    "*",
    "[1]",
    "+",
    " ",
    "%",
    "%25",
    "%00",
    "%FF",
    "%E0%80",
    "&x=1",
)
SEGMENTS_FAR: Final = ("\x00", "\r\nHost: elsewhere", "\u202e", "é", "日本", "\U0001f600", "\ud800", "x" * 1030, "IN/")
NAMES: Final = ("a", "a.csv", "b.CSV.gz", "c.txt", ".csv", "a.parquet", "a.csv.json", "d.tsv.zst")
KEYS: Final = (
    "in/orders/2026-11-01.csv",
    "in/../secret.csv",
    "in/../../other-bucket/secret.csv",
    "../in/a.csv",
    "/in/a.csv",
    "in/%2e%2e/%2e%2e/a.csv",
    "in%2Fa.csv",
    "processed/a.csv",
    "processed/_manifests/in/a.csv.json",
    "elsewhere/a.csv",
    "s3://other-bucket/in/a.csv",
    "arn:aws:s3:::other-bucket/in/a.csv",
    "https://other-bucket.s3.amazonaws.com/in/a.csv",
    "in/",
    "",
)
BUCKETS: Final = (
    OUTPUT_BUCKET,
    "other-bucket",
    "",
    "SOURCE-BUCKET",
    "source-bucket/",
    "source-bucket/../other-bucket",
    "source-bucket.other",
    "source-bucket\x00",
    "arn:aws:s3:::other-bucket",
    "arn:aws:s3:eu-central-1:111122223333:accesspoint/source-bucket",
)
WORDS: Final = (
    *("aws:s3", "aws:sqs", "aws:sns", "aws.s3", "aws.events", "aws.scheduler", "s3:TestEvent", "ObjectCreated:Put"),
    *("ObjectRemoved:Delete", "Object Created", "Object Deleted", "Notification", "true", "false", "1.0", "9.9"),
)
FIELDS: Final = (
    *("Records", "s3", "object", "bucket", "key", "name", "eventSource", "EventSource", "eventName", "eventVersion"),
    *("body", "messageId", "Sns", "Message", "Type", "TopicArn", "source", "detail", "detail-type", "Event", "size"),
    *("keys", "prefix", "start_after", "dry_run", "force", "Items", "BatchInput", "Key", "Bucket", "Size", "ETag"),
    *("invocationSchemaVersion", "invocationId", "tasks", "taskId", "s3Key", "s3Bucket", "s3BucketArn", "job"),
    *("versionId", "IsDeleteMarker", "unknown", "__class__", "\ud800", ""),
)

PARTS: Final = (*SEGMENTS, *SEGMENTS_ODD, *SEGMENTS_FAR)
TEXTS: Final = ("x" * 100_000, "[" * 5000, "9" * 5000, '{"Records": [', "null", "{}", "\ud800")
NUMBERS: Final = (0, -1, 2**70, 0.5, 1e400, float("nan"))
LEVELS_MAX: Final = 3
BENDS: Final = (0, 0, 1, 1, 2, 3)
PLACES_MAX: Final = 8  # levels that are looked into for something to bend


def key_of(random: Random) -> str:
    """Return a key that may be a source's, one that leads elsewhere, or none at all."""
    if random.random() < 0.3:
        return random.choice(KEYS)
    begin = "in/" if random.random() < 0.6 else ""
    return begin + "".join(random.choices(PARTS, k=random.choice((0, 0, 1, 2, 4)))) + random.choice(NAMES)


def bucket_of(random: Random) -> str:
    return INPUT_BUCKET if random.random() < 0.7 else random.choice(BUCKETS)


def anything_of(random: Random, levels: int = 0) -> Any:
    """Return any JSON, and some that is none: names that are no texts, texts that are no Unicode, nests too deep."""
    if levels < LEVELS_MAX and random.random() < 0.4:
        inner = [anything_of(random, levels + 1) for _ in range(random.randrange(4))]
        return inner if random.random() < 0.4 else dict(zip(random.sample(FIELDS, len(inner)), inner, strict=True))
    makers: tuple[Callable[[], Any], ...] = (
        lambda: random.choice((None, True, False)),
        lambda: random.choice(NUMBERS),
        lambda: key_of(random),
        lambda: bucket_of(random),
        lambda: random.choice(WORDS),
        lambda: random.choice(TEXTS),
        lambda: _deep(random.choice((3, 90, 5000)), random.choice(("in/a.csv", 7, None))),
        lambda: {7: 1, None: 2},
    )
    return random.choice(makers)()


def _deep(levels: int, inside: Any) -> Any:
    for level in range(levels):
        inside = {"object": inside} if level % 2 else [inside]
    return inside


def bend(event: Any, random: Random) -> Any:
    """Return the event, with up to three places in it replaced, doubled, or taken out, or something put beside them."""
    for _ in range(random.choice(BENDS)):
        places = list(_places(event))
        if not places:
            break
        at, name = random.choice(places)
        act = random.choice(("replace", "replace", "replace", "take out", "double", "add"))
        if act == "take out":
            del at[name]
        elif act == "double" and isinstance(at, list):
            at.append(at[name])
        elif act == "add" and isinstance(at, dict):
            at[random.choice(FIELDS)] = anything_of(random)
        else:
            at[name] = anything_of(random)
    return event


def _places(value: Any, levels: int = PLACES_MAX) -> Iterator[tuple[Any, Any]]:
    """Yield (container, name) of every place inside, not infinitely deep."""
    inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in inner:
        yield value, name
        if levels:
            yield from _places(value[name], levels - 1)


# One number stands for all that is left to chance in a key, or in how an event is bent: drawn choice by choice, making
# the events took three quarters of the time.
_chance: Final = st.integers(0, 2**64 - 1).map(Random)
keys: Final = st.builds(key_of, _chance)
buckets: Final = st.builds(bucket_of, _chance)
anything: Final = st.builds(anything_of, _chance)
ids: Final = st.sampled_from(("m1", "m2", "m3", "", "x" * 5000, "\x00"))


def bent(events: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(bend, events, _chance)


def _dumped(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except (RecursionError, TypeError, ValueError):
        return "{"


def _notification(found: list[tuple[str, str]], name: str) -> dict[str, Any]:
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": name,
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 12, "eTag": "0", "versionId": "v"}},
        }
        for bucket, key in found
    ]
    return {"Records": records}


def _eventbridge(found: tuple[str, str], kind: str) -> dict[str, Any]:
    bucket, key = found
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 12, "etag": "0"}}
    return {"version": "0", "source": "aws.s3", "detail-type": kind, "detail": detail}


def _sns(inside: list[Any]) -> dict[str, Any]:
    sns = [{"Type": "Notification", "TopicArn": "arn", "Message": _dumped(one)} for one in inside]
    return {"Records": [{"EventSource": "aws:sns", "Sns": one} for one in sns]}


def _sqs(bodies: list[tuple[str, Any]]) -> dict[str, Any]:
    records = [
        {"eventSource": "aws:sqs", "messageId": one, "body": body if isinstance(body, str) else _dumped(body)}
        for one, body in bodies
    ]
    return {"Records": records}


def _task(named: tuple[str, str], task_id: str, by_arn: bool) -> dict[str, Any]:  # noqa: FBT001 -- drawn
    bucket, key = named
    where = {"s3BucketArn": f"arn:aws:s3:::{bucket}"} if by_arn else {"s3Bucket": bucket}
    return {"taskId": task_id, "s3Key": key, "s3VersionId": None} | where


def _item(named: tuple[str, str], listed: bool) -> dict[str, Any]:  # noqa: FBT001 -- drawn
    bucket, key = named
    return {"Key": key, "Size": 12, "Etag": '"0"'} | ({} if listed else {"Bucket": bucket, "IsDeleteMarker": "false"})


def _batch(tasks: list[dict[str, Any]], version: str) -> dict[str, Any]:
    return {"invocationSchemaVersion": version, "invocationId": "i", "job": {"id": "j"}, "tasks": tasks}


_named = st.tuples(buckets, keys)
_names = st.sampled_from(("ObjectCreated:Put", "ObjectCreated:Put", "s3:ObjectCreated:Copy", "ObjectRemoved:Delete"))
_kinds = st.sampled_from(("Object Created", "Object Created", "Object Deleted"))
_notifications = bent(st.builds(_notification, st.lists(_named, min_size=1, max_size=4), _names))
_bridged = bent(st.builds(_eventbridge, _named, _kinds))
_test = st.builds(lambda: {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": INPUT_BUCKET})
_inside = _notifications | _bridged | _test
_published = bent(st.builds(lambda one: _sns([one])["Records"][0]["Sns"], _inside | anything))
_bodies = st.one_of(_inside, _published, anything)
_direct = st.one_of(
    st.fixed_dictionaries({"keys": st.lists(keys, max_size=5)}, optional={"dry_run": st.booleans()}),
    st.fixed_dictionaries({}, optional={"prefix": keys, "start_after": keys, "force": st.booleans()}),
    st.fixed_dictionaries({"prefix": st.sampled_from(("in/", "in/2026/", "in/../", "i", "", "processed/"))}),
)
_items = st.builds(_item, _named, st.booleans())
_schedules = st.builds(
    lambda source, detail: {"source": source, "detail-type": "Scheduled Event", "detail": detail},
    st.sampled_from(("aws.events", "aws.scheduler")),
    anything,
)

events: Final[st.SearchStrategy[Any]] = st.one_of(
    _notifications,
    _bridged,
    bent(st.builds(_sns, st.lists(_inside | anything, min_size=1, max_size=2))),
    bent(st.builds(_sqs, st.lists(st.tuples(ids, _bodies), min_size=1, max_size=4))),
    bent(st.builds(lambda items: {"Items": items, "BatchInput": {"force": True}}, st.lists(_items, max_size=4))),
    bent(_items),
    bent(st.builds(_batch, st.lists(st.builds(_task, _named, ids, st.booleans()), max_size=3), st.sampled_from(WORDS))),
    bent(_direct),
    bent(_schedules),
    anything,
)

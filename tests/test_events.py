"""Events, after contract section 2; ``tests/events`` holds payloads as AWS sends them."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.errors import EventError
from csv_transcode.events import BatchJob, EventKind, EventObject, Invocation, Skipped, Sweep, parse_event
from csv_transcode.keys import KeyMap
from tests.profiles import examples

EVENTS = Path(__file__).parent / "events"
PLAIN = "in/orders/2026-11-01.csv"
SPECIAL = "in/Größe 100%+Rabatt.csv"
KEY_MAP = KeyMap("in/", "processed/", "{output_prefix}{stem}.{format}", "source-bucket", "source-bucket")


def payload(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def parsed(event: object) -> Invocation:
    return parse_event(event, KEY_MAP)


TEST = json.dumps(payload("s3_test_event"))


def s3_record(**changes: Any) -> dict[str, Any]:
    """Return a record of a notification, changed at the paths that the names spell (``s3__object__key``)."""
    record: dict[str, Any] = payload("s3_put")["Records"][0]
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = record
        for parent in parents:
            at = at[parent]
        at[last] = value
    return record


def message(number: int, body: object) -> dict[str, Any]:
    record: dict[str, Any] = payload("sqs_s3")["Records"][0]
    return record | {"messageId": f"m{number}", "body": body if isinstance(body, str) else json.dumps(body)}


def given_up(event: object) -> dict[str, Any]:
    """Return what Lambda sends to a failure destination."""
    envelope: dict[str, Any] = json.loads(payload("sqs_failed_s3")["Records"][0]["body"])
    return envelope | {"requestPayload": event}


TASK = "dGFza2lkZ29lc2hlcmUK"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("s3_put", EventKind.S3_NOTIFICATION),
        ("s3_put_2_6_versioned", EventKind.S3_NOTIFICATION),
        ("eventbridge_object_created", EventKind.EVENTBRIDGE),
        ("sns_s3", EventKind.SNS),
        ("sns_eventbridge", EventKind.SNS),
        ("sqs_s3", EventKind.SQS),
        ("sqs_sns_s3", EventKind.SQS),
        ("sqs_eventbridge", EventKind.SQS),
        ("sqs_failed_s3", EventKind.SQS),
        ("step_functions_batch", EventKind.STEP_FUNCTIONS),
        ("step_functions_item", EventKind.STEP_FUNCTIONS),
        ("step_functions_inventory", EventKind.STEP_FUNCTIONS),
        ("step_functions_inventory_versions", EventKind.STEP_FUNCTIONS),
        ("step_functions_csv", EventKind.STEP_FUNCTIONS),
        ("step_functions_json", EventKind.STEP_FUNCTIONS),
    ],
)
@pytest.mark.parametrize(("suffix", "key"), [("", PLAIN), ("_special_key", SPECIAL)], ids=["plain", "special"])
def test_an_event_names_one_object(name: str, kind: EventKind, suffix: str, key: str) -> None:
    event = payload(name + suffix)
    found = parsed(event)
    message_id = event["Records"][0]["messageId"] if kind is EventKind.SQS else None
    assert found.kind is kind
    assert found.objects == (EventObject(key, 1024, message_id),)
    assert [one.reason for one in found.skipped] == (["a delete marker"] if "versions" in name else [])
    assert not found.malformed
    assert found.sweep is None


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(("suffix", "key"), [("", PLAIN), ("_special_key", SPECIAL)], ids=["plain", "special"])
def test_a_task_of_s3_batch_operations_names_one_object(version: str, suffix: str, key: str) -> None:
    event = payload(f"s3_batch_{version.replace('.', '_')}{suffix}")
    assert parsed(event) == Invocation(
        EventKind.S3_BATCH,
        (EventObject(key, message_id=TASK),),
        message_ids=(TASK,),
        carriers={key: frozenset({TASK})},
        batch_job=BatchJob(version, event["invocationId"]),
    )


def task(**changes: Any) -> dict[str, Any]:
    return dict(payload("s3_batch_2_0")["tasks"][0]) | changes


def tasks(*some: object, version: object = "2.0") -> dict[str, Any]:
    return payload("s3_batch_2_0") | {"tasks": list(some), "invocationSchemaVersion": version}


@pytest.mark.parametrize(
    "named",
    [
        {"s3Bucket": None, "s3BucketArn": "arn:aws:s3:::source-bucket"},
        {"s3Bucket": None, "s3BucketArn": "arn:aws-us-gov:s3:::source-bucket"},
        {"s3Bucket": "source-bucket", "s3BucketArn": "arn:aws:s3:::elsewhere"},
        {"s3VersionId": 7},
        {"unknown": {"s3Key": 7}},
    ],
)
@pytest.mark.parametrize("version", ["1.0", "2.0", "3.1", ""])
def test_the_bucket_of_a_task_is_named_either_way_whatever_the_version(named: dict[str, Any], version: str) -> None:
    assert [one.key for one in parsed(tasks(task(**named), version=version)).objects] == [PLAIN]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"s3Key": None}, "s3Key is NoneType"),
        ({"s3Key": 7}, "s3Key is int"),
        ({"s3Key": ""}, "a key is ''"),
        ({"s3Key": "in/%FF.csv"}, "not UTF-8"),
        ({"s3Key": "in/\ud800.csv"}, "not valid Unicode"),
        ({"s3Bucket": None}, "s3Bucket is NoneType"),
        ({"s3Bucket": None, "s3BucketArn": ["source-bucket"]}, "s3Bucket is NoneType"),
        ({"s3Bucket": {"name": "source-bucket"}}, "s3Bucket is dict"),
    ],
)
def test_a_task_that_names_no_object_fails_alone(changes: dict[str, Any], why: str) -> None:
    found = parsed(tasks(task(taskId="bad", **changes), task()))
    assert [(message_id, why in text) for message_id, text in found.malformed] == [("bad", True)]
    assert (found.message_ids, [one.key for one in found.objects]) == (("bad", TASK), [PLAIN])


def test_tasks_of_other_buckets_are_skipped() -> None:
    arn = "arn:aws:s3:eu-central-1:111122223333:accesspoint/source-bucket"
    found = parsed(tasks(task(s3Bucket="elsewhere"), task(taskId="2", s3Bucket=None, s3BucketArn=arn)))
    assert [(one.message_id, "not in the input bucket" in one.reason) for one in found.skipped] == [
        (TASK, True),
        ("2", True),
    ]


@pytest.mark.parametrize("name", ["s3_removed", "eventbridge_object_deleted"])
@pytest.mark.parametrize(("suffix", "key"), [("", PLAIN), ("_special_key", SPECIAL)], ids=["plain", "special"])
def test_an_event_that_creates_no_object_is_skipped(name: str, suffix: str, key: str) -> None:
    found = parsed(payload(name + suffix))
    assert [skipped.key for skipped in found.skipped] == [key]
    assert "creates no object" in found.skipped[0].reason
    assert not found.objects


def test_s3_s_test_event_is_skipped() -> None:
    assert parsed(payload("s3_test_event")).skipped == (Skipped("", "s3:TestEvent"),)
    assert parsed(payload("sns_s3_test_event")).skipped == (Skipped("", "s3:TestEvent"),)
    for name in ("sqs_s3_test_event", "sqs_sns_s3_test_event"):
        found = parsed(payload(name))
        assert found.skipped == (Skipped("", "s3:TestEvent", found.message_ids[0]),)
        assert not found.malformed


@pytest.mark.parametrize("name", ["eventbridge_rule", "scheduler"])
def test_a_schedule_sweeps_the_whole_prefix(name: str) -> None:
    assert parsed(payload(name)) == Invocation(EventKind.SCHEDULE, sweep=Sweep("in/"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, Invocation(EventKind.DIRECT, sweep=Sweep("in/"))),
        (payload("direct_everything"), Invocation(EventKind.DIRECT, sweep=Sweep("in/"))),
        (payload("direct_keys"), Invocation(EventKind.DIRECT, (EventObject(PLAIN),))),
        (payload("direct_keys_special_key"), Invocation(EventKind.DIRECT, (EventObject(SPECIAL),))),
        (
            payload("direct_prefix"),
            Invocation(
                EventKind.DIRECT, sweep=Sweep("in/orders/", "in/orders/2026-10-31.csv"), dry_run=True, force=True
            ),
        ),
        ({"prefix": "in/"}, Invocation(EventKind.DIRECT, sweep=Sweep("in/"))),
        ({"start_after": "in/b"}, Invocation(EventKind.DIRECT, sweep=Sweep("in/", "in/b"))),
        ({"start_after": None, "force": True}, Invocation(EventKind.DIRECT, sweep=Sweep("in/"), force=True)),
        ({"keys": []}, Invocation(EventKind.DIRECT)),
        ({"keys": ["in/a", "in/b", "in/a"]}, Invocation(EventKind.DIRECT, (EventObject("in/a"), EventObject("in/b")))),
    ],
)
def test_a_direct_event_asks_for(event: object, expected: Invocation) -> None:
    assert parsed(event) == expected


def test_a_sweep_of_everything_needs_no_prefix() -> None:
    everything = KeyMap("", "processed/", "{output_prefix}{stem}.{format}", "source-bucket", "target-bucket")
    assert parse_event({"prefix": ""}, everything).sweep == Sweep("")
    assert parse_event({"prefix": "a"}, everything).sweep == Sweep("a")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"s3__bucket__name": "elsewhere"}, "in bucket 'elsewhere'"),
        ({"s3__object__key": "inbox/a.csv"}, "outside the prefix"),
        ({"s3__object__key": "processed/a.csv"}, "an output of this function"),
        ({"s3__object__key": "processed/_failed/a.csv.json"}, "an output of this function"),
        ({"s3__object__key": "in/folder/"}, "a folder marker"),
        ({"s3__object__key": "in/a.pdf"}, "suffix"),
        ({"s3__object__key": "in/" + "x" * 1017 + ".csv"}, "too long to map"),
        ({"eventName": "ObjectRestore:Completed"}, "creates no object"),
        ({"eventName": "ObjectRemoved:Delete", "s3": None}, "creates no object"),
        ({"eventName": "ObjectCreatedOrNot"}, "creates no object"),
    ],
)
def test_what_a_notification_must_not_convert_is_skipped_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    found = parsed({"Records": [s3_record(**changes)]})
    assert reason in found.skipped[0].reason
    assert not found.objects


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"Key": "in/"}, "a folder marker"),
        ({"Key": "in/a.pdf"}, "suffix"),
        ({"Key": "processed/a.csv"}, "an output of this function"),
        ({"Key": "elsewhere/a.csv"}, "outside the prefix"),
        ({"Key": "in/a.csv", "Bucket": "elsewhere"}, "in bucket 'elsewhere'"),
        ({"Key": "in%2Fa.pdf", "Bucket": "source-bucket"}, "suffix"),
        ({"Key": "in/a.csv", "Bucket": "source-bucket", "IsDeleteMarker": True}, "a delete marker"),
        ({"Key": "in/" + "x" * 5000, "Bucket": "source-bucket"}, "too long to map"),
        ({"Key": "in/" + "x" * 1100}, "too long to map"),
    ],
)
def test_what_a_state_machine_must_not_convert_is_skipped_with_a_reason(item: dict[str, Any], reason: str) -> None:
    found = parsed({"Items": [item, {"Key": PLAIN}]})
    assert reason in found.skipped[0].reason
    assert len(found.skipped[0].key) <= 1024
    assert [one.key for one in found.objects] == [PLAIN]
    assert parsed(item).skipped == found.skipped


def test_an_item_without_a_bucket_is_of_the_input_bucket_and_its_key_is_not_encoded() -> None:
    assert [one.key for one in parsed({"Items": [{"Key": "in/a+b%2Fc.csv"}]}).objects] == ["in/a+b%2Fc.csv"]
    inventory = {"Bucket": "source-bucket", "Key": "in/a+b%2Fc.csv"}
    assert [one.key for one in parsed({"Items": [inventory]}).objects] == ["in/a b/c.csv"]


def test_a_batch_without_items_asks_for_nothing() -> None:
    assert parsed({"Items": [], "BatchInput": {"prefix": "elsewhere/", "force": True}}) == Invocation(
        EventKind.STEP_FUNCTIONS
    )


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.6", "3.0", "", None, 2])
def test_no_event_version_is_matched(version: object) -> None:
    assert [found.key for found in parsed({"Records": [s3_record(eventVersion=version)]}).objects] == [PLAIN]


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "ObjectCreated:Copy", "s3:ObjectCreated:Post"])
def test_every_way_to_create_an_object_counts(name: str) -> None:
    assert len(parsed({"Records": [s3_record(eventName=name)]}).objects) == 1


def test_named_keys_need_no_suffix_and_the_rest_of_the_rules_hold_for_them() -> None:
    found = parsed({"keys": ["in/a.dat", "elsewhere/a.csv", "in/sub/", "processed/a.csv"]})
    assert [one.key for one in found.objects] == ["in/a.dat"]
    assert [one.key for one in found.skipped] == ["elsewhere/a.csv", "in/sub/", "processed/a.csv"]


def test_hints_of_the_wrong_type_are_as_good_as_missing() -> None:
    record = s3_record(s3__object__size="twelve", s3__object__eTag=7, s3__object__versionId="")
    assert parsed({"Records": [record]}).objects == (EventObject(PLAIN),)
    assert parsed({"Records": [s3_record(s3__object__size=True)]}).objects[0].size is None


def test_a_batch_of_messages_is_sorted_out_message_by_message() -> None:
    event = payload("sqs_batch_of_all")
    ids = [record["messageId"] for record in event["Records"]]
    found = parsed(event)
    assert found.message_ids == tuple(ids)
    assert [one.key for one in found.objects] == [PLAIN, SPECIAL]
    assert dict(found.carriers) == {PLAIN: {ids[0]}, SPECIAL: {ids[0], ids[1]}}
    assert [(one.key, one.message_id) for one in found.skipped] == [("", ids[2]), (PLAIN, ids[4])]
    assert [message_id for message_id, _ in found.malformed] == [ids[3]]


def test_of_several_mentions_the_last_one_s_size_is_taken() -> None:
    records = [s3_record(s3__object__size=1), s3_record()]
    assert parsed({"Records": records}).objects == (EventObject(PLAIN, 1024),)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "not JSON",
        "{}",
        '{"keys": ["in/a.csv"]}',
        '{"Records": []}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"n": ' + "9" * 5000 + "}",
        payload("eventbridge_rule"),
        payload("sqs_s3"),
        payload("sqs_sns_subscription")["Records"][0]["body"],
        payload("sns_s3"),
        payload("s3_batch_2_0"),
        payload("step_functions_item"),
        {"Type": "Notification", "TopicArn": "arn", "Message": "not JSON"},
        {"Type": "Notification", "TopicArn": "arn", "Message": {"Records": []}},
        {"Type": "Notification", "TopicArn": "arn"},
        {"Type": "Notification", "TopicArn": "arn", "Message": payload("sqs_sns_s3")["Records"][0]["body"]},
        {"Type": "Notification", "TopicArn": "arn", "Message": json.dumps(payload("sqs_s3"))},
        pytest.param(json.dumps({"Records": [s3_record()]}) + " " * (1 << 20), id="over 1 MiB"),
        given_up(None),
        given_up([s3_record()]),
        given_up(json.dumps({"Records": [s3_record()]})),
        given_up({"Records": [s3_record(s3=None)]}),
        given_up(payload("eventbridge_rule")),
        given_up(payload("direct_keys")),
        given_up(payload("sqs_s3")),
        given_up(given_up({"Records": [s3_record()]})),
        {"Records": [s3_record(s3__object__key="in/%FF.csv")]},
        {"Records": [s3_record(s3__object__key="")]},
        {"Records": [s3_record(s3=None)]},
        {"Records": [s3_record(), message(9, "{}")]},
        payload("eventbridge_object_created") | {"detail": "{}"},
        payload("eventbridge_object_created") | {"detail": {"bucket": {"name": "b"}, "object": {"key": "\ud800"}}},
        "\ud800",
        '{"Records": NaN}',
    ],
)
def test_a_malformed_body_fails_its_own_message_only(body: object) -> None:
    good = {"Records": [s3_record()]}
    found = parsed({"Records": [message(1, body), message(2, good)]})
    assert [message_id for message_id, why in found.malformed if why] == ["m1"]
    assert [one.message_id for one in found.objects] == ["m2"]


@pytest.mark.parametrize("event", [payload("s3_put"), payload("eventbridge_object_created")])
def test_a_dead_letter_names_what_its_event_named(event: dict[str, Any]) -> None:
    found = parsed({"Records": [message(1, given_up(event))]})
    assert found.objects == (EventObject(PLAIN, 1024, "m1"),)
    assert not found.malformed


def test_a_body_that_is_no_text_is_malformed() -> None:
    assert parsed({"Records": [message(1, "") | {"body": None}]}).malformed[0][0] == "m1"


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        "in/a.csv",
        7,
        {"unknown": 1},
        {"keys": ["in/a.csv"], "unknown": 1},
        {7: 1},
        {"Records": []},
        {"Records": {}},
        {"Records": [None]},
        {"Records": [s3_record(), message(1, "{}")]},
        {"Records": [s3_record(s3=[])]},
        {"Records": [s3_record(eventName=None)]},
        {"Records": [s3_record(s3__bucket={})]},
        {"Records": [s3_record(s3__object__key=7)]},
        {"Records": [message(1, "{}") | {"messageId": 1}]},
        {"source": ["aws.s3"]},
        {"source": "aws.ec2"},
        {"source": "aws.s3"},
        {"keys": "in/a.csv"},
        {"keys": None},
        {"keys": [None]},
        {"keys": [""]},
        {"keys": ["in/\ud800.csv"]},
        {"keys": ["in/a.csv"], "prefix": "in/"},
        {"keys": ["in/a.csv"], "start_after": "in/"},
        {"keys": [f"in/{number}.csv" for number in range(100_001)]},
        {"prefix": "elsewhere/"},
        {"prefix": "i"},
        {"prefix": ""},
        {"prefix": 7},
        {"prefix": None},
        {"prefix": "in/\ud800"},
        {"start_after": 7},
        {"prefix": "in/" + "x" * 1022},
        {"start_after": "é" * 513},
        {"dry_run": "true"},
        {"force": 1},
        {"Items": None},
        {"Items": {"Key": "in/a.csv"}},
        {"Items": ["in/a.csv"]},
        {"Items": [{"Key": "in/a.csv"}, {}]},
        {"Items": [{"Key": None}]},
        {"Items": [{"Key": "in/a.csv", "Bucket": 7}]},
        {"Items": [{"Key": "in/%FF.csv", "Bucket": "source-bucket"}]},
        {"Items": [{"Key": f"in/{number}.csv"} for number in range(100_001)]},
        {"Key": 7},
        {"Key": ""},
        {"Key": "in/\ud800.csv"},
        {"Key": "in/a.csv", "\ud800": 1},
        tasks(None),
        tasks(task(taskId=None)),
        tasks(task(taskId="x" * 4097)),
        tasks(task(), version=2.0),
        tasks() | {"invocationId": None},
        tasks() | {"tasks": task()},
        {"Records": [{"EventSource": "aws:sns"}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": None}}]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "not JSON"}}]},
        {"Records": [*payload("sns_s3")["Records"], {"EventSource": "aws:sns", "Sns": {"Message": "{}"}}]},
        {"Records": [s3_record()] * 10_001},
        {"Records": [message(number, " " * (1 << 20)) for number in range(7)]},
        {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": TEST + " " * (1 << 19)}}] * 13},
        payload("sns_s3")["Records"][0]["Sns"],
    ],
)
def test_what_is_no_event_is_refused(event: object) -> None:
    with pytest.raises(EventError):
        parsed(event)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ({"Records": [s3_record(eventName=7)]}, "Expected `str`, got `int` - at `the event.Records[0].eventName`"),
        (
            {"Records": [s3_record(), s3_record(s3__bucket__name=None)]},
            "Expected `str`, got `null` - at `Records[1].s3.bucket.name`",
        ),
        ({"Records": [s3_record(s3=None)]}, "Expected `object`, got `null` - at `Records[0].s3`"),
        ({"Items": [{"Size": 1}]}, "Object missing required field `Key` - at `the event.Items[0]`"),
        ({"keys": "secret"}, "Expected `array | null`, got `str` - at `the event.keys`"),
        (tasks(task(taskId=7)), "Expected `str`, got `int` - at `the event.tasks[0].taskId`"),
        ({"secret": "secret"}, "not an event that this function answers; its fields are 'secret'"),
    ],
)
def test_a_refusal_says_where_what_was_found_and_what_was_expected(event: object, found: str) -> None:
    with pytest.raises(EventError) as caught:
        parsed(event)
    assert str(caught.value) == found


def test_a_malformed_message_s_own_words_are_not_repeated() -> None:
    bodies = ["password=secret", '{"Records": [{"eventSource": "aws:s3", "eventName": 7, "password": "secret"}]}']
    found = parsed({"Records": [message(number, body) for number, body in enumerate(bodies)]}).malformed
    assert found == (
        ("m0", "the message's body is no JSON (15 characters)"),
        ("m1", "the message's body: Expected `str`, got `int` - at `the event.Records[0].eventName`"),
    )


def test_a_subscription_to_confirm_is_told_from_a_notification() -> None:
    (found,) = parsed(payload("sqs_sns_subscription")).malformed
    assert found[1] == "the message's body.Type is 'SubscriptionConfirmation', expected 'Notification'"


def test_a_message_id_too_long_to_repeat_is_refused() -> None:
    with pytest.raises(EventError, match=r"length <= 4096 - at `the event.Records\[0\].messageId`"):
        parsed({"Records": [message(1, "{}") | {"messageId": "x" * 4097}]})


@pytest.mark.parametrize(
    ("size", "known"),
    [
        (7, 7),
        ("1024", 1024),
        (0, 0),
        (-1, None),
        ("-1", None),
        ("", None),
        ("9" * 16, None),
        (10**30, None),
        ("٣", None),
    ],
)
def test_a_size_may_be_a_text(size: object, known: int | None) -> None:
    assert parsed({"Key": PLAIN, "Size": size}).objects == (EventObject(PLAIN, known),)


def test_the_payloads_are_whole() -> None:
    for path in EVENTS.glob("sqs_*.json"):
        for record in payload(path.stem)["Records"]:
            assert record["md5OfBody"] == hashlib.md5(record["body"].encode(), usedforsecurity=False).hexdigest()
    for path in EVENTS.glob("*_special_key.json"):
        assert EVENTS / path.name.replace("_special_key", "") in EVENTS.glob("*.json")


NAMES = ["Records", "s3", "object", "bucket", "key", "name", "eventSource", "eventName", "body", "messageId", "source"]
NAMES += ["detail", "detail-type", "keys", "prefix", "start_after", "dry_run", "Event", "Items", "Key", "tasks"]
NAMES += [
    "requestContext",
    "requestPayload",
    "EventSource",
    "Sns",
    "Message",
    "Type",
    "TopicArn",
    "Bucket",
    "taskId",
    "s3Key",
    "s3Bucket",
    "invocationId",
]
WORDS = [
    "aws:s3",
    "aws:sqs",
    "aws.s3",
    "aws.events",
    "ObjectCreated:Put",
    "Object Created",
    "source-bucket",
    "in/a.csv",
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([*WORDS, "\ud800"])
)
HOSTILE = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
        | inner.map(lambda value: json.dumps(value, default=str))
    ),
    max_leaves=20,
)
REAL = [payload(path.stem) for path in sorted(EVENTS.glob("*.json"))]


def holds(found: Invocation) -> None:
    """Say what is true of every invocation, whatever the event was."""
    assert len({one.key for one in found.objects}) == len(found.objects)
    assert all(KEY_MAP.skip_reason(one.key, listed=False) is None for one in found.objects)
    assert all(skipped.reason for skipped in found.skipped)
    assert found.sweep is None or found.sweep.prefix.startswith("in/")
    carried = {message_id for ids in found.carriers.values() for message_id in ids}
    assert carried | {message_id for message_id, _ in found.malformed} <= set(found.message_ids)
    assert not (found.sweep and found.objects)


@examples(400)
@given(HOSTILE)
def test_any_json_is_an_event_or_an_event_error(event: object) -> None:
    with contextlib.suppress(EventError):
        holds(parsed(event))


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for name, item in inner for path in paths(item, (*at, name)))]


@examples(400)
@given(st.data())
def test_a_real_event_with_anything_in_any_place_is_an_event_or_an_event_error(data: st.DataObject) -> None:
    event = copy.deepcopy(data.draw(st.sampled_from(REAL)))
    path = data.draw(st.sampled_from(paths(event)))
    if path:
        at = event
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = data.draw(HOSTILE)
    with contextlib.suppress(EventError):
        holds(parsed(event))


def test_a_payload_nested_deeper_than_python_goes_is_refused() -> None:
    nested: object = "in/a.csv"
    for _ in range(100_000):
        nested = [nested]
    for event in ({"keys": [nested]}, {"prefix": nested}, {"Records": [{"eventSource": "aws:s3", "s3": nested}]}):
        with pytest.raises(EventError):
            parsed(event)

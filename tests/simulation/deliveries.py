"""Events of all kinds that name keys, and what an answer says of them: which have to be delivered again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from csv_transcode.errors import TranscodeError
from tests.simulation.invariants import INPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Answered = dict[str, Any] | TranscodeError


@dataclass(frozen=True)
class Kind:
    """One kind of event: its payload for some keys, and which of them an answer says are not done."""

    name: str
    payload: Callable[[tuple[str, ...]], dict[str, Any]]
    missed: Callable[[tuple[str, ...], Answered], set[str]]
    sweeps: bool = False


@dataclass(eq=False)
class Delivery:
    """Something that S3 or a person wants done: delivered again until nothing is left to do."""

    kind: Kind
    keys: tuple[str, ...]
    left: set[str] = field(default_factory=set)
    start_after: str | None = None
    times: int = 0

    def __post_init__(self) -> None:
        self.left = set(self.keys)

    def payload(self) -> dict[str, Any]:
        self.times += 1
        made = self.kind.payload(tuple(key for key in self.keys if key in self.left) or self.keys)
        return made if self.start_after is None else made | {"start_after": self.start_after}

    def answered(self, answer: Answered) -> None:
        """Take note of an answer, or of what was raised instead of one."""
        asked = tuple(key for key in self.keys if key in self.left) or self.keys
        self.left = self.kind.missed(asked, answer)
        following = None if isinstance(answer, TranscodeError) else answer.get("next")
        self.start_after = following
        if following is not None:
            self.left |= {key for key in self.keys if key > following}

    def can_be_done(self, failing: set[str], gone: set[str]) -> bool:
        """Say whether something is left that is neither among the keys that can only fail nor gone.

        Who gets an exception does not learn for which of its keys. A listing does not name what is gone.
        """
        hopeless = failing if self.kind.sweeps else failing | gone
        if self.kind.missed is _missed_by_raising:
            return not (failing if self.kind.sweeps else self.left & hopeless)
        return bool(self.left - failing - gone)

    @property
    def is_done(self) -> bool:
        return not self.left


def _s3_record(key: str) -> dict[str, Any]:
    return {
        "eventVersion": "2.6",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": INPUT_BUCKET}, "object": {"key": quote_plus(key)}},
    }


def _notification(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"Records": [_s3_record(key) for key in keys]}


def _eventbridge(keys: tuple[str, ...]) -> dict[str, Any]:
    detail = {"bucket": {"name": INPUT_BUCKET}, "object": {"key": keys[0]}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _sqs(keys: tuple[str, ...]) -> dict[str, Any]:
    bodies = [_notification((key,)) if number % 2 else _eventbridge((key,)) for number, key in enumerate(keys)]
    return {
        "Records": [
            {"messageId": f"message of {key}", "eventSource": "aws:sqs", "body": json.dumps(body)}
            for key, body in zip(keys, bodies, strict=True)
        ]
    }


def _sns(keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "Records": [
            {"EventSource": "aws:sns", "Sns": {"Type": "Notification", "Message": json.dumps(_notification((key,)))}}
            for key in keys
        ]
    }


def _items(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"Items": [{"Key": key, "Size": None} for key in keys], "BatchInput": {}}


def _tasks(keys: tuple[str, ...]) -> dict[str, Any]:
    tasks = [
        {"taskId": f"task of {key}", "s3Key": quote_plus(key), "s3VersionId": None, "s3Bucket": INPUT_BUCKET}
        for key in keys
    ]
    return {"invocationSchemaVersion": "2.0", "invocationId": "simulated", "job": {"id": "simulated"}, "tasks": tasks}


def _missed_by_raising(keys: tuple[str, ...], answer: Answered) -> set[str]:
    return set(keys) if isinstance(answer, TranscodeError) else set()


def _missed_by_messages(keys: tuple[str, ...], answer: Answered) -> set[str]:
    if isinstance(answer, TranscodeError):
        return set(keys)
    return {one["itemIdentifier"].removeprefix("message of ") for one in answer["batchItemFailures"]}


def _missed_by_tasks(keys: tuple[str, ...], answer: Answered) -> set[str]:
    if isinstance(answer, TranscodeError):
        return set(keys)
    return {one["taskId"].removeprefix("task of ") for one in answer["results"] if one["resultCode"] != "Succeeded"}


def _missed_by_report(keys: tuple[str, ...], answer: Answered) -> set[str]:
    if isinstance(answer, TranscodeError):
        return set(keys)
    return {one["key"] for one in answer["results"] if one["outcome"] in ("failed", "deferred")}


NOTIFICATION: Final = Kind("S3 notification", _notification, _missed_by_raising)
EVENTBRIDGE: Final = Kind("EventBridge", _eventbridge, _missed_by_raising)
SQS: Final = Kind("SQS", _sqs, _missed_by_messages)
SNS: Final = Kind("SNS", _sns, _missed_by_raising)
STEP_FUNCTIONS: Final = Kind("Step Functions", _items, _missed_by_report)
S3_BATCH: Final = Kind("S3 Batch Operations", _tasks, _missed_by_tasks)
DIRECT: Final = Kind("direct", lambda keys: {"keys": list(keys)}, _missed_by_report)
FORCED: Final = Kind("direct, force", lambda keys: {"keys": list(keys), "force": True}, _missed_by_report)
SWEEP: Final = Kind("prefix", lambda _: {}, _missed_by_report, sweeps=True)
SCHEDULE: Final = Kind("schedule", lambda _: {"source": "aws.scheduler"}, _missed_by_raising, sweeps=True)
KINDS: Final = (NOTIFICATION, EVENTBRIDGE, SQS, SNS, STEP_FUNCTIONS, S3_BATCH, DIRECT, SWEEP, SCHEDULE)


def of(kind: Kind, keys: Iterable[str]) -> list[Delivery]:
    """Return the events of one kind that name these keys: EventBridge names one at a time."""
    named = tuple(dict.fromkeys(keys))
    return [Delivery(kind, (key,)) for key in named] if kind is EVENTBRIDGE else [Delivery(kind, named)]


def payloads(deliveries: Iterable[Delivery]) -> list[Mapping[str, Any]]:
    return [one.payload() for one in deliveries]

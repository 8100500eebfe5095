"""What became of each object, and the answer that its sender gets (contract sections 2 and 7)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from csv_transcode.errors import FilesFailedError
from csv_transcode.events import EventKind
from csv_transcode.manifest import RecordCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from csv_transcode.events import Invocation
    from csv_transcode.manifest import OutputRef

ANSWER_BYTES_MAX: Final = 200_000
# What the answer holds beside its results, with room to spare: counts, sums, and a key to start after.
FRAME_BYTES_MAX: Final = 8_000
KEY_SHOWN_MAX: Final = 1024  # characters: a real key has at most as many bytes
REASON_SHOWN_MAX: Final = 1000
FAILURES_NAMED_MAX: Final = 10
SECONDS_DIGITS: Final = 6
OK: Final = 200
PARTIAL: Final = 206
FAILED: Final = 500


class Outcome(StrEnum):
    """What became of one object."""

    CONVERTED = "converted"
    SKIPPED = "skipped"
    FAILED = "failed"
    DEFERRED = "deferred"
    PLANNED = "planned"


# Those a reader must not miss come first where results are cut.
_URGENCY: Final = (Outcome.FAILED, Outcome.DEFERRED, Outcome.CONVERTED, Outcome.PLANNED, Outcome.SKIPPED)
_COUNTED: Final = (Outcome.CONVERTED, Outcome.SKIPPED, Outcome.FAILED, Outcome.DEFERRED)


@dataclass(frozen=True)
class ObjectResult:
    """What became of one object.

    ``records`` and ``outputs`` belong to conversions; ``error`` is what a failure came from, and ``retryable`` whether
    the same may succeed if it is tried again. Bytes are of the source as it lies in S3 and of each output.
    """

    key: str
    outcome: Outcome
    reason: str | None = None
    records: RecordCounts | None = None
    seconds: float = 0.0
    bytes_read: int = 0
    bytes_parquet: int = 0
    bytes_avro: int = 0
    outputs: tuple[OutputRef, ...] = ()
    error: BaseException | None = None
    retryable: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in an answer; a key or reason beyond all measure is cut."""
        described: dict[str, Any] = {"key": self.key[:KEY_SHOWN_MAX], "outcome": self.outcome.value}
        if self.reason is not None:
            described["reason"] = self.reason[:REASON_SHOWN_MAX]
        if self.records is not None:
            described["records"] = _counts(self.records)
        described["seconds"] = round(self.seconds, SECONDS_DIGITS)
        if self.outputs:
            described["outputs"] = [
                {item.name: getattr(output, item.name) for item in fields(output)} for output in self.outputs
            ]
        return described


@dataclass(frozen=True)
class RunReport:
    """What became of all objects of one run; ``next`` is the key after which a run that was cut short goes on."""

    results: tuple[ObjectResult, ...]
    seconds_total: float = 0.0
    next: str | None = None

    @property
    def status_code(self) -> int:
        """500 when something failed, else 206 when something was deferred, else 200."""
        if self.having(Outcome.FAILED):
            return FAILED
        return PARTIAL if self.having(Outcome.DEFERRED) else OK

    def having(self, *outcomes: Outcome) -> tuple[ObjectResult, ...]:
        """Return the results with one of these outcomes, in order."""
        return tuple(result for result in self.results if result.outcome in outcomes)

    def summary(self) -> dict[str, Any]:
        """Return the counts and sums of the report. Records and seconds per file are those of conversions only."""
        outcomes = Counter(result.outcome for result in self.results)
        converted = self.having(Outcome.CONVERTED)
        seconds = [result.seconds for result in converted]
        return {
            "statusCode": self.status_code,
            "files": {outcome.value: outcomes[outcome] for outcome in _COUNTED},
            "records": _counts(_sum(result.records for result in converted)),
            "bytes": {
                "read": sum(result.bytes_read for result in self.results),
                "parquet": sum(result.bytes_parquet for result in converted),
                "avro": sum(result.bytes_avro for result in converted),
            },
            "seconds": {
                "total": round(self.seconds_total, SECONDS_DIGITS),
                "per_file_mean": round(sum(seconds) / max(1, len(seconds)), SECONDS_DIGITS),
                "per_file_max": round(max(seconds, default=0.0), SECONDS_DIGITS),
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the report as contract section 7 has it: as JSON, under 200,000 bytes, whatever encoder is used."""
        shown, cut = _bounded(self.results)
        described = self.summary() | {"results": shown}
        if cut:
            described["results_cut"] = cut
        return described if self.next is None else described | {"next": self.next}


def answer(invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Return what the sender of this event gets; ``FilesFailedError`` where only an exception reaches it."""
    return _ANSWERS[invocation.kind](invocation, report)


def _report(_invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer a sender who reads the answer."""
    return report.to_dict()


def _report_or_raise(_invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer an asynchronous sender: nobody reads the answer, but an exception is repeated and then dead-lettered."""
    missed = report.having(Outcome.FAILED, Outcome.DEFERRED)
    if not missed:
        return report.to_dict()
    named = [f"{one.key[:KEY_SHOWN_MAX]}: {(one.reason or one.outcome)[:REASON_SHOWN_MAX]}" for one in _urgent(missed)]
    more = len(named) - FAILURES_NAMED_MAX
    lines = named[:FAILURES_NAMED_MAX] + ([f"and {more} more"] if more > 0 else [])
    message = "\n  ".join([f"{len(missed)} of {len(report.results)} files failed or were deferred:", *lines])
    raise FilesFailedError(message) from next((one.error for one in _urgent(missed) if one.error), None)


def _batch_item_failures(invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer SQS: the messages whose objects were not all converted, and those that are no events."""
    missed = {message_id for message_id, _ in invocation.malformed}
    for result in report.having(Outcome.FAILED, Outcome.DEFERRED):
        missed |= invocation.carriers.get(result.key, frozenset())
    ids = [message_id for message_id in invocation.message_ids if message_id in missed]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in ids]}


_ANSWERS: Final[Mapping[EventKind, Callable[[Invocation, RunReport], dict[str, Any]]]] = MappingProxyType(
    {
        EventKind.S3_NOTIFICATION: _report_or_raise,
        EventKind.EVENTBRIDGE: _report_or_raise,
        EventKind.SCHEDULE: _report_or_raise,
        EventKind.SQS: _batch_item_failures,
        EventKind.DIRECT: _report,
    }
)


def _bounded(results: tuple[ObjectResult, ...]) -> tuple[list[dict[str, Any]], int]:
    """Return the results that fit, and how many do not: all in their order, or else the urgent ones first."""
    shown = _fitting(results)
    if len(shown) < len(results):
        shown = _fitting(_urgent(results))
    return shown, len(results) - len(shown)


def _fitting(results: Iterable[ObjectResult]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    left = ANSWER_BYTES_MAX - FRAME_BYTES_MAX
    for result in results:
        described = result.to_dict()
        # The longest form that an encoder may choose: every other character escaped, a space after each comma.
        left -= len(json.dumps(described, ensure_ascii=True)) + len(", ")
        if left < 0:
            break
        shown.append(described)
    return shown


def _urgent(results: Iterable[ObjectResult]) -> list[ObjectResult]:
    return sorted(results, key=lambda result: _URGENCY.index(result.outcome))


def _sum(counts: Iterable[RecordCounts | None]) -> RecordCounts:
    known = [one for one in counts if one is not None]
    return RecordCounts(*(sum(getattr(one, name) for one in known) for name in ("read", "written", "rejected")))


def _counts(counts: RecordCounts) -> dict[str, int]:
    return {"read": counts.read, "written": counts.written, "rejected": counts.rejected}

"""What became of each object, and the answer that its sender gets (contract sections 2 and 7)."""

from __future__ import annotations

import json
from collections import Counter
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from csv_transcode.errors import FilesFailedError, RetryableError
from csv_transcode.events import EventKind
from csv_transcode.manifest import RecordCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from csv_transcode.events import Invocation
    from csv_transcode.manifest import OutputRef

ANSWER_BYTES_MAX: Final = 200_000
# What the answer holds beside its results, with room to spare: counts, sums, and a key to start after.
FRAME_BYTES_MAX: Final = 8_000
KEY_SHOWN_MAX: Final = 1024  # characters: a real key has at most as many bytes
REASON_SHOWN_MAX: Final = 1000
FAILURES_NAMED_MAX: Final = 10
TASK_TEXT_MAX: Final = 1024  # characters of a task's result in the completion report of S3 Batch Operations
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


class ObjectResult(Struct, frozen=True):
    """What became of one object.

    ``records`` and ``outputs`` belong to conversions; ``error`` is what a failure came from, and ``retryable`` whether
    the same may succeed if it is tried again. Bytes are of the source as it lies in S3 and of each output;
    ``stage_seconds`` are those of each stage that was come to (``stages.py``).
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
    stage_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as it stands in an answer; a key or reason beyond all measure is cut."""
        described: dict[str, Any] = {"key": self.key[:KEY_SHOWN_MAX], "outcome": self.outcome.value}
        if self.reason is not None:
            described["reason"] = self.reason[:REASON_SHOWN_MAX]
        if self.records is not None:
            described["records"] = _counts(self.records)
        described["seconds"] = round(self.seconds, SECONDS_DIGITS)
        if self.outputs:
            described["outputs"] = [asdict(output) for output in self.outputs]
        return described


class RunReport(Struct, frozen=True):
    """What became of all objects of one run; ``next`` is the key after which a run that was cut short goes on."""

    results: tuple[ObjectResult, ...]
    seconds_total: float = 0.0
    next: str | None = None

    @property
    def status_code(self) -> int:
        """500 when something failed, else 206 when something was deferred, the rest of a listing too, else 200."""
        if self.having(Outcome.FAILED):
            return FAILED
        return PARTIAL if self.having(Outcome.DEFERRED) or self.next is not None else OK

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


def accounted(invocation: Invocation, report: RunReport) -> RunReport:
    """Return the report with every object of the event in it: one that the run does not mention is deferred.

    A run that ends early can so not let a message be deleted, or a task succeed, of whose object nothing is known.
    """
    told = {result.key for result in report.results}
    untold = (one.key for one in invocation.objects if one.key not in told)
    missing = tuple(ObjectResult(key, Outcome.DEFERRED, "the run ended without it") for key in untold)
    return replace(report, results=(*report.results, *missing)) if missing else report


def answer(invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Return what the sender of this event gets; raises where only an exception reaches it."""
    return _ANSWERS[invocation.kind](invocation, report)


def _report(_invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer a sender who reads the answer."""
    return report.to_dict()


def _report_or_raise(_invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer an asynchronous sender: nobody reads the answer, but an exception is repeated and then dead-lettered."""
    missed = report.having(Outcome.FAILED, Outcome.DEFERRED)
    if missed or report.next is not None:
        raise FilesFailedError(_named("failed or were deferred", missed, report)) from _cause(missed)
    return report.to_dict()


def _report_or_retry(_invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer Step Functions: bad data is in the report, and what may pass by itself is for the state machine to retry.

    The exception's name is what a state machine's ``Retry`` names: ``RetryableError``, and none of its subclasses.
    """
    missed = tuple(result for result in report.results if _may_pass(result))
    if missed:
        raise RetryableError(_named("may be converted by trying again", missed, report)) from _cause(missed)
    return report.to_dict()


def _batch_item_failures(invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer SQS: the messages whose objects were not all converted, and those that are no events."""
    missed = {message_id for message_id, _ in invocation.malformed}
    for result in report.having(Outcome.FAILED, Outcome.DEFERRED):
        missed |= invocation.carriers.get(result.key, frozenset())
    ids = [message_id for message_id in invocation.message_ids if message_id in missed]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in ids]}


def _task_results(invocation: Invocation, report: RunReport) -> dict[str, Any]:
    """Answer S3 Batch Operations: one result a task, of which the worst that befell it decides."""
    found: dict[str, list[tuple[str, str]]] = {message_id: [] for message_id in invocation.message_ids}
    for message_id, why in invocation.malformed:
        found[message_id].append((_PERMANENT, why))
    for skipped in invocation.skipped:
        if skipped.message_id is not None:
            found[skipped.message_id].append((_SUCCEEDED, f"{Outcome.SKIPPED}: {skipped.reason}"))
    for result in report.results:
        for message_id in invocation.carriers.get(result.key, ()):
            found[message_id].append(_task_result(result))
    job = invocation.batch_job
    return {
        "invocationSchemaVersion": job.schema_version if job else "",
        "treatMissingKeysAs": _TEMPORARY,  # a task without a result is tried again, and so not lost
        "invocationId": job.invocation_id if job else "",
        "results": [_described_task(message_id, results) for message_id, results in found.items()],
    }


_SUCCEEDED: Final = "Succeeded"
_TEMPORARY: Final = "TemporaryFailure"
_PERMANENT: Final = "PermanentFailure"
_WORST_LAST: Final = (_SUCCEEDED, _PERMANENT, _TEMPORARY)  # what may still pass is tried again as a whole


def _task_result(result: ObjectResult) -> tuple[str, str]:
    """Return the code and the text of one object's result."""
    failed = result.outcome is Outcome.FAILED
    code = _TEMPORARY if _may_pass(result) else _PERMANENT if failed else _SUCCEEDED
    counts = result.records and f"{result.records.written} records written, {result.records.rejected} rejected"
    details = result.reason or counts
    return code, f"{result.outcome}: {details}" if details else result.outcome.value


def _described_task(task_id: str, results: Sequence[tuple[str, str]]) -> dict[str, str]:
    code, text = max(results, key=lambda result: _WORST_LAST.index(result[0]), default=(_TEMPORARY, "nothing was done"))
    return {"taskId": task_id, "resultCode": code, "resultString": text[:TASK_TEXT_MAX]}


_ANSWERS: Final[Mapping[EventKind, Callable[[Invocation, RunReport], dict[str, Any]]]] = MappingProxyType(
    {
        EventKind.S3_NOTIFICATION: _report_or_raise,
        EventKind.SNS: _report_or_raise,
        EventKind.EVENTBRIDGE: _report_or_raise,
        EventKind.SCHEDULE: _report_or_raise,
        EventKind.SQS: _batch_item_failures,
        EventKind.STEP_FUNCTIONS: _report_or_retry,
        EventKind.S3_BATCH: _task_results,
        EventKind.DIRECT: _report,
    }
)


def _may_pass(result: ObjectResult) -> bool:
    """Say whether the object was not converted and may be, if the same is simply asked for again."""
    return result.outcome is Outcome.DEFERRED or (result.outcome is Outcome.FAILED and result.retryable)


def _named(what: str, missed: Sequence[ObjectResult], report: RunReport) -> str:
    """Return the message that names the first of ``missed``, counts the rest, and says where a cut listing goes on."""
    urgent = _urgent(missed)[:FAILURES_NAMED_MAX]
    lines = [
        f"{_printable(one.key[:KEY_SHOWN_MAX])}: {_printable((one.reason or one.outcome)[:REASON_SHOWN_MAX])}"
        for one in urgent
    ]
    more = len(missed) - len(lines)
    lines += [f"and {more} more"] if more > 0 else []
    if report.next is not None:
        lines.append(f"not listed to the end: goes on after {report.next[:KEY_SHOWN_MAX]!r}")
    return "\n  ".join([f"{len(missed)} of {len(report.results)} files {what}:", *lines])


def _printable(text: str) -> str:
    """Return the text with control characters escaped: Lambda logs an exception as it is, line ends and all."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _cause(missed: Sequence[ObjectResult]) -> BaseException | None:
    return next((one.error for one in _urgent(missed) if one.error), None)


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

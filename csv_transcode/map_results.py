"""What became of all batches of a Distributed Map: read from where its ResultWriter has put them, and summed up.

The map's own output names a manifest, which names files of JSON Lines: those of batches that succeeded, each line what
the state machine keeps of the function's report; and those of batches that did not, each line the execution with its
input. Without a ResultWriter the map's output is the list of what these lines hold. infra/statemachine.asl.json is the
other side of this.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from csv_transcode.errors import BackfillError, EventError
from csv_transcode.payloads import BatchReport, read_as, read_json
from csv_transcode.report import FAILED, KEY_SHOWN_MAX, OK, REASON_SHOWN_MAX, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from csv_transcode.events import MapResults

SUMMARY_CHARACTERS_MAX: Final = 30_000  # as JSON: the cause of a Fail state may have 32,768
FRAME_CHARACTERS_MAX: Final = 3_000  # what the summary holds beside its results
LISTED_MAX: Final = 500  # results kept of each outcome: more do not fit
MANIFEST_BYTES_MAX: Final = 8 << 20
# An execution's input has at most 256 KiB, which grow where they are JSON within JSON within JSON.
LINE_BYTES_MAX: Final = 8 << 20
STATUSES: Final = ("FAILED", "PENDING", "SUCCEEDED")
RETRYABLE: Final = "RetryableError"
_COUNTED: Final = (Outcome.CONVERTED, Outcome.SKIPPED, Outcome.FAILED, Outcome.DEFERRED)
_RECORDS: Final = ("read", "written", "rejected")
_BYTES: Final = ("read", "parquet", "avro")


class Summary(Struct):
    """What became of all files of a backfill; ``failed`` and ``deferred`` name the first of them, with the reason.

    Of a batch that did not end, every file counts as failed, or, where trying again may help, as deferred: some
    of them may have been converted, which the next run finds out.
    """

    files: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    batches: int = 0
    batches_unfinished: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    deferred: list[dict[str, str]] = field(default_factory=list)

    def add(self, result: object) -> None:
        """Count one batch: what is kept of the function's report, or the execution that did not come to one."""
        self.batches += 1
        report = _report(result)
        if report is None:
            self._add_unfinished(result if isinstance(result, dict) else {})
            return
        self.files.update(report.files)
        self.records.update(report.records)
        self.bytes.update(report.bytes)
        for failure in report.failures:
            _list(self.failed, failure.key, Outcome.FAILED, failure.reason)

    def _add_unfinished(self, execution: dict[str, Any]) -> None:
        self.batches_unfinished += 1
        error, cause = str(execution.get("Error") or execution.get("Status") or "unknown"), _cause(execution)
        may_pass = error == RETRYABLE or execution.get("Status") == "PENDING"
        outcome, listed = (Outcome.DEFERRED, self.deferred) if may_pass else (Outcome.FAILED, self.failed)
        keys = _keys(execution)
        self.files[outcome] += max(1, len(keys))
        for key in keys or [""]:
            _list(listed, key, outcome, f"its batch of {max(1, len(keys))} did not end: {error}: {cause}")

    def to_dict(self) -> dict[str, Any]:
        """Return the summary; its JSON has at most SUMMARY_CHARACTERS_MAX characters, in any spelling."""
        shown = _fitting([*self.failed, *self.deferred])
        missed = self.files[Outcome.FAILED] + self.files[Outcome.DEFERRED]
        described: dict[str, Any] = {
            "statusCode": FAILED if missed else OK,
            "files": {outcome.value: self.files[outcome] for outcome in _COUNTED},
            "records": {name: self.records[name] for name in _RECORDS},
            "bytes": {name: self.bytes[name] for name in _BYTES},
            "batches": {"all": self.batches, "unfinished": self.batches_unfinished},
            "results": shown,
        }
        return described | ({"results_cut": missed - len(shown)} if missed > len(shown) else {})


def sum_up(results: MapResults, read: Callable[[str], Iterable[bytes]]) -> dict[str, Any]:
    """Return the summary of a map's results; ``read`` opens an object of the output bucket."""
    summary = Summary()
    for result in results.inline:
        summary.add(result)
    if results.key is None:
        return summary.to_dict()
    for key in _files(_whole(read(results.key), results.key), results.key):
        for line in _lines(read(key), key):
            summary.add(line)
    return summary.to_dict() | {"exported_to": results.key}


def _files(content: bytes, key: str) -> Iterator[str]:
    """Yield the keys of the files that the manifest names."""
    try:
        files = json.loads(content)["ResultFiles"]
        yield from [one["Key"] for status in STATUSES for one in files.get(status, ())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        message = f"{key} is not the manifest of a map's results"
        raise BackfillError(message) from None


def _whole(chunks: Iterable[bytes], key: str) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        _require_bounded(content, MANIFEST_BYTES_MAX, key)
    return bytes(content)


def _lines(chunks: Iterable[bytes], key: str) -> Iterator[object]:
    """Yield what the lines hold, with one line and one chunk in memory."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        *lines, last = rest.split(b"\n")
        yield from (_line(line, key) for line in lines if line.strip())
        rest = last
        _require_bounded(rest, LINE_BYTES_MAX, key)
    if rest.strip():
        yield _line(rest, key)


def _line(line: bytearray, key: str) -> object:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        message = f"{key} holds a line that is no JSON ({len(line):,} bytes): its batch cannot be counted"
        raise BackfillError(message) from None
    return found


def _require_bounded(content: bytearray, bytes_max: int, key: str) -> None:
    if len(content) > bytes_max:
        message = f"{key} holds more in one piece than the {bytes_max:,} bytes that a map's results may have"
        raise BackfillError(message)


def _report(result: object) -> BatchReport | None:
    """Return what is kept of the function's report, the execution around it or not; None where there is none."""
    try:
        if isinstance(result, dict) and result.get("Status") == "SUCCEEDED":
            result = read_json(result.get("Output"), "Output")
        return read_as(result, BatchReport)
    except EventError:
        return None


def _keys(execution: dict[str, Any]) -> list[str]:
    """Return the keys that a batch was to convert, as they stood in its input."""
    try:
        asked = read_json(execution.get("Input"), "Input")
    except EventError:
        return []
    items = asked.get("Items", [asked]) if isinstance(asked, dict) else ()
    found = [item.get("Key") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [key for key in found if isinstance(key, str)]


def _cause(execution: dict[str, Any]) -> str:
    """Return the message within a function's error, or the cause as it stands."""
    cause = execution.get("Cause") or "no cause is given"
    try:
        described = read_json(cause, "Cause")
    except EventError:
        described = None
    return str(described["errorMessage"] if isinstance(described, dict) and "errorMessage" in described else cause)


def _list(listed: list[dict[str, str]], key: str, outcome: Outcome, reason: str) -> None:
    if len(listed) < LISTED_MAX:
        described = {"key": key[:KEY_SHOWN_MAX], "outcome": outcome.value, "reason": reason[:REASON_SHOWN_MAX]}
        listed.append(described)


def _fitting(results: list[dict[str, str]]) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = []
    left = SUMMARY_CHARACTERS_MAX - FRAME_CHARACTERS_MAX
    for result in results:
        left -= len(json.dumps(result, ensure_ascii=True)) + len(", ")
        if left < 0:
            break
        shown.append(result)
    return shown

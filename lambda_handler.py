"""AWS Lambda's way in: parse the event, run the processor, answer the sender.

The only place, beside the command line, that reads the environment.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from csv_transcode.deadline import Deadline
from csv_transcode.errors import RetryableError, TranscodeError
from csv_transcode.events import parse_event
from csv_transcode.report import accounted, answer
from csv_transcode.runtime import uncollected
from csv_transcode.settings import COLUMN_TYPES_BYTES_MAX, Settings, expected_owners, variables
from csv_transcode.telemetry import LinesOnly, log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from csv_transcode.events import Invocation, MapResults
    from csv_transcode.keys import KeyMap
    from csv_transcode.report import ObjectResult, RunReport

# What the S3 client is made from: another value means another client.
_CLIENT_VARIABLES: Final = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)


class Processor(Protocol):
    """What the function needs of the façade."""

    @property
    def key_map(self) -> KeyMap:
        """Source key → output keys."""

    def handle(
        self, invocation: Invocation, deadline: Deadline, *, on_result: Callable[[ObjectResult], object]
    ) -> RunReport:
        """Convert what the invocation asks for; ``on_result`` is called with each result as it comes."""

    def sum_up(self, results: MapResults) -> dict[str, Any]:
        """Return the summary of a Distributed Map's results."""

    def end_invocation(self) -> None:
        """Give back what must not outlive an invocation."""

    def close(self) -> None:
        """End the processor's threads."""


class Telemetry(Protocol):
    """Where invocations are to be seen."""

    def begin(self, context: object) -> None:
        """Take note of the invocation that begins."""

    def configure(self, level: str) -> logging.Logger:
        """Make the package's logger write lines of at least ``level``."""

    def measure(self, results: Sequence[ObjectResult]) -> None:
        """Tell what became of the invocation's objects, in figures; must not raise."""


class LambdaFunction:
    """One function: the environment, what builds the processor from settings, and the processor once it is built.

    ``fetch`` returns the bytes at an ``s3://`` URL, for settings that name one. The processor is kept for as long as
    the environment that it was built from stays as it is. Every invocation is to be seen in ``telemetry``, also one
    that raises.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        build: Callable[[Settings], Processor],
        fetch: Callable[[str], bytes],
        telemetry: Callable[[], Telemetry] = LinesOnly,
    ) -> None:
        self._environ = environ
        self._build = build
        self._fetch = fetch
        self._telemetry = cache(telemetry)  # made when there is something to be seen
        self._built: tuple[tuple[str | None, ...], Processor, logging.Logger] | None = None

    def __call__(self, event: object, context: object) -> dict[str, Any]:
        """Answer one invocation; raises the package's own errors where only an exception reaches the sender.

        What may pass by itself is raised as ``RetryableError``, the one name that a state machine has to know.
        """
        results: list[ObjectResult] = []
        self._telemetry().begin(context)
        try:
            return self._answer(event, context, results)
        except TranscodeError as error:
            if not error.retryable or type(error) is RetryableError:
                raise
            message = f"{type(error).__name__}: {error}"
            raise RetryableError(message) from error
        finally:
            self._telemetry().measure(results)

    def prepare(self) -> None:
        """Set up before the first event; whatever keeps that from being done, the first event's sender is told."""
        with suppress(Exception):
            self._processor()

    def _answer(self, event: object, context: object, results: list[ObjectResult]) -> dict[str, Any]:
        """Answer, and leave in ``results`` what is known of the objects, however this ends."""
        processor, logger = self._processor()
        invocation = parse_event(event, processor.key_map)
        if invocation.map_results is not None:
            summary = processor.sum_up(invocation.map_results)
            log_event(logger, logging.INFO, "backfill.summed", files=summary["files"], batches=summary["batches"])
            return summary
        try:
            handled = processor.handle(invocation, _deadline(context), on_result=results.append)
            report = accounted(invocation, handled)
            results[:] = report.results
        finally:
            processor.end_invocation()
        _log(logger, invocation, report, context)
        return answer(invocation, report)

    def _processor(self) -> tuple[Processor, logging.Logger]:
        cause = tuple(self._environ.get(name) for name in (*variables(), *_CLIENT_VARIABLES))
        if self._built is None or self._built[0] != cause:
            self._discard()
            with uncollected():
                settings = Settings.from_mapping(self._environ, self._fetch)
                logger = self._telemetry().configure(settings.log_level)
                for warning in settings.warnings:
                    log_event(logger, logging.WARNING, "settings.doubtful", warning=warning)
                self._built = (cause, self._build(settings), logger)
        return self._built[1:]

    def _discard(self) -> None:
        built, self._built = self._built, None
        if built is not None:
            built[1].close()


def lambda_handler(event: object, context: object) -> dict[str, Any]:
    """Answer one invocation of this function by AWS Lambda."""
    return _FUNCTION(event, context)


def _build(settings: Settings) -> Processor:
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # else NumPy starts threads that spin, for algebra nobody asks for
    from csv_transcode.formats.memory import use_lean_allocators  # noqa: PLC0415 - as below
    from s3_data_processor import S3DataProcessor  # noqa: PLC0415 - Arrow and the SDK, only for what is to be done

    use_lean_allocators()
    return S3DataProcessor.from_settings(settings)


def _fetch(url: str) -> bytes:
    from csv_transcode.s3.fetch import fetch  # noqa: PLC0415 - as above, and hardly any function asks

    return fetch(url, COLUMN_TYPES_BYTES_MAX, expected_owners(os.environ))


def _telemetry() -> Telemetry:
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:  # as Lambda sets; nobody else reads metrics from a log
        return LinesOnly()
    from csv_transcode.powertools import Powertools  # noqa: PLC0415 - as above; importing it imports botocore

    return Powertools(os.environ)


_FUNCTION: Final = LambdaFunction(os.environ, _build, _fetch, _telemetry)
if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # Lambda starts a function before it has an event, with all of a processor whatever its memory, and with provisioned
    # concurrency long before: what is done now, no sender waits for.
    _FUNCTION.prepare()


def _deadline(context: object) -> Deadline:
    """Return the deadline that Lambda's context tells, or none where the function is called without one."""
    remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
    return Deadline(remaining_ms) if callable(remaining_ms) else Deadline.never()


def _log(logger: logging.Logger, invocation: Invocation, report: RunReport, context: object) -> None:
    """Log what the conversions themselves do not: what never became one, and the sum of all."""
    for message_id, why in invocation.malformed:
        log_event(logger, logging.ERROR, "message.malformed", message_id=message_id, reason=why)
    for skipped in invocation.skipped:
        log_event(logger, logging.INFO, "object.skipped", key=skipped.key, reason=skipped.reason)
    request_id = getattr(context, "aws_request_id", None)
    shown = report.summary() | {"kind": invocation.kind.value, "request_id": request_id, "next": report.next}
    log_event(logger, logging.INFO, "invocation.finished", **shown)

"""What AWS Lambda's own tools show of an invocation: Powertools' Logger, and its metrics in Embedded Metric Format.

For the function alone, and imported where Lambda runs it: 30 ms beside what the handler imports already.

Lines go to standard error and metrics to standard output, which Lambda puts into one log: no line of another thread can
come into the middle of a metric.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import EphemeralMetrics

from csv_transcode.metrics import FILE_SECONDS, NAMESPACE, SERVICE, UNITS, seconds, totals
from csv_transcode.telemetry import FIELDS, LOGGER_NAME, configure_logging, get_logger, line, log_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from csv_transcode.report import ObjectResult

VALUES_MAX: Final = 100  # of one metric in one line: the format's own limit
RESOLUTION_SECONDS: Final = 60
_PROVISIONED: Final = "provisioned-concurrency"
_REQUEST_ID: Final = "function_request_id"


class Powertools:
    """What is to be seen of a function's invocations, as its environment says: one dimension, one service."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._namespace = environ.get("POWERTOOLS_METRICS_NAMESPACE") or NAMESPACE
        self._service = environ.get("POWERTOOLS_SERVICE_NAME") or SERVICE
        self._cold_start = environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != _PROVISIONED
        self._logger: Logger | None = None
        self._whose: dict[str, Any] = {}

    def begin(self, context: object) -> None:
        """Let the lines from now on say which invocation they are of."""
        self._whose = {
            "service": self._service,
            "cold_start": self._cold_start,
            "function_name": getattr(context, "function_name", None),
            _REQUEST_ID: getattr(context, "aws_request_id", None),
        }
        self._cold_start = False
        if self._logger is not None:
            self._logger.append_keys(**self._whose)

    def configure(self, level: str) -> logging.Logger:
        """Make the package's logger write lines of at least ``level``, or as Lambda's own log settings have it."""
        formatter = LineFormatter(utc=True, use_rfc3339=True, serialize_stacktrace=False, location=None)
        logger = configure_logging(level, formatter=formatter)
        # Of one name there is one logger in a process, which Powertools sets up once; the handler is always new.
        self._logger = Logger(LOGGER_NAME, level, logger_handler=logger.handlers[0], logger_formatter=formatter)
        self._logger.setLevel(level)
        self._logger.append_keys(**self._whose)
        return logger

    def measure(self, results: Sequence[ObjectResult]) -> None:
        """Print the invocation's metrics: its sums once, and every hundred files a line of what each of them took.

        Whatever goes wrong with that is logged, and nothing else.
        """
        try:
            self._measure(results)
        except Exception as error:  # noqa: BLE001 -- a metric must not be what fails
            log_event(get_logger(), logging.WARNING, "metrics.not_emitted", error=error)

    def _measure(self, results: Sequence[ObjectResult]) -> None:
        values: dict[str, list[float]] = {name: [total] for name, total in totals(results).items()}
        for result in results:
            for name, value in seconds(result).items():
                values.setdefault(name, []).append(value)
            if len(values.get(FILE_SECONDS, ())) == VALUES_MAX:
                self._print(values)
                values.clear()
        if values:
            self._print(values)

    def _print(self, values: Mapping[str, list[float]]) -> None:
        # Not added one by one: add_metric writes all values so far into a text for its own log, at any level.
        metric_set = {
            name: {"Unit": UNITS[name], "StorageResolution": RESOLUTION_SECONDS, "Value": list(of_one)}
            for name, of_one in values.items()
        }
        metrics = EphemeralMetrics(metric_set, namespace=self._namespace, service=self._service)
        if request_id := self._whose.get(_REQUEST_ID):
            metrics.add_metadata(_REQUEST_ID, request_id)  # to be found in the log: no dimension
        metrics.flush_metrics()


class LineFormatter(LambdaPowertoolsFormatter):
    """Powertools' keys, then the event's fields, under the promises of ``telemetry.line``."""

    def serialize(self, log: Any) -> str:  # noqa: ANN401 -- as Powertools has it: a dict of whatever was logged
        """Return the line; a field cannot take the place of what says whose line it is."""
        fields = log.pop(FIELDS, {})
        head = {"timestamp": log.pop("timestamp"), "level": log.pop("level"), "event": log.pop("message")}
        if trace := log.pop("exception", None):
            fields = fields | {"error": log.pop("exception_name", None), "traceback": trace}
        return line(head | log, fields)

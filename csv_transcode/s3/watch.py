"""Every answer of S3: for whoever adapts to it, those included that the SDK then asks for again; and for the log."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from csv_transcode.s3.translation import asks_for_fewer
from csv_transcode.telemetry import get_logger, log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_s3 import S3Client

_BEGUN: Final = "csv-transcode-begun"
_ASKED: Final = "csv-transcode-asked"
_LOGGED: Final = "csv-transcode-logged"  # registered once, however many ask for it
_THROTTLED_STATUS: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)  # HEAD says nothing but that


class Watch(Protocol):
    """What is told of every answer, by whatever thread asked; it must not raise."""

    def answered(self, operation: str, seconds: float, *, throttled: bool) -> None:
        """Take note of an HTTP answer to ``operation`` (as ``GetObject``), whatever its status.

        ``seconds`` are those from the request to the answer's head; a GET's body is still to come. ``throttled``: S3
        wants fewer requests.
        """


def tell(client: S3Client, watch: Watch, clock: Callable[[], float]) -> None:
    """Tell ``watch`` of all answers to ``client`` from now on; what ends without an answer is none."""

    def request_created(request: Any, **_: object) -> None:  # noqa: ANN401 (botocore has no types)
        request.context[_BEGUN] = clock()  # anew for every repetition

    def response_received(
        event_name: str,
        context: dict[str, Any],
        response_dict: dict[str, Any] | None,
        parsed_response: dict[str, Any] | None,
        **_: object,
    ) -> None:
        if response_dict is not None:
            operation, seconds = event_name.rpartition(".")[2], clock() - context[_BEGUN]
            watch.answered(operation, seconds, throttled=_throttled(response_dict["status_code"], parsed_response))

    client.meta.events.register_last("request-created.s3", request_created)
    client.meta.events.register("response-received.s3", response_received)


def log_requests(client: S3Client, clock: Callable[[], float]) -> None:
    """Log every request of ``client`` from now on, at DEBUG, when its answer's head is there, or none will come.

    ``seconds`` are those of all its attempts and of waiting between them; ``bytes`` those of the body that was sent,
    or that a GET is about to bring.
    """

    def asked_for(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        body = params.get("Body")
        sent_bytes = len(body) if isinstance(body, bytes | bytearray | memoryview) else 0
        context[_ASKED] = _Asked(params.get("Bucket"), params.get("Key", params.get("Prefix")), sent_bytes, clock())

    def attempted(request: Any, **_: object) -> None:  # noqa: ANN401 (botocore has no types)
        request.context[_ASKED].attempts += 1

    def answered(http_response: Any, model: Any, context: dict[str, Any], **_: object) -> None:  # noqa: ANN401 (as above)
        length = int(http_response.headers.get("Content-Length") or 0) if model.name == "GetObject" else 0
        context[_ASKED].log(model.name, clock(), status=http_response.status_code, length=length)

    def unanswered(exception: BaseException, event_name: str, context: dict[str, Any], **_: object) -> None:
        context[_ASKED].log(event_name.rpartition(".")[2], clock(), reason=type(exception).__name__)

    for name, handler in (
        ("provide-client-params.s3", asked_for),  # as they were given: the SDK makes a file of a body
        ("request-created.s3", attempted),
        ("after-call.s3", answered),
        ("after-call-error.s3", unanswered),
    ):
        client.meta.events.register(name, handler, unique_id=f"{_LOGGED}-{name}")


class _Asked(Struct):
    """One request with all its repetitions, from when it is asked for."""

    bucket: str | None
    key: str | None  # or a listing's prefix
    sent_bytes: int
    begun: float
    attempts: int = 0

    def log(
        self, operation: str, now: float, *, status: int | None = None, length: int = 0, reason: str | None = None
    ) -> None:
        log_event(
            get_logger(),
            logging.DEBUG,
            "s3.request",
            operation=operation,
            bucket=self.bucket,
            key=self.key,
            status=status,
            attempts=self.attempts,
            seconds=round(now - self.begun, 6),
            bytes=self.sent_bytes or length,
            reason=reason,
        )


def _throttled(status: int, parsed: dict[str, Any] | None) -> bool:
    code = str((parsed or {}).get("Error", {}).get("Code", ""))
    return status in _THROTTLED_STATUS or asks_for_fewer(code)

"""Whoever adapts to S3 sees every answer of it, those included that the SDK then asks for again."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Protocol

from csv_transcode.s3.translation import asks_for_fewer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

_BEGUN: Final = "csv-transcode-begun"
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


def _throttled(status: int, parsed: dict[str, Any] | None) -> bool:
    code = str((parsed or {}).get("Error", {}).get("Code", ""))
    return status in _THROTTLED_STATUS or asks_for_fewer(code)

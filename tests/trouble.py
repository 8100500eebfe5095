"""One trouble at one request of a client, counted over all its requests, whatever their operation is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from tests.s3.faults import _Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

NOBODY: Final = "https://nobody.s3.amazonaws.com/nothing"


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more, and no request leaves it."""


@dataclass
class Trouble:
    """What befalls request ``number`` (from 1); ``sent`` lists the operations of all requests."""

    number: int = 0
    befall: Callable[[Any], AWSResponse | None] | None = None
    loses_answer: bool = False
    kills: bool = False
    sent: list[str] = field(default_factory=list)

    def before_send(self, event_name: str, request: Any, **_: object) -> AWSResponse | None:
        self.sent.append(event_name.rpartition(".")[2])
        due = len(self.sent) == self.number
        if self.kills and len(self.sent) >= self.number:
            raise KilledError
        return self.befall(request) if due and self.befall else None

    def after_call(self, **_: object) -> None:
        if self.loses_answer and len(self.sent) == self.number:
            raise ConnectionClosedError(endpoint_url="as the test says")


@contextmanager
def troubled(client: S3Client, trouble: Trouble) -> Iterator[Trouble]:
    """Hang ``trouble`` into the client for as long as the block takes."""
    events = client.meta.events
    events.register_first("before-send.s3", trouble.before_send)
    events.register_last("after-call.s3", trouble.after_call)
    try:
        yield trouble
    finally:
        events.unregister("before-send.s3", trouble.before_send)
        events.unregister("after-call.s3", trouble.after_call)


def answered(status: int, code: str) -> Callable[[Any], AWSResponse]:
    """Return what answers a request with an error, without its being carried out."""

    def befall(request: Any) -> AWSResponse:
        url = request.url
        request.method, request.url = "GET", NOBODY  # moto carries out what is answered here, too: so it does no harm
        body = f"<Error><Code>{code}</Code><Message>as the test says</Message></Error>".encode()
        return AWSResponse(url, status, {"Content-Type": "application/xml"}, _Raw(body))

    return befall


def unreachable(_request: object) -> AWSResponse | None:
    raise EndpointConnectionError(endpoint_url="as the test says")


def doing(act: Callable[[], object]) -> Callable[[Any], None]:
    """Return what does something just before the request leaves."""

    def befall(_request: object) -> None:
        act()

    return befall


# kind of trouble -> trouble at request ``number``
KINDS: Final[dict[str, Callable[[int], Trouble]]] = {
    "unreachable": lambda number: Trouble(number, unreachable),
    "throttled": lambda number: Trouble(number, answered(503, "SlowDown")),
    "refused": lambda number: Trouble(number, answered(403, "AccessDenied")),
    "overtaken": lambda number: Trouble(number, answered(412, "PreconditionFailed")),
    "in conflict": lambda number: Trouble(number, answered(409, "ConditionalRequestConflict")),
    "answer lost": lambda number: Trouble(number, loses_answer=True),
    "killed": lambda number: Trouble(number, kills=True),
}

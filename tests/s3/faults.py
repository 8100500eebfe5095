"""What goes wrong between a client and S3, hung into botocore's own events: nothing of the product is patched."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError

from csv_transcode.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class SentRequest:
    """One request as it left the client, repeats by the SDK included."""

    operation: str
    headers: dict[str, str]


class Slept(list[float]):
    """The seconds that the product wanted to sleep."""

    def runtime(self, *tokens: str) -> Runtime:
        """Return a runtime that does not sleep, and whose tokens are these (``8`` once they are used up)."""
        waiting = list(tokens)
        return Runtime(sleep=self.append, token=lambda size: waiting.pop(0) if waiting else "8" * 2 * size)


def record(client: S3Client) -> list[SentRequest]:
    """Return a list that grows with every request."""
    sent: list[SentRequest] = []

    def before_send(event_name: str, request: Any, **_: object) -> None:
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        sent.append(SentRequest(event_name.rpartition(".")[2], headers))

    client.meta.events.register_first("before-send.s3", before_send)
    return sent


def operations(sent: list[SentRequest]) -> list[str]:
    return [request.operation for request in sent]


def answer(client: S3Client, operation: str, *answers: tuple[int, str] | Exception | None) -> None:
    """Answer the next requests for ``operation`` with these, in order; None and all further ones go through.

    An answer is a status with S3's code, or an exception of the network. (moto carries the request out all the same.)
    """
    waiting = list(answers)

    def before_send(request: Any, **_: object) -> AWSResponse | None:
        following = waiting.pop(0) if waiting else None
        if isinstance(following, Exception):
            raise following
        return _error_answer(request.url, *following) if following else None

    client.meta.events.register_first(f"before-send.s3.{operation}", before_send)


def lose_answer(client: S3Client, operation: str, then: Callable[[], object] = lambda: None) -> None:
    """Let the next request for ``operation`` arrive and be done, but its answer be lost, so that the SDK repeats it.

    ``then`` is called before it is repeated.
    """
    waiting = [then]

    def needs_retry(**_: object) -> int | None:
        if not waiting:
            return None
        waiting.pop()()
        return 0

    client.meta.events.register_first(f"needs-retry.s3.{operation}", needs_retry)


def before(client: S3Client, operation: str, number: int, act: Callable[[], object]) -> None:
    """Call ``act`` just before request ``number`` (from 1) for ``operation`` leaves."""
    count = 0

    def before_send(**_: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            act()

    client.meta.events.register_first(f"before-send.s3.{operation}", before_send)


def list_by(client: S3Client, count: int) -> None:
    """Make every page of a listing hold ``count`` objects."""

    def provide(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = count

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", provide)


def spoil_bodies(client: S3Client, *spoilers: Callable[[bytes], BytesIO]) -> None:
    """Replace the bodies of the next GETs: each spoiler gets the bytes and gives a raw stream."""
    waiting = list(spoilers)

    def after_call(parsed: dict[str, Any], **_: object) -> None:
        if waiting and "Body" in parsed:
            spoil = waiting.pop(0)
            parsed["Body"] = StreamingBody(spoil(parsed["Body"].read()), parsed["ContentLength"])

    client.meta.events.register_first("after-call.s3.GetObject", after_call)


def flip_at(client: S3Client, *offsets: int) -> None:
    """Flip a bit at these offsets of the next answers to GET, on their way to the SDK's own check of the checksum."""
    waiting = list(offsets)

    def before_parse(response_dict: dict[str, Any], **_: object) -> None:
        body = response_dict["body"]
        if waiting and isinstance(body, StreamingBody):
            data = bytearray(body._raw_stream.read())
            data[waiting.pop(0)] ^= 1
            body._raw_stream = BytesIO(data)

    client.meta.events.register_first("before-parse.s3.GetObject", before_parse)


def reset_after(count: int) -> Callable[[bytes], BytesIO]:
    """Give ``count`` bytes, and then the error that urllib3 makes of a connection reset."""
    return lambda data: _Resetting(data[:count])


def end_after(count: int) -> Callable[[bytes], BytesIO]:
    """Give ``count`` bytes, and then the end."""
    return lambda data: BytesIO(data[:count])


class _Resetting(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            message = "Connection broken"
            raise ProtocolError(message, ConnectionResetError(104, "Connection reset by peer"))
        return data


def _error_answer(url: str, status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>as the test says</Message></Error>".encode() if code else b""
    headers = {"Content-Length": str(len(body)), "Content-Type": "application/xml"}
    return AWSResponse(url, status, headers, _Raw(body))


class _Raw(BytesIO):
    def stream(self, **_: object) -> list[bytes]:
        return [self.read()]


class Transport:
    """What stands below a client instead of the network: answers every request by ``answer_to``, and counts."""

    def __init__(self, answer_to: Callable[[int], tuple[int, str] | None]) -> None:
        self.requests = 0
        self._answer_to = answer_to

    def send(self, request: Any) -> AWSResponse:
        """Answer request number ``requests`` (from 1) with a status and S3's code, or, for None, as S3 does a PUT."""
        self.requests += 1
        said = self._answer_to(self.requests)
        if said is None:
            return AWSResponse(request.url, 200, {"ETag": '"e"', "Content-Length": "0"}, _Raw(b""))
        return _error_answer(request.url, *said)

    def close(self) -> None:
        """Do nothing: there is no connection."""


def over(client: S3Client, transport: Transport) -> Transport:
    """Put ``transport`` below ``client``."""
    client._endpoint.http_session = transport
    return transport

"""The transport below the S3 client: what leaves the client meets its fault, or S3."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as BodyTimeoutError

from tests.simulation import faults
from tests.simulation.faults import Call
from tests.simulation.scheduler import KilledError
from tests.simulation.server import Answer, parsed, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.scheduler import Scheduler
    from tests.simulation.server import Request, Server

READ_TIMEOUT_SECONDS: Final = 15.0  # the product's default


class Plan(Protocol):
    """Which faults befall which requests."""

    def fault(self, call: Call, kinds: tuple[str, ...]) -> str | None:
        """Return the one of ``kinds`` that befalls this call, or None."""

    def place(self, length: int) -> int:
        """Return at which byte of so many."""

    def latency(self) -> float:
        """Return how long the next request takes to S3."""


class Watcher(Protocol):
    """Who looks at every request and at everything that S3 has carried out."""

    def sent(self, call: Call) -> None:
        """Look at a request before S3 does."""

    def carried_out(self, call: Call, answer: Answer) -> None:
        """Look at S3 once it has carried a request out."""

    def befell(self, call: Call, kind: str) -> None:
        """Take note of a fault."""


class Network:
    """An HTTP session of botocore's, for any number of clients."""

    def __init__(
        self, server: Server, scheduler: Scheduler, plan: Plan, watcher: Watcher, target_of: Callable[[Request], str]
    ) -> None:
        self.plan = plan
        self.calls = 0
        self._server = server
        self._scheduler = scheduler
        self._watcher = watcher
        self._target_of = target_of
        self.afterwards: Callable[[], None] = lambda: None  # called when a request is going to be carried out later
        self._under_way: list[Call] = []

    def close(self) -> None:
        """Keep nothing open."""

    def send(self, prepared: Any) -> AWSResponse:
        """Carry out a request of the SDK's, or what befalls it."""
        scheduler = self._scheduler
        scheduler.sleep(self.plan.latency())
        if scheduler.life.ends_at is not None and scheduler.now >= scheduler.life.ends_at:
            self._kill()
        request = _request(prepared)
        self.calls += 1
        call = Call(self.calls, scheduler.life, request, self._target_of(request))
        self._watcher.sent(call)
        answer, body = self._meet(call)
        return AWSResponse(prepared.url, answer.status, answer.headers, body)

    def finish_under_way(self) -> None:
        """Let S3 carry out what is still on its way to it."""
        waiting, self._under_way = self._under_way, []
        for call in waiting:
            self._carry_out(call)

    def finish_one_under_way(self) -> None:
        """Let S3 carry out one of the requests that are still on their way to it."""
        if self._under_way:
            self._carry_out(self._under_way.pop(0))

    def _meet(self, call: Call) -> tuple[Answer, Body]:
        reads = call.operation in faults.READS
        answer = self._server.answer(call.request) if reads else None
        kind = self.plan.fault(call, faults.applicable(call, answer))
        if kind is not None:
            self._watcher.befell(call, kind)
        if kind in faults.BODIES and answer is not None:
            self._watcher.carried_out(call, answer)
            return self._spoilt(kind, answer)
        if kind is not None:
            answer = self._befallen(kind, call)
        elif answer is None:
            answer = self._carry_out(call)
        else:
            self._watcher.carried_out(call, answer)
        return answer, Body(answer.body)

    def _befallen(self, kind: str, call: Call) -> Answer:
        """Return the answer to a request that ``kind`` befalls, if there is one."""
        if kind in faults.REFUSALS:
            return refused(*faults.REFUSALS[kind], call.request.method)
        if kind == faults.FLIPPED_UPLOAD:
            return self._carry_out(replace(call, request=self._flipped(call.request)))
        if kind in (faults.LOST, faults.LATE, faults.CRASH_AFTER):
            self._carry_out(call)
        if kind == faults.AFTERWARDS:
            self._under_way.append(call)
            self.afterwards()
        if kind in faults.CRASHES:
            self._kill()
        if kind in (faults.STALL, faults.LATE, faults.AFTERWARDS):
            self._scheduler.sleep(READ_TIMEOUT_SECONDS)
            raise ReadTimeoutError(endpoint_url=call.request.bucket)
        raise ConnectionClosedError(endpoint_url=call.request.bucket)

    def _carry_out(self, call: Call) -> Answer:
        answer = self._server.answer(call.request)
        self._watcher.carried_out(call, answer)
        return answer

    def _kill(self) -> None:
        self._scheduler.kill(self._scheduler.life)
        raise KilledError

    def _flipped(self, request: Request) -> Request:
        """Return a request with one byte of what it uploads changed, chunk sizes and checksum as they were."""
        length = int(request.headers.get("x-amz-decoded-content-length", len(request.body)))
        begin = request.body.index(b"\r\n") + 2 if "x-amz-decoded-content-length" in request.headers else 0
        return replace(request, body=_flip(request.body, begin + self.plan.place(length))) if length else request

    def _spoilt(self, kind: str, answer: Answer) -> tuple[Answer, Body]:
        place = self.plan.place(len(answer.body))
        if kind == faults.FLIPPED:
            return answer, Body(_flip(answer.body, place))
        if kind == faults.CUT:
            return replace(answer, headers={**answer.headers, "content-length": str(place)}), Body(answer.body[:place])
        ends: dict[str, Callable[[], None] | None] = {
            faults.SHORT: None,
            faults.BROKEN: _break,
            faults.STALLED: self._stall,
        }
        return answer, Body(answer.body[:place], ends[kind])

    def _stall(self) -> None:
        self._scheduler.sleep(READ_TIMEOUT_SECONDS)
        raise BodyTimeoutError(None, "", "Read timed out.")  # type: ignore[arg-type]


class Body(BytesIO):
    """The bytes of an answer, and how they end."""

    def __init__(self, content: bytes, end: Callable[[], None] | None = None) -> None:
        super().__init__(content)
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self._end is not None and (not data or size is None or size < 0):
            self._end()
        return data

    def stream(self, **_: object) -> list[bytes]:
        return [self.read()]


def _break() -> None:
    message = "Connection broken"
    raise ProtocolError(message, ConnectionResetError(104, "Connection reset by peer"))


def _flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _request(prepared: Any) -> Request:
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in prepared.headers.items()
    }
    body = prepared.body
    if body is None:
        body = b""
    elif not isinstance(body, bytes):
        body = body.read()
    return parsed(prepared.method, prepared.url, headers, body)

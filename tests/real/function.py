"""One invocation of the product's own function, in this process or a fresh one, which may be killed at any request.

Nothing of the product is replaced: the function is built as Lambda builds it, and listens to its own S3 client.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import lambda_handler
from csv_transcode.errors import TranscodeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from csv_transcode.settings import Settings

_NUMBERED: Final = ("partNumber",)  # what of a query says which of several requests it is; the rest only its kind
_PRELOADED: Final = ("tests.real.preload",)
MILLISECONDS: Final = 1000


@dataclass(frozen=True)
class Request:
    """One request of a run, by what it is: ``PUT /bucket/key?partNumber=2``, and the how manieth of that name."""

    name: str
    number: int = 1


@dataclass(frozen=True)
class KillPoint:
    """Where a process ends: just before the request leaves, or just after its answer has come."""

    request: Request
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.request.name} #{self.request.number}"


@dataclass(frozen=True)
class Task:
    """One invocation: the function's whole environment, the event, and what its context says."""

    environment: Mapping[str, str]
    event: Mapping[str, Any]
    kill: KillPoint | None = None
    seconds: float | None = None  # that the context gives it; None: no context
    begin: float = 0.0  # when, by time.time(), for several that are to begin at once


@dataclass(frozen=True)
class Done:
    """What an invocation came to: its answer or its error, and every request as often as it was sent."""

    answer: dict[str, Any] | None
    error: str | None
    sent: tuple[Request, ...]
    statuses: dict[str, int] = field(default_factory=dict)  # of answers, by their number
    seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of every key that the answer names."""
        return {result["key"]: result["outcome"] for result in (self.answer or {}).get("results", ())}

    @property
    def reasons(self) -> dict[str, str]:
        return {result["key"]: result.get("reason", "") for result in (self.answer or {}).get("results", ())}


class Context:
    """What Lambda passes beside the event, for a function that has ``seconds`` from now on."""

    aws_request_id = "as-the-test-says"

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._end - time.monotonic()) * MILLISECONDS))


class _Listener:
    """Hears every request and answer of one client, and kills the process at the one it is told."""

    def __init__(self, kill: KillPoint | None) -> None:
        self.sent: list[Request] = []
        self.statuses: Counter[str] = Counter()
        self._kill = kill
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    def before_send(self, request: Any, **_: object) -> None:
        name = name_of(request.method, request.url)
        with self._lock:
            self._counts[name] += 1
            sent = Request(name, self._counts[name])
            self.sent.append(sent)
        self._of_thread.request = sent
        self._die_if(sent, after=False)

    def response_received(self, response_dict: dict[str, Any] | None, **_: object) -> None:
        with self._lock:
            self.statuses["none" if response_dict is None else str(response_dict["status_code"])] += 1
        self._die_if(self._of_thread.request, after=True)

    def _die_if(self, request: Request, *, after: bool) -> None:
        if self._kill == KillPoint(request, after):
            os.kill(os.getpid(), signal.SIGKILL)


def name_of(method: str, url: str) -> str:
    """Return what a request is, without what is another in every run."""
    parts = urlsplit(url)
    query = [
        f"{name}={value}" if name in _NUMBERED else name
        for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True))
    ]
    return f"{method} {unquote(parts.path)}{'?' if query else ''}{'&'.join(query)}"


class Function:
    """One function, as Lambda would keep it, with the requests of its client counted."""

    def __init__(self, environment: Mapping[str, str], kill: KillPoint | None = None) -> None:
        self.listener = _Listener(kill)
        self._function = lambda_handler.LambdaFunction(environment, self._build, lambda_handler._fetch)

    def invoke(self, event: Mapping[str, Any], context: object = None) -> Done:
        """Return what became of it; an error that is not the project's own is raised."""
        begun, first = time.monotonic(), len(self.listener.sent)
        answer, said = None, None
        try:
            answer = self._function(dict(event), context)
        except TranscodeError as error:
            said = f"{type(error).__name__}: {error}"
        sent = tuple(self.listener.sent[first:])
        return Done(answer, said, sent, dict(self.listener.statuses), time.monotonic() - begun)

    def make(self) -> None:
        """Make the processor and its client now, and not at the first invocation."""
        self._function._processor()

    def close(self) -> None:
        self._function._discard()

    def _build(self, settings: Settings) -> lambda_handler.Processor:
        processor: Any = lambda_handler._build(settings)
        events = processor._client.meta.events
        events.register_first("before-send.s3", self.listener.before_send)
        events.register_first("response-received.s3", self.listener.response_received)
        made: lambda_handler.Processor = processor
        return made


def run(task: Task) -> Done:
    """Carry the task out in this process, whose environment is the task's from now on."""
    os.environ.update(task.environment)
    function = Function(os.environ, task.kill)
    if task.begin:
        function.make()  # so that they begin with their requests at once
        time.sleep(max(0.0, task.begin - time.time()))
    done = function.invoke(task.event, None if task.seconds is None else Context(task.seconds))
    function.close()
    return done


class Fresh:
    """A process of its own for some tasks at once, forked from one that has imported the product and done nothing."""

    def __init__(self, *tasks: Task) -> None:
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload(list(_PRELOADED))
        self._answers, theirs = processes.Pipe(duplex=False)
        self.process = processes.Process(target=_enter, args=(theirs, tasks))
        self.process.start()
        theirs.close()

    def wait(self) -> list[Done] | None:
        """Return what they came to; None where the process was killed."""
        try:
            done: list[Done] | None = self._answers.recv()
        except EOFError:
            done = None
        self._answers.close()
        self.process.join()
        if done is None and self.process.exitcode != -signal.SIGKILL:
            message = f"the function's process ended with {self.process.exitcode}"
            raise RuntimeError(message)
        return done

    def wait_all(self) -> list[Done]:
        """Return what they came to, in a process that nobody kills."""
        done = self.wait()
        if done is None:
            message = "the function's process was killed, and not by the test"
            raise RuntimeError(message)
        return done


def run_afresh(task: Task) -> Done | None:
    """Carry the task out in a process of its own; None where that was killed."""
    done = Fresh(task).wait()
    return done[0] if done else None


def run_to_the_end(task: Task) -> Done:
    """Carry the task out in a process of its own, which nobody kills."""
    return Fresh(task).wait_all()[0]


def _enter(answers: Connection, tasks: tuple[Task, ...]) -> None:
    with ThreadPoolExecutor(len(tasks)) as threads:
        answers.send(list(threads.map(run, tasks)))
    answers.close()


def main() -> None:
    """Carry out the task that standard input holds as JSON, and print what it came to: for a process with limits."""
    told = json.load(sys.stdin)
    print(json.dumps(asdict(run(Task(**told)))))  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main()

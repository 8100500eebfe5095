"""How long the invocation may still run, and what that allows: a clock that is passed in, and bounded waits.

    margin   DEADLINE_MARGIN_SECONDS before the end: nothing is begun any more, and what is not yet being published ends
             with DeadlineError, which aborts it
    answer   ANSWER_SHARE of the margin before the end: nothing is waited for any more

Nobody waits longer than REACTION_SECONDS without looking at the time.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor, Future, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from csv_transcode.errors import DeadlineError, TooLongError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from csv_transcode.runtime import Runtime

T = TypeVar("T")

MILLISECONDS: Final = 1000
REACTION_SECONDS: Final = 1.0
ANSWER_SHARE: Final = 0.2
RATE_SECONDS_LEAST: Final = 10.0  # or half of what an invocation has: less than that measures how things begin
RATE_BYTES_LEAST: Final = 8 << 20  # a smaller object's time is that of its requests


class Deadline(Struct, frozen=True):
    """The end of an invocation; ``remaining_ms`` is asked anew each time, as Lambda's context offers it.

    ``granted_seconds`` is what the invocation had when it began.
    """

    remaining_ms: Callable[[], float]
    margin_seconds: float = 0.0
    granted_seconds: float = math.inf

    @classmethod
    def never(cls) -> Deadline:
        """Return the deadline of a process that nobody ends."""
        return cls(lambda: math.inf)

    def begun(self, margin_seconds: float) -> Deadline:
        """Return this deadline with a margin, as an invocation sees it that begins now."""
        return replace(self, margin_seconds=margin_seconds, granted_seconds=self.remaining_seconds())

    def remaining_seconds(self) -> float:
        """Return the time that is left, 0 or less when it is over."""
        return self.remaining_ms() / MILLISECONDS

    @property
    def usable_seconds(self) -> float:
        """What is left before the margin."""
        return self.remaining_seconds() - self.margin_seconds

    @property
    def is_over(self) -> bool:
        """Whether the margin has been reached."""
        return self.usable_seconds <= 0

    @property
    def must_answer(self) -> bool:
        """Whether nothing may be waited for any more."""
        return self.remaining_seconds() <= self.margin_seconds * ANSWER_SHARE

    def require(self) -> None:
        """Raise DeadlineError where the margin has been reached."""
        left = self.remaining_seconds()
        if left <= self.margin_seconds:
            message = (
                f"the function's time is over: {left:.1f} s of {self.granted_seconds:.1f} s are left, "
                f"DEADLINE_MARGIN_SECONDS keeps {self.margin_seconds:g}"
            )
            raise DeadlineError(message)

    def reaction_seconds(self) -> float:
        """Return how long to wait for anything before the time is looked at again."""
        usable = self.usable_seconds
        left = usable if usable > 0 else self.remaining_seconds() - self.margin_seconds * ANSWER_SHARE
        return min(max(left, 0.0), REACTION_SECONDS)

    def wait(self, futures: Collection[Future[Any]], return_when: str) -> set[Future[Any]]:
        """Wait for ``futures`` as long as the answer has time; return those that are done by then."""
        while True:
            timeout = None if math.isinf(self.granted_seconds) else self.reaction_seconds()
            done, running = wait(futures, timeout=timeout, return_when=return_when)
            if not running or (done and return_when != "ALL_COMPLETED") or self.must_answer:
                return done

    def bounding(self, executor: Executor) -> Executor:
        """Return ``executor`` as it is to be used before the deadline: see BoundedExecutor."""
        return executor if math.isinf(self.granted_seconds) else BoundedExecutor(executor, self)


class BoundedExecutor(Executor):
    """Another's threads: nothing is submitted after the deadline, and no result is waited for beyond it.

    Either raises DeadlineError, in the thread that asks; what runs by then goes on by itself. Their owner ends the
    threads.
    """

    def __init__(self, executor: Executor, deadline: Deadline) -> None:
        self._executor = executor
        self._deadline = deadline

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 -- as Executor
        """Submit to the other's threads."""
        self._deadline.require()
        return _BoundedFuture(self._executor.submit(fn, *args, **kwargs), self._deadline)


class _BoundedFuture(Future[T]):
    """Another future, waited for as long as the deadline allows."""

    def __init__(self, inner: Future[T], deadline: Deadline) -> None:
        super().__init__()
        self._inner = inner
        self._deadline = deadline

    def result(self, timeout: float | None = None) -> T:  # noqa: ARG002 -- the deadline is the timeout
        """Return the result; DeadlineError where it is not there when the margin is reached."""
        while True:
            try:
                return self._inner.result(self._deadline.reaction_seconds())
            except TimeoutError:
                if self._inner.done():  # the task's own, or it has ended just now
                    return self._inner.result()
                self._deadline.require()

    def exception(self, timeout: float | None = None) -> BaseException | None:  # noqa: ARG002 -- as above
        """Return what the task raised, or the DeadlineError of one that ends too late even for what is aborted."""
        if self._deadline.wait([self._inner], "ALL_COMPLETED"):
            return self._inner.exception()
        return DeadlineError("it still runs, and the function must answer")

    def cancel(self) -> bool:
        """Cancel the task, if it has not begun."""
        return self._inner.cancel()

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        return self._inner.cancelled()

    def running(self) -> bool:
        """Return whether the task runs now."""
        return self._inner.running()

    def done(self) -> bool:
        """Return whether the task has ended."""
        return self._inner.done()

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call ``fn`` with the task's own future when it ends."""
        self._inner.add_done_callback(fn)


class Pace:
    """One invocation's deadline, and how fast its conversions go: what a fresh one could do."""

    def __init__(self, deadline: Deadline, runtime: Runtime) -> None:
        self.deadline = deadline
        self._clock = runtime.clock
        self._lock = runtime.condition()
        self._rate: float | None = None  # bytes of source a second, of the fastest conversion so far

    def begin(self, source_bytes: int) -> Progress:
        """Return the progress of a conversion that begins now; DeadlineError where it cannot finish in time.

        That is judged by the rate of others, which shared the machine: alone, in a fresh invocation, it may be faster.
        """
        self.deadline.require()
        with self._lock:
            rate = self._rate
        usable = self.deadline.usable_seconds
        if rate and source_bytes / rate > usable:
            needed = source_bytes / rate
            message = f"not begun: it needs about {needed:.0f} s, and {max(usable, 0):.0f} s are left"
            raise DeadlineError(message)
        return Progress(self._clock, source_bytes)

    def finished(self, progress: Progress) -> None:
        """Learn from a conversion that was done to its end."""
        rate = progress.rate()
        if rate and progress.source_bytes >= RATE_BYTES_LEAST:
            with self._lock:
                self._rate = max(rate, self._rate or 0.0)

    def cut_short(self, progress: Progress) -> None:
        """Raise TooLongError where a fresh invocation would be too short for this conversion, too.

        It is judged by its own rate, and not before that has been measured for long enough.
        """
        rate = progress.rate()
        if rate and progress.seconds() >= min(RATE_SECONDS_LEAST, self._fresh_seconds / 2):
            self._require_possible(progress.source_bytes / rate)

    @property
    def _fresh_seconds(self) -> float:
        """What an invocation has for its work, from its beginning."""
        return self.deadline.granted_seconds - self.deadline.margin_seconds

    def _require_possible(self, needed_seconds: float) -> None:
        if needed_seconds > self._fresh_seconds:
            message = (
                f"needs about {needed_seconds:.0f} s, the function has {self.deadline.granted_seconds:.0f}: "
                "raise memory or timeout, or use Fargate"
            )
            raise TooLongError(message)


class Progress:
    """How far one conversion has come."""

    def __init__(self, clock: Callable[[], float], source_bytes: int) -> None:
        self.source_bytes = source_bytes
        self._clock = clock
        self._begun = clock()
        self._passes = 0
        self._read = 0

    def counting(self, chunks: Callable[[], Iterable[bytes]]) -> Callable[[], Iterator[bytes]]:
        """Return ``chunks``, counted; each call of it is one pass over the source."""

        def counted() -> Iterator[bytes]:
            self._passes += 1
            opened = chunks()
            try:
                for chunk in opened:
                    self._read += len(chunk)
                    yield chunk
            finally:
                close = getattr(opened, "close", None)
                if close is not None:
                    close()

        return counted

    def seconds(self) -> float:
        """Return how long it has been at work."""
        return self._clock() - self._begun

    def rate(self) -> float | None:
        """Return the bytes of the source that it does in a second, all passes begun so far; None where it is unknown.

        It is unknown before the first byte.
        """
        seconds = self.seconds()
        return self._read / self._passes / seconds if self._read and seconds > 0 else None

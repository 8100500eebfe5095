"""How many objects and parts at once: fewer when S3 or the memory says so, slowly more when all is well.

Additive increase, multiplicative decrease. What lowers the limits: an answer that asks for fewer requests, answers that
take longer than they used to, and a resident set close to the budget. One cause counts once a FALL_SECONDS, since the
requests that were under way then say the same once more.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from csv_transcode.telemetry import get_logger, log_event

if TYPE_CHECKING:
    from csv_transcode.runtime import Runtime

FALL_FACTOR: Final = 0.5
FALL_SECONDS: Final = 1.0
CALM_SECONDS: Final = 5.0  # without a cause, before the limits rise
RISE_SECONDS: Final = 60.0  # from nothing to the whole
SLOW_SHARE_LEAST: Final = 0.25  # of the whole: slow answers may as well be our own processor's doing
MEMORY_SHARE_MAX: Final = 0.9  # of the budget
# Of these, what the answer's head takes does not depend on how much is sent or asked for.
TIMED: Final = ("GetObject", "HeadObject")
USUAL_WEIGHT: Final = 1 / 200
RECENT_WEIGHT: Final = 1 / 10
ANSWERS_LEAST: Final = 50  # before anything is usual
SLOW_FACTOR: Final = 3.0
SLOW_SECONDS: Final = 0.1  # beyond that


class AdaptiveConcurrency:
    """The limits of one processor, for any number of threads; sees every answer of S3 as its client's Watch."""

    def __init__(self, runtime: Runtime, *, objects_max: int, parts_max: int, memory_bytes: int) -> None:
        self._runtime = runtime
        self._lock = runtime.condition()
        self._objects_max = objects_max
        self._parts_max = parts_max
        self._memory_bytes = memory_bytes * MEMORY_SHARE_MAX
        self._share = 1.0  # of the whole
        self._risen = runtime.clock()  # when the share was last looked at
        self._fell: float | None = None
        self._troubled: float | None = None  # last there was a cause
        self._latencies = {operation: _Latency() for operation in TIMED}

    def answered(self, operation: str, seconds: float, *, throttled: bool) -> None:
        """Take note of an answer: see Watch."""
        with self._lock:
            latency = self._latencies.get(operation)
            if throttled:
                self._fall("throttled", 0.0)
            elif latency is not None and latency.rises_with(seconds):
                self._fall("slow", SLOW_SHARE_LEAST)

    def objects(self) -> int:
        """Return how many objects may be under way now; 1 at least."""
        return self._limit(self._objects_max)

    def parts(self) -> int:
        """Return how many parts may be on their way now, read or written; 1 at least."""
        return self._limit(self._parts_max)

    def has_memory(self) -> bool:
        """Return whether another conversion may begin beside those under way: the resident set leaves room."""
        return self._runtime.resident_bytes() <= self._memory_bytes

    def _limit(self, whole: int) -> int:
        with self._lock:
            if not self.has_memory():
                self._fall("memory", 0.0)
            self._rise()
            return max(1, int(whole * self._share))

    def _fall(self, cause: str, share_least: float) -> None:
        self._rise()
        now = self._runtime.clock()
        self._troubled = now
        if self._fell is not None and now - self._fell < FALL_SECONDS:
            return
        lowered = max(self._share * FALL_FACTOR, share_least, 1 / max(self._objects_max, self._parts_max))
        if lowered < self._share:  # else it is low enough, and only does not rise
            self._share, self._fell = lowered, now
            log_event(get_logger(), logging.INFO, "concurrency.lowered", cause=cause, share=round(lowered, 3))

    def _rise(self) -> None:
        """Add what the calm since the last look is worth."""
        now = self._runtime.clock()
        calm_from = self._risen if self._troubled is None else max(self._risen, self._troubled + CALM_SECONDS)
        self._share = min(1.0, self._share + max(0.0, now - calm_from) / RISE_SECONDS)
        self._risen = now


class _Latency(Struct):
    """How long one operation's answers take: usually, and of late."""

    count: int = 0
    usual: float = 0.0
    recent: float = 0.0

    def rises_with(self, seconds: float) -> bool:
        """Take one answer in; return whether they take much longer by now than they used to."""
        self.count += 1
        self.usual += (seconds - self.usual) * max(USUAL_WEIGHT, 1 / self.count)
        self.recent += (seconds - self.recent) * max(RECENT_WEIGHT, 1 / self.count)
        return self.count >= ANSWERS_LEAST and self.recent > SLOW_FACTOR * self.usual + SLOW_SECONDS

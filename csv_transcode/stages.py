"""Where the time of one object's conversion goes: seconds a stage, taken where the work is done.

    read      waiting for the source's bytes          avro      encoding and writing Avro
    decode    bytes to typed batches                  parquet   collecting, encoding and writing row groups
    publish   what was written becomes visible

Seconds are those of all threads together, and so may be more than the conversion's own; writing includes the parts of
an upload that it waits for.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from csv_transcode.tracing import OFF

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from csv_transcode.tracing import Tracer

T = TypeVar("T")

READ: Final = "read"
DECODE: Final = "decode"
PARQUET: Final = "parquet"
AVRO: Final = "avro"
PUBLISH: Final = "publish"
STAGES: Final = (READ, DECODE, PARQUET, AVRO, PUBLISH)
SPANS_MAX: Final = 50  # of one stage of one object: the first of a large one show how the rest goes


class Stages:
    """The stages of one object's conversion; any of its threads may be in one.

    ``clock`` gives seconds. ``resident_bytes``, where it is given, is asked whenever a stage is left.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        tracer: Tracer = OFF,
        resident_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock
        self._tracer = tracer
        self._resident_bytes = resident_bytes
        self._left: deque[tuple[str, float, int]] = deque()  # stages, as any thread has left them
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._peak_bytes = 0
        self._spans = {stage: count() for stage in STAGES}

    @classmethod
    def untimed(cls) -> Stages:
        """Return the stages of a conversion whose time nobody asks for."""
        return cls(lambda: 0.0)

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        """Be in ``stage`` for as long as the block takes."""
        tracer = self._tracer if next(self._spans[stage]) < SPANS_MAX else OFF
        with tracer.span(stage):
            begun = self._clock()
            try:
                yield
            finally:
                self._leave(stage, self._clock() - begun)

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``; ``stage`` is what it takes to get them, not what is done with them."""
        waiting = iter(items)
        while True:
            with self.at(stage):
                item = next(waiting, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]  # not _END
            self._fold()

    def reading(self, open_chunks: Callable[[], Iterable[bytes]]) -> Generator[bytes, None, None]:
        """Yield the chunks. They are asked for while decoding: READ is what they take, and DECODE the rest."""
        chunks = open_chunks()
        try:
            waiting = iter(chunks)
            while True:
                begun = self._clock()
                try:
                    with self.at(READ):
                        chunk = next(waiting, None)
                finally:
                    self._leave(DECODE, begun - self._clock())
                if chunk is None:
                    return
                yield chunk
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every stage so far. For the thread that converts the object, as are the iterators."""
        self._fold()
        return {stage: max(0.0, seconds) for stage, seconds in self._seconds.items()}

    def peak_bytes(self) -> int:
        """Return the largest resident set of the process that was seen; 0 where none was."""
        self._fold()
        return self._peak_bytes

    def _leave(self, stage: str, seconds: float) -> None:
        resident = self._resident_bytes() if self._resident_bytes else 0
        self._left.append((stage, seconds, resident))

    def _fold(self) -> None:
        """Add up what has been left, so that it does not grow with the object."""
        while self._left:
            stage, seconds, resident = self._left.popleft()
            self._seconds[stage] += seconds
            self._peak_bytes = max(self._peak_bytes, resident)


_END: Final = object()

"""Many objects at once: a bounded pool, and a gate that admits them by the memory they take."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

    from csv_transcode.runtime import Runtime

Item = TypeVar("Item")
Result = TypeVar("Result")

CONVERSIONS_BYTES_MAX: Final = 512 << 20  # what all conversions together may take, beside the process itself
CONVERSION_BYTES_MAX: Final = 240 << 20  # what one takes at most, however large its source is
CONVERSION_BYTES_MIN: Final = 2 << 20
BYTES_A_SOURCE_BYTE: Final = 8  # text, strings, typed columns, Parquet and Avro of a source that fits one stripe


def conversion_bytes(source_bytes: int) -> int:
    """Return an upper estimate of the memory that converting a source of so many bytes takes."""
    return min(CONVERSION_BYTES_MIN + BYTES_A_SOURCE_BYTE * source_bytes, CONVERSION_BYTES_MAX)


class MemoryGate:
    """Lets threads through while what they take together stays within ``bytes_max``; the rest wait their turn."""

    def __init__(self, runtime: Runtime, bytes_max: int = CONVERSIONS_BYTES_MAX) -> None:
        self._changed = runtime.condition()
        self._bytes_max = bytes_max
        self._taken = 0

    @contextmanager
    def admit(self, wanted: int) -> Iterator[None]:
        """Wait until ``wanted`` bytes are free, and hold them; more than there are at all is all there are."""
        held = min(wanted, self._bytes_max)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + held <= self._bytes_max)
            self._taken += held
        try:
            yield
        finally:
            with self._changed:
                self._taken -= held
                self._changed.notify_all()


def fan_out(
    executor: Executor, work: Callable[[Item], Result], items: Iterable[Item], in_flight_max: int
) -> Iterator[Result]:
    """Yield ``work(item)`` of every item as they end, at most ``in_flight_max`` under way.

    Of several that have ended, the one begun first comes first. ``items`` may be long and slow (a listing): no more of
    it is read than there is room for. What it raises, or ``work``, is raised once what is under way has ended.
    """
    running: list[Future[Result]] = []
    try:
        for item in items:
            running.append(executor.submit(work, item))
            if len(running) >= in_flight_max:
                yield from _ended(running)
        while running:
            yield from _ended(running)
    finally:
        for future in running:
            future.cancel()
        wait(running)


def _ended(running: list[Future[Result]]) -> list[Result]:
    """Wait until one has ended; take those that have out of ``running``, and return their results."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    ended = [future for future in running if future in done]
    running[:] = [future for future in running if future not in done]
    return [future.result() for future in ended]

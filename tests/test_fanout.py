"""Many at once: how many, in how much memory, and what happens to the rest when one of them fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_transcode.deadline import Deadline
from csv_transcode.errors import DeadlineError
from csv_transcode.fanout import Gate, fan_out
from csv_transcode.runtime import Runtime
from tests.profiles import examples
from tests.s3.executors import InlineExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

NEVER: Final = Deadline.never()
SECONDS_MAX: Final = 30  # so that a test that would hang fails


class Work:
    """Counts how many of it are under way, and holds them until it is told to let go."""

    def __init__(self, awaited: int = 1) -> None:
        self.meeting = threading.Barrier(awaited)
        self.lock = threading.Lock()
        self.running = 0
        self.running_max = 0
        self.done: list[int] = []

    def __call__(self, item: int) -> int:
        with self.lock:
            self.running += 1
            self.running_max = max(self.running_max, self.running)
        self.meeting.wait(SECONDS_MAX)
        with self.lock:
            self.running -= 1
            self.done.append(item)
        return item


def fanned(
    executor: Executor, work: Callable[[int], int], items: Iterable[int], most: int, deadline: Deadline = NEVER
) -> Iterator[int]:
    """Return the results; what was given up is the negative of its item."""
    return fan_out(executor, work, items, lambda: most, deadline=deadline, given_up=lambda item: -item)


class TestFanOut:
    def test_as_many_are_under_way_as_there_may_be(self) -> None:
        work = Work(awaited=3)
        with ThreadPoolExecutor(8) as threads:
            assert sorted(fanned(threads, work, range(12), 3)) == list(range(12))
        assert work.running_max == 3

    def test_no_more_is_read_than_there_is_room_for(self) -> None:
        read: list[int] = []

        def listing() -> Iterator[int]:
            for number in range(100):
                read.append(number)
                yield number

        with ThreadPoolExecutor(4) as threads:
            results = fanned(threads, lambda item: item, listing(), 4)
            next(results)
            assert len(read) <= 4
            results.close()  # type: ignore[attr-defined]  # a generator

    def test_threads_are_optional(self) -> None:
        assert list(fanned(InlineExecutor(), lambda item: item * 2, range(5), 2)) == [0, 2, 4, 6, 8]

    def test_nothing_asked_for_nothing_done(self) -> None:
        assert list(fanned(InlineExecutor(), lambda item: item, [], 2)) == []

    def test_a_listing_that_fails_raises_once_what_is_under_way_has_ended(self) -> None:
        work = Work()

        def listing() -> Iterator[int]:
            yield from range(3)
            message = "page 2"
            raise ConnectionError(message)

        with ThreadPoolExecutor(8) as threads, pytest.raises(ConnectionError, match="page 2"):
            list(fanned(threads, work, listing(), 8))
        assert (sorted(work.done), work.running) == ([0, 1, 2], 0)

    def test_work_that_fails_raises_and_nothing_new_is_begun(self) -> None:
        begun: list[int] = []

        def work(item: int) -> int:
            begun.append(item)
            if item == 2:
                message = "the third"
                raise ValueError(message)
            return item

        with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="the third"):
            list(fanned(threads, work, range(100), 2))
        assert len(begun) <= 5

    def test_who_leaves_early_waits_for_what_is_under_way(self) -> None:
        work = Work()
        with ThreadPoolExecutor(3) as threads:
            results = fanned(threads, work, range(100), 3)
            next(results)
            results.close()  # type: ignore[attr-defined]  # a generator
            assert work.running == 0


class Growing(threading.Condition):
    """Waiting takes no time, and lets there be more and more."""

    most: list[int]

    @classmethod
    def by(cls, most: list[int]) -> type[threading.Condition]:
        return type("GrowingBy", (cls,), {"most": most})

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        assert timeout is not None, "would not look again"
        if not predicate():
            self.most[0] += 40
        return predicate()


class Announcing(threading.Condition):
    """Says that somebody waits, or has no need to."""

    def __init__(self, in_line: threading.Semaphore) -> None:
        super().__init__()
        self._in_line = in_line

    def wait(self, timeout: float | None = None) -> bool:
        self._in_line.release()
        return super().wait(timeout)


class TestGate:
    @examples(50)
    @given(st.lists(st.integers(1, 100), min_size=1, max_size=30))
    def test_together_they_never_hold_more_than_there_is(self, wanted: list[int]) -> None:
        gate, lock = Gate(Runtime(), lambda: 100), threading.Lock()
        held: list[int] = [0]
        most: list[int] = [0]

        def work(size: int) -> None:
            with gate.admit(size, NEVER):
                with lock:
                    held[0] += size
                    most[0] = max(most[0], held[0])
                with lock:
                    held[0] -= size

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, wanted))
        assert most[0] <= 100
        assert held[0] == 0

    def test_one_that_takes_all_there_is_comes_through_alone(self) -> None:
        gate = Gate(Runtime(), lambda: 100)
        waiting = threading.Event()

        def small() -> str:
            waiting.set()
            with gate.admit(1, NEVER):
                return "through"

        with ThreadPoolExecutor(1) as threads:
            with gate.admit(100, NEVER):
                later = threads.submit(small)
                assert waiting.wait(SECONDS_MAX)
                assert not later.done()
            assert later.result(SECONDS_MAX) == "through"

    def test_who_needs_much_room_is_not_overtaken_by_who_needs_little(self) -> None:
        in_line = threading.Semaphore(0)
        gate = Gate(Runtime(condition=lambda: Announcing(in_line)), lambda: 100)
        order: list[int] = []

        def work(size: int) -> None:
            with gate.admit(size, NEVER):
                order.append(size)

        with ThreadPoolExecutor(3) as threads:
            with gate.admit(50, NEVER):
                for size in (100, 10, 20):  # beside the 50, the small ones have room at once
                    threads.submit(work, size)
                    assert in_line.acquire(timeout=SECONDS_MAX)
                assert order == []
            threads.shutdown()
        assert order[0] == 100

    def test_one_that_runs_out_of_time_in_the_line_holds_nobody_back(self) -> None:
        gate = Gate(Runtime(), lambda: 100)
        with gate.admit(50, NEVER):
            over = Deadline(lambda: 0.0)
            with pytest.raises(DeadlineError), gate.admit(100, over):
                pass
            with gate.admit(50, NEVER):
                pass

    def test_what_there_is_may_change_and_whoever_is_alone_gets_in_all_the_same(self) -> None:
        most = [0]
        gate = Gate(Runtime(condition=Growing.by(most)), lambda: most[0])
        with gate.admit(80, NEVER):
            assert most == [0]
            with gate.admit(80, NEVER):
                assert most == [160]

    def test_a_failure_gives_back_what_was_held(self) -> None:
        gate = Gate(Runtime(), lambda: 100)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), gate.admit(80, NEVER):
                _ = 1 / 0
        with gate.admit(100, NEVER):
            pass

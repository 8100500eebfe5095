"""Many objects at once: a bounded pool, and a gate that admits them by what they take."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from csv_transcode.deadline import REACTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from csv_transcode.deadline import Deadline
    from csv_transcode.runtime import Runtime

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gate:
    """Lets threads through, in the order they came, while what they take together stays within ``most()``.

    ``most`` may change. Whoever finds nobody inside gets in, so that work goes on whatever it says. Who needs much room
    is not overtaken by others who need little, and would otherwise take what is given back again and again.
    """

    def __init__(self, runtime: Runtime, most: Callable[[], int]) -> None:
        self._changed = runtime.condition()
        self._most = most
        self._taken = 0
        self._line: deque[object] = deque()

    @contextmanager
    def admit(self, wanted: int, deadline: Deadline) -> Iterator[None]:
        """Hold ``wanted`` for as long as the block takes: see ``take``."""
        self.take(wanted, deadline)
        try:
            yield
        finally:
            self.give_back(wanted)

    def take(self, wanted: int, deadline: Deadline) -> None:
        """Wait until there is room for ``wanted``, and take it; DeadlineError where that would be too late."""
        place = object()
        with self._changed:
            self._line.append(place)
            try:
                while not self._changed.wait_for(lambda: self._has_room(wanted, place), REACTION_SECONDS):
                    deadline.require()
                self._taken += wanted
            finally:
                self._line.remove(place)
                self._changed.notify_all()  # who comes next may fit beside

    def give_back(self, wanted: int) -> None:
        """Leave room again."""
        with self._changed:
            self._taken -= wanted
            self._changed.notify_all()

    def _has_room(self, wanted: int, place: object) -> bool:
        return self._line[0] is place and (self._taken == 0 or self._taken + wanted <= self._most())


class GatedExecutor(Executor):
    """Another's threads, behind a gate: ``submit`` waits until there is room for one more task, up to the deadline."""

    def __init__(self, executor: Executor, gate: Gate, deadline: Deadline) -> None:
        self._executor = executor
        self._gate = gate
        self._deadline = deadline

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:  # noqa: ANN401 -- as Executor
        """Submit to the other's threads; a task leaves room when it ends."""
        self._gate.take(1, self._deadline)
        try:
            future = self._executor.submit(fn, *args, **kwargs)
        except BaseException:
            self._gate.give_back(1)
            raise
        future.add_done_callback(lambda _: self._gate.give_back(1))
        return future


def fan_out(
    executor: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    in_flight_max: Callable[[], int],
    *,
    deadline: Deadline,
    given_up: Callable[[Item], Result],
) -> Iterator[Result]:
    """Yield ``work(item)`` of every item as they end, at most ``in_flight_max()`` under way.

    Of several that have ended, the one begun first comes first. ``items`` may be long and slow (a listing): no more of
    it is read than there is room for. What it raises, or ``work``, is raised once what is under way has ended.

    After the deadline nothing is begun any more, and what has not ended when the answer is due is left to itself: the
    result of either is ``given_up(item)``.
    """
    running: dict[Future[Result], Item] = {}
    try:
        for item in items:
            if deadline.is_over:
                yield given_up(item)
                continue
            running[executor.submit(work, item)] = item
            while len(running) >= in_flight_max():
                yield from _ended(running, deadline, given_up)
        while running:
            yield from _ended(running, deadline, given_up)
    finally:
        for future in running:
            future.cancel()
        if running:
            deadline.wait(running, ALL_COMPLETED)


def _ended(running: dict[Future[Result], Item], deadline: Deadline, given_up: Callable[[Item], Result]) -> list[Result]:
    """Wait until one has ended, or none may be waited for; take them out of ``running``, and return their results."""
    done = deadline.wait(running, FIRST_COMPLETED)
    ended = [future for future in running if future in done]
    if not ended:
        late = list(running.items())
        running.clear()
        for future, _ in late:
            future.cancel()
        return [given_up(item) for _, item in late]
    for future in ended:
        del running[future]
    return [future.result() for future in ended]

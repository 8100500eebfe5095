"""One thing at a time, chosen by a seed: tasks in threads of their own, of which one runs, on a clock of their own.

A task runs until it comes to a request, a sleep, or what another task has to do first; then one of those that can go on
does, drawn by the seed. Time passes only by what requests and sleeps say. So the same seed gives the same run.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from collections import deque
from concurrent.futures import Executor, Future, _base
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

T = TypeVar("T")

BEGIN_SECONDS: Final = 1_000.0
_idle: list[_Worker] = []


class KilledError(BaseException):
    """The process is gone: nothing of it runs any more, and no request leaves it."""


class StuckError(Exception):
    """No task can go on, and none will ever be able to."""


@dataclass(eq=False)
class Life:
    """One process, as long as it lives; tasks belong to one."""

    name: str
    ends_at: float | None = None
    is_over: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Task:
    """Something that runs until it waits."""

    life: Life
    act: Callable[[], object]
    go: threading.Lock
    wakes_at: float = 0.0
    can_go_on: Callable[[], bool] | None = None

    def is_ready(self, now: float) -> bool:
        """Say whether it would do something if it were its turn."""
        if self.life.is_over:
            return True
        if self.can_go_on is not None:
            return self.can_go_on() or self.wakes_at <= now
        return self.wakes_at <= now


NEVER: Final = float("inf")


class Scheduler:
    """The clock, and whose turn it is."""

    def __init__(self, random: Random) -> None:
        self.now = BEGIN_SECONDS
        self.current: Task | None = None
        self._random = random
        self._tasks: list[Task] = []
        self._over = threading.Lock()
        self._error: BaseException | None = None

    @property
    def life(self) -> Life:
        """The process that is running."""
        return self._running().life

    def spawn(self, life: Life, act: Callable[[], object]) -> None:
        """Let ``act`` be one of the things that run."""
        lock = threading.Lock()
        lock.acquire()
        task = Task(life, act, lock)
        self._tasks.append(task)
        (_idle.pop() if _idle else _Worker()).take(self, task)

    def run(self) -> None:
        """Run until every task has ended; raises StuckError, or what a task has raised."""
        if not self._tasks:
            return
        self._over.acquire()
        self._pass_on()
        self._over.acquire()
        self._over.release()
        self.current = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def pause(self) -> None:
        """Let another task go on, or this one."""
        self._require_alive()
        self._wait()

    def sleep(self, seconds: float) -> None:
        """Let others go on until the clock shows so much more."""
        self._require_alive()
        self._running().wakes_at = self.now + max(seconds, 0)
        self._wait()

    def wait_until(self, can_go_on: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let others go on until something is true; return whether it is, after ``timeout`` seconds at the latest."""
        self._require_alive()
        if can_go_on():
            return True
        task = self._running()
        task.wakes_at, task.can_go_on = NEVER if timeout is None else self.now + timeout, can_go_on
        self._wait()
        return can_go_on()

    def kill(self, life: Life) -> None:
        """End a process: each of its tasks ends where it stands, and can do nothing any more."""
        life.is_over = True

    def kill_all(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.life.is_over = True

    def ended(self, task: Task, error: BaseException | None) -> None:
        """Take note that a task has ended; called by its thread."""
        self._tasks.remove(task)
        if error is not None and self._error is None:
            self._error = error
            self.kill_all()  # nothing of this run matters any more
        self._pass_on()

    def _running(self) -> Task:
        if self.current is None:
            message = "only a task can wait"
            raise RuntimeError(message)
        return self.current

    def _require_alive(self) -> None:
        if self._running().life.is_over:
            raise KilledError

    def _wait(self) -> None:
        task = self._running()
        self._pass_on(task)
        task.wakes_at, task.can_go_on = 0.0, None
        if task.life.is_over:
            raise KilledError

    def _pass_on(self, waiting: Task | None = None) -> None:
        """Let the next task run, and wait until it is ``waiting``'s turn again."""
        following = self._next() if self._tasks else None
        if following is None:
            self._over.release()
            if waiting is not None:
                waiting.go.acquire()
            return
        self.current = following
        if following is waiting:
            return
        following.go.release()
        if waiting is not None:
            waiting.go.acquire()

    def _next(self) -> Task | None:
        ready = [task for task in self._tasks if task.is_ready(self.now)]
        if not ready:
            earliest = min(task.wakes_at for task in self._tasks)
            if earliest == NEVER:
                return self._stuck()
            self.now = earliest
            ready = [task for task in self._tasks if task.is_ready(self.now)]
        return ready[0] if len(ready) == 1 else ready[int(self._random.random() * len(ready))]

    def _stuck(self) -> Task:
        self._error = StuckError(
            f"{len(self._tasks)} tasks wait for each other: {[one.life.name for one in self._tasks]}"
        )
        self.kill_all()
        return self._tasks[0]


class _Worker:
    """A thread that runs one task after another: to start one costs more than most tasks."""

    def __init__(self) -> None:
        self._job: tuple[Scheduler, Task] | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        threading.Thread(target=self._loop, daemon=True, name="simulated").start()

    def take(self, scheduler: Scheduler, task: Task) -> None:
        self._job = (scheduler, task)
        self._wake.release()

    def _loop(self) -> None:
        while True:
            self._wake.acquire()
            if self._job is None:
                return
            (scheduler, task), self._job = self._job, None
            task.go.acquire()
            error = _outcome(task)
            _idle.append(self)
            scheduler.ended(task, error)


def _outcome(task: Task) -> BaseException | None:
    """Run a task; return what it has raised, but for its own death."""
    if task.life.is_over:
        return None
    try:
        task.act()
    except KilledError:
        return None
    except BaseException as error:  # noqa: BLE001 - raised again by whoever runs the scheduler
        return error
    return None


class SimulatedCondition:
    """threading.Condition among tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Task | None = None
        self._depth = 0
        self._waiting: deque[list[bool]] = deque()

    def acquire(self, *_: object, **__: object) -> bool:
        me = self._scheduler.current
        if self._depth and self._owner is not me:
            self._scheduler.wait_until(lambda: not self._depth)
        self._owner, self._depth = me, self._depth + 1
        return True

    def release(self) -> None:
        if self._depth and self._owner is self._scheduler.current:  # else whoever held it was killed while it waited
            self._depth -= 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def wait(self, timeout: float | None = None) -> bool:
        depth, self._depth = self._depth, 0
        told = [False]
        self._waiting.append(told)
        self._scheduler.wait_until(lambda: told[0], timeout)
        if not told[0]:
            self._waiting.remove(told)
        self.acquire()
        self._depth = depth
        return told[0]

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        ends = None if timeout is None else self._scheduler.now + timeout
        found = predicate()
        while not found and (ends is None or self._scheduler.now < ends):
            self.wait(None if ends is None else ends - self._scheduler.now)
            found = predicate()
        return found

    def notify(self, n: int = 1) -> None:
        for told in itertools.islice(list(self._waiting), n):
            told[0] = True
            self._waiting.remove(told)

    def notify_all(self) -> None:
        self.notify(len(self._waiting))


class SimulatedEvent:
    """threading.Event among tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._scheduler.wait_until(self.is_set, timeout)


class _Threading:
    """What ``concurrent.futures`` takes from ``threading`` to wait for a future."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.Lock = threading.Lock
        self.RLock = threading.RLock
        self.Event = lambda: SimulatedEvent(scheduler)
        self.Condition = lambda: SimulatedCondition(scheduler)


@contextmanager
def simulated_futures(scheduler: Scheduler) -> Iterator[None]:
    """Let whoever waits for a future wait by the scheduler."""
    with mock.patch.object(_base, "threading", _Threading(scheduler)):
        yield


class SimulatedExecutor(Executor):
    """A pool of so many workers, which are tasks; or of none, where everything runs at once in whoever submits it."""

    def __init__(self, scheduler: Scheduler, workers_max: int, *, inline: bool) -> None:
        self._scheduler = scheduler
        self._workers_max = workers_max
        self._inline = inline
        self._queue: deque[Callable[[], None]] = deque()
        self._workers = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = concurrent.futures.Future()

        def act() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
                if isinstance(error, KilledError):
                    raise

        if self._inline:
            act()
            return future
        self._queue.append(act)
        if self._workers < self._workers_max:
            self._workers += 1
            self._scheduler.spawn(self._scheduler.life, self._work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's
        if cancel_futures:
            self._queue.clear()
        if wait and self._workers:
            self._scheduler.wait_until(lambda: not self._workers)

    def _work(self) -> None:
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._workers -= 1

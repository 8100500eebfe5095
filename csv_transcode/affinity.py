"""On which cores threads run: all that convert small objects on one, and the others on any.

What converts a small object is Python for the most part, of which one thread at a time runs. On two cores such threads
hand its lock to and fro, a wake-up and a cold cache each time; on one they take turns. 20 objects of 10 KB at once took
31 ms each by the clock, and 30 of CPU, on two cores, and 21 on one; of 100 KB 58 and 35, of 1 MB 104 and 79. With 2 MB
it is all the same, and of more the larger part runs without the lock, on all cores.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from csv_transcode.runtime import Runtime

T = TypeVar("T")

SMALL_BYTES_MAX: Final = 1 << 20


class Affinity:
    """Which cores a processor's threads run on. Threads that are none of its own stay where they are.

    Without a second core, or where the system does not say, nothing is moved.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._all = runtime.allowed_cores()
        self._one = self._all
        self._here = runtime.local()  # is_own, shares, cores: of the thread that asks, where it has them

    def choose(self) -> None:
        """Let small objects share the core that this thread is on, from now on: the system found it fit just now."""
        core = self._runtime.core()
        self._one = self._all & {core} or self._all

    def settle(self, source_bytes: int | None) -> None:
        """Let this thread run where an object of so many bytes (None: unknown) is converted, and its tasks with it."""
        self._settle(shares=source_bytes is not None and source_bytes <= SMALL_BYTES_MAX)

    def following(self, executor: Executor) -> Executor:
        """Return ``executor``, whose threads are the processor's own; tasks run where who submits them runs."""
        return _FollowingExecutor(executor, self) if len(self._all) > 1 else executor

    def submit(self, executor: Executor, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 -- as Executor
        """Submit to ``executor``: see ``following``."""
        shares, submitter = getattr(self._here, "shares", False), self._runtime.thread()

        def run() -> T:
            if self._runtime.thread() != submitter:  # else there are no threads behind this executor
                self._here.is_own = True
                self._settle(shares=shares)
            return fn(*args, **kwargs)

        return executor.submit(run)

    def _settle(self, *, shares: bool) -> None:
        here, cores = self._here, self._one if shares else self._all
        if not getattr(here, "is_own", False):
            return
        here.shares = shares
        if getattr(here, "cores", None) != cores:  # None: it is where the thread was that made it, on one core or all
            self._runtime.move(cores)
            here.cores = cores


class _FollowingExecutor(Executor):
    """Another's threads, and where they run."""

    def __init__(self, executor: Executor, affinity: Affinity) -> None:
        self._executor = executor
        self._affinity = affinity

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 -- as Executor
        return self._affinity.submit(self._executor, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- as Executor
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

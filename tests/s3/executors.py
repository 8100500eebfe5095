"""Executors that a test can look into."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs everything at once, in the calling thread, and counts the results that nobody has taken yet."""

    def __init__(self) -> None:
        self.submitted = 0
        self.waiting = 0
        self.waiting_max = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = _Counted(self)
        self.submitted += 1
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the future's)
            future.set_exception(error)
        return future


class _Counted(Future[T]):
    def __init__(self, executor: InlineExecutor) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> T:
        self._executor.waiting -= 1
        return super().result(timeout)

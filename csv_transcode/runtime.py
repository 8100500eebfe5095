"""What the package takes from the machine, as arguments: clock, sleep, randomness, threads.

Nothing else in the package starts a thread, sleeps, reads a clock or draws a random number, so that a simulation can
replace all four and run the product itself.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def thread_pool(workers_max: int, name: str) -> Executor:
    """Return a pool of at most ``workers_max`` threads, called ``name_0``, ``name_1`` and so on."""
    return ThreadPoolExecutor(workers_max, thread_name_prefix=name)


def _cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Runtime:
    """Clock, sleep, randomness and threads.

    ``clock`` gives monotonic seconds. ``token`` gives n random bytes as 2n hexadecimal digits. ``executor`` takes the
    largest number of threads and a name, and returns an executor that its caller shuts down. One that runs ``submit``
    in the calling thread is allowed: no task of the package waits for a later one. ``condition`` makes the lock
    that threads wait on; ``cores`` is how many processors there are to keep busy.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    token: Callable[[int], str] = secrets.token_hex
    executor: Callable[[int, str], Executor] = thread_pool
    condition: Callable[[], threading.Condition] = threading.Condition
    cores: int = field(default_factory=_cores)

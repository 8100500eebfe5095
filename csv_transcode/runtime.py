"""What the package takes from the machine, as arguments: clock, sleep, randomness, threads, memory.

Nothing else in the package starts a thread, sleeps, reads a clock, draws a random number or asks how much memory there
is, so that a simulation can replace them all and run the product itself.
"""

from __future__ import annotations

import gc
import os
import secrets
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

# version 2 has one tree for everything, version 1 one for memory
_LIMITS: Final = {"": ("sys/fs/cgroup", "memory.max"), "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes")}

_PROCESSOR_FIELD: Final = 39 - 3  # of proc_pid_stat(5), counted from the one behind the name


def thread_pool(workers_max: int, name: str) -> Executor:
    """Return a pool of at most ``workers_max`` threads, called ``name_0``, ``name_1`` and so on."""
    return ThreadPoolExecutor(workers_max, thread_name_prefix=name)


def _cores() -> int:
    """Return how many processors this process may use."""
    return len(allowed_cores()) or os.cpu_count() or 1


def allowed_cores() -> frozenset[int]:
    """Return the cores that this thread may run on; none where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def core() -> int | None:
    """Return the core that this thread is on; None where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        after_name = Path("/proc/thread-self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return int(after_name.split()[_PROCESSOR_FIELD])
    return None


def move(cores: Collection[int]) -> None:
    """Let this thread run on ``cores`` alone; where the system does not allow that, it stays."""
    with suppress(OSError, AttributeError):
        os.sched_setaffinity(0, cores)


def memory_bytes(root: Path = Path("/")) -> int:
    """Return how much memory this process may use: the least that its control groups allow, or the machine's.

    ``root`` is where the machine's files stand.
    """
    return min([_machine_bytes(), *_group_limits(root)])


def resident_bytes() -> int:
    """Return how much memory this process uses now; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@contextmanager
def uncollected() -> Iterator[None]:
    """Do without garbage collection in a block that makes what stays: classes, functions, clients.

    Every few hundred objects that it makes, the collector looks through all that there are, and finds nothing: a
    tenth of a cold start. Reference counting goes on.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the groups that this process is in, and of those around them."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, inside = line.split(":", 2)
            for name in {"", "memory"}.intersection(controllers.split(",")):
                folder, file = _LIMITS[name]
                group = Path(inside.lstrip("/"))
                for path in (group, *group.parents):  # in a container, the group's own path may not be there
                    with suppress(OSError, ValueError):  # "max" is no number: no limit
                        yield int((root / folder / path / file).read_text(encoding="ascii"))


class Runtime(Struct, frozen=True):
    """Clock, sleep, randomness, threads and memory.

    ``clock`` gives monotonic seconds. ``token`` gives n random bytes as 2n hexadecimal digits. ``executor`` takes the
    largest number of threads and a name, and returns an executor that its caller shuts down. One that runs ``submit``
    in the calling thread is allowed: no task of the package waits for a later one. ``condition`` makes the lock
    that threads wait on; ``cores`` is how many processors there are to keep busy. ``memory_bytes`` is what the process
    may use, ``resident_bytes`` what it does (0: unknown).
    ``allowed_cores`` are those that the calling thread may run on, ``core`` is where it is (neither known: none), and
    ``move`` keeps it on some of them; ``thread`` is its number, and ``local`` makes what holds of each thread alone.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    token: Callable[[int], str] = secrets.token_hex
    executor: Callable[[int, str], Executor] = thread_pool
    condition: Callable[[], threading.Condition] = threading.Condition
    cores: int = field(default_factory=_cores)
    memory_bytes: Callable[[], int] = memory_bytes
    resident_bytes: Callable[[], int] = resident_bytes
    allowed_cores: Callable[[], frozenset[int]] = allowed_cores
    core: Callable[[], int | None] = core
    move: Callable[[Collection[int]], None] = move
    thread: Callable[[], int] = threading.get_ident
    local: Callable[[], Any] = threading.local

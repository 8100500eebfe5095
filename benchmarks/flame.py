"""What a conversion's processors do: CPU seconds by Python stack, sampled over all threads while the handler converts.

``python -m benchmarks.flame KEY SIZE ETAG`` prints them as JSON; the environment names the S3 server.

Five hundred times a second every thread's own CPU clock is read, and what it has gained is put to the stack that the
thread is in. So waiting, also for Python's lock, costs nothing, and what a library does in C counts for the line that
called it. Threads that Python does not know are the difference to what the whole process has spent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from benchmarks import datasets, measure
from benchmarks.engines import Job, ours
from benchmarks.servers import INPUT_BUCKET, OUTPUT_BUCKET

if TYPE_CHECKING:
    from types import FrameType

    from benchmarks.servers import Store

SCALE: Final = 0.3
SAMPLE_SECONDS: Final = 0.002
NANOSECONDS: Final = 1e9
SHARE_LEAST: Final = 0.001  # of all: stacks below are put together
ELSEWHERE: Final = ("not in Python",)
REST: Final = ("other stacks",)
OWN: Final = ("csv_transcode", "s3_data_processor", "lambda_handler")

Stack = tuple[str, ...]


def measured(s3: Store) -> dict[str, Any]:
    """Return the stacks of one conversion of lineitem, outermost frame first, and the CPU seconds spent in each."""
    source = datasets.lineitem(SCALE)
    s3.wipe()
    command = [sys.executable, "-m", "benchmarks.flame", source.name, str(source.stat().st_size)]
    command.append(s3.upload(source, source.name))
    done = subprocess.run(command, cwd=measure.ROOT, env=s3.environment, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"data": f"lineitem, scale {SCALE:g}"} | told


class Sampler(threading.Thread):
    """Counts CPU nanoseconds by stack until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.spent: Counter[Stack] = Counter()
        self._over = threading.Event()
        self._clocks: dict[int, int] = {}

    def run(self) -> None:
        """Sample all other threads; what they had spent before does not count."""
        self._sample(counted=False)
        while not self._over.wait(SAMPLE_SECONDS):
            self._sample(counted=True)

    def stop(self) -> None:
        """Take the last sample."""
        self._over.set()
        self.join()

    def _sample(self, *, counted: bool) -> None:
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 -- documented, for debuggers
            if thread == self.ident:
                continue
            with suppress(OSError):  # it has just ended
                spent = time.clock_gettime_ns(time.pthread_getcpuclockid(thread))
                gained = spent - self._clocks.get(thread, 0 if counted else spent)
                self._clocks[thread] = spent
                if gained > 0:
                    self.spent[stack_of(frame)] += gained


def stack_of(innermost: FrameType | None) -> Stack:
    """Return the names of the frames from the product's outermost on; a library's frames in a row are one."""
    names: list[str] = []
    frame = innermost
    while frame is not None:
        names.append(_name(frame))
        frame = frame.f_back
    names.reverse()
    first = next((at for at, name in enumerate(names) if name.startswith(OWN)), 0)
    kept = names[first:]
    return tuple(name for at, name in enumerate(kept) if at == 0 or name != kept[at - 1])


def _name(frame: FrameType) -> str:
    module = str(frame.f_globals.get("__name__", "?"))
    package = module.partition(".")[0]
    if package not in OWN:
        return package
    return f"{module}.{frame.f_code.co_name}"


def told(spent: Counter[Stack], whole: float) -> dict[str, Any]:
    """Return what was sampled as it is kept: stacks by seconds, ``whole`` being what the process has spent."""
    seconds = {stack: nanoseconds / NANOSECONDS for stack, nanoseconds in spent.items()}
    large = {stack: each for stack, each in seconds.items() if each >= SHARE_LEAST * whole}
    rest = sum(seconds.values()) - sum(large.values())
    named = {**large, REST: rest, ELSEWHERE: max(0.0, whole - sum(seconds.values()))}
    ordered = sorted(named.items(), key=lambda one: -one[1])
    return {"cpu_seconds": whole, "stacks": [{"frames": list(stack), "seconds": round(s, 4)} for stack, s in ordered]}


def main(key: str, size: str, etag: str) -> None:
    """Convert, and print the stacks."""
    convert = ours(Job(INPUT_BUCKET, key, size, etag, OUTPUT_BUCKET, "ours/"))
    sampler = Sampler()
    begun = time.process_time()
    sampler.start()
    convert()
    sampler.stop()
    print(json.dumps(told(sampler.spent, time.process_time() - begun)))


if __name__ == "__main__":
    main(*sys.argv[1:])

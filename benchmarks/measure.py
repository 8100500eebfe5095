"""Run an engine in a process of its own; medians with their spread; ratios within a round; what machine this is."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
MB: Final = 1_000_000
SECONDS_MAX: Final = 1800
WATCH_SECONDS: Final = 0.01
Measured = TypeVar("Measured")
VERSIONS_TOLD: Final = ("pyarrow", "pandas", "fastavro", "polars", "duckdb", "boto3", "awswrangler")


class EngineError(Exception):
    """An engine's process failed, or what it wrote is not what it read."""


@dataclass(frozen=True)
class Sample:
    """One run: seconds of importing, converting, the whole process; CPU seconds of both of these; peak bytes.

    ``requests`` are those to S3, where they were counted.
    """

    import_seconds: float
    seconds: float
    cpu_seconds: float
    process_seconds: float
    process_cpu_seconds: float
    peak_bytes: int
    requests: int | None = None


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some measurements."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of ``values``, of which there is at least one."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])

    def text(self, digits: int = 2) -> str:
        """Return ``middle (low-high)``."""
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def run_engine(arguments: Sequence[str], environment: Mapping[str, str], memory_bytes_max: int | None = None) -> Sample:
    """Run ``python -m benchmarks.engines`` with ``arguments`` and return what it measured; EngineError if it fails.

    A process that comes to hold more than ``memory_bytes_max`` is killed, as Lambda does: it is looked at a hundred
    times a second.
    """
    command = [sys.executable, "-m", "benchmarks.engines", *arguments]
    started, cpu = time.perf_counter(), _children_cpu_seconds()
    with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=_as_installed(environment))
        killed = _watched(process, memory_bytes_max)
        process_seconds = time.perf_counter() - started
        out.seek(0)
        err.seek(0)
        printed, complaints = out.read(), err.read()
    if killed:
        raise EngineError(killed)
    if process.returncode:
        message = f"{' '.join(arguments)} ended with {process.returncode}:\n{printed[-2000:]}\n{complaints[-4000:]}"
        raise EngineError(message)
    spent = _children_cpu_seconds() - cpu
    return Sample(process_seconds=process_seconds, process_cpu_seconds=spent, **json.loads(printed.splitlines()[-1]))


def _watched(process: subprocess.Popen[bytes], memory_bytes_max: int | None) -> str | None:
    """Wait for the process; kill it where it takes too much time or memory, and return why."""
    end = time.monotonic() + SECONDS_MAX
    status = Path(f"/proc/{process.pid}/statm")
    killed = None
    while process.poll() is None:
        with suppress(OSError, IndexError):
            resident = int(status.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
            if memory_bytes_max and resident > memory_bytes_max:
                killed = f"killed: more than {memory_bytes_max >> 20:,} MB of memory"
        if time.monotonic() > end:
            killed = f"killed: more than {SECONDS_MAX} seconds"
        if killed:
            process.kill()
            process.wait()
            return killed
        with suppress(subprocess.TimeoutExpired):
            process.wait(WATCH_SECONDS)
    return killed


def _children_cpu_seconds() -> float:
    """Return what the processes that this one has started, and waited for, have spent."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def alternate(names: Sequence[str], rounds: int, run: Callable[[str], Measured]) -> dict[str, list[Measured]]:
    """Run every engine once a round, each round beginning with another; samples are in the order of rounds."""
    samples: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            samples[name].append(run(name))
    return samples


def ratios(these: Sequence[Sample], those: Sequence[Sample], value: Callable[[Sample], float]) -> Spread:
    """Return how many times ``these`` take of what ``those`` take, round by round: noise that lasts falls out."""
    return Spread.of(value(this) / value(that) for this, that in zip(these, those, strict=True))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, columns aligned, the first to the left and the others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def machine() -> str:
    """Return what a figure needs beside it: processor, cores, memory, load, versions."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS_TOLD)
    return (
        f"{_processor()}, {cores} cores, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}, {platform.system()}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return models[0].partition(":")[2].strip() if models else platform.machine()


def _as_installed(environment: Mapping[str, str]) -> dict[str, str]:
    """Allow byte code to be kept, as it is where a function is deployed: nobody's start-up should be compiling."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}

"""Run an engine in a process of its own; medians with their spread; ratios within a round; what machine this is."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
MB: Final = 1_000_000
SECONDS_MAX: Final = 1800
Measured = TypeVar("Measured")
VERSIONS_TOLD: Final = ("pyarrow", "pandas", "fastavro", "polars", "duckdb", "boto3", "awswrangler")


class EngineError(Exception):
    """An engine's process failed, or what it wrote is not what it read."""


@dataclass(frozen=True)
class Sample:
    """One run: seconds of importing, converting, the whole process; CPU seconds of both of these; peak bytes."""

    import_seconds: float
    seconds: float
    cpu_seconds: float
    process_seconds: float
    process_cpu_seconds: float
    peak_bytes: int


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


def run_engine(arguments: Sequence[str], environment: Mapping[str, str]) -> Sample:
    """Run ``python -m benchmarks.engines`` with ``arguments`` and return what it measured; EngineError if it fails."""
    command = [sys.executable, "-m", "benchmarks.engines", *arguments]
    started, cpu = time.perf_counter(), _children_cpu_seconds()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=_as_installed(environment),
        timeout=SECONDS_MAX,
        check=False,
    )
    process_seconds = time.perf_counter() - started
    if done.returncode:
        message = f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        raise EngineError(message)
    spent = _children_cpu_seconds() - cpu
    return Sample(
        process_seconds=process_seconds, process_cpu_seconds=spent, **json.loads(done.stdout.splitlines()[-1])
    )


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

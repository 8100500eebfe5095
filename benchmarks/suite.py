"""All works by all engines, in one run over one server; what was measured goes to ``benchmarks/results/``.

``python -m benchmarks suite`` takes about ten minutes on two cores, ``--full`` hours. Results are written after every
work, so that a run that is interrupted has not been for nothing; ``benchmarks.report`` makes a document of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import avro_encoder, datasets, decoding, flame, kernels, measure, startup, waterfall
from benchmarks.conversion import Case
from benchmarks.readback import Disagreement
from benchmarks.servers import store
from benchmarks.small_objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.servers import Store

RESULTS: Final = Path(__file__).resolve().parent / "results"
QUICK: Final = "quick"
FULL: Final = "full"
QUICK_ROUNDS: Final = 3
FULL_ROUNDS: Final = 5
SMALL_OBJECTS: Final = 2_000

OURS: Final = "ours"
COLUMNAR: Final = ("polars", "polars_stream", "duckdb")
ROW_WISE: Final = ("seed", "wrangler", "pandas_pyarrow", "pyarrow_fastavro")  # minutes at scale 0.3, hours at 3


@dataclass(frozen=True)
class Work:
    """One thing to convert, and by whom.

    ``rarely`` are engines that take so long that they run in the first round alone. ``cores`` and ``memory_mb`` are
    what an engine may use; ours is told as a function is.
    """

    name: str
    title: str
    source: Callable[[], Path | Sequence[Path]]
    engines: tuple[str, ...]
    rarely: tuple[str, ...] = ()
    rounds: int | None = None
    cores: int | None = None
    memory_mb: int | None = None
    stored: Callable[[], Path] | None = None


def lineitem(scale: float) -> Callable[[], Path]:
    """Return what makes lineitem of this scale, when it is asked for."""
    return lambda: datasets.lineitem(scale)


_LOG: Final = Work("log", "A log: long quoted messages over several lines", datasets.log, (OURS, *COLUMNAR))
_SMALL: Final = Work(
    "small",
    f"{SMALL_OBJECTS:,} objects of 10 KB",
    lambda: datasets.small_objects(SMALL_OBJECTS),
    (OURS, "seed", "polars"),
)
QUICK_WORKS: Final = (
    Work(
        "lineitem-0.3",
        "TPC-H lineitem, scale 0.3",
        lineitem(0.3),
        (OURS, *COLUMNAR, "polars_text"),
    ),
    _LOG,
    _SMALL,
    Work("lineitem-0.1", "TPC-H lineitem, scale 0.1", lineitem(0.1), (OURS, *COLUMNAR), rarely=ROW_WISE),
)
FULL_WORKS: Final = (
    Work(
        "lineitem-0.3",
        "TPC-H lineitem, scale 0.3",
        lineitem(0.3),
        (OURS, *COLUMNAR, "polars_text"),
        rarely=("seed", "wrangler"),
    ),
    Work("lineitem-0.1", "TPC-H lineitem, scale 0.1", lineitem(0.1), (OURS, *COLUMNAR, *ROW_WISE)),
    Work("orders", "TPC-H orders, scale 0.5", lambda: datasets.orders(0.5), (OURS, *COLUMNAR)),
    Work("wide", "300 columns, 290 of numbers, a tenth empty", datasets.wide, (OURS, *COLUMNAR)),
    _LOG,
    Work("narrow", "Four columns of integers", datasets.narrow, (OURS, *COLUMNAR)),
    _SMALL,
    Work(
        "lineitem-0.3-gzip",
        "TPC-H lineitem, scale 0.3, gzip",
        lineitem(0.3),
        (OURS, "polars"),
        stored=lambda: datasets.gzipped(datasets.lineitem(0.3)),
    ),
    Work("lineitem-0.3-1cpu", "lineitem 0.3 on one processor", lineitem(0.3), (OURS, *COLUMNAR), cores=1),
    Work(
        "lineitem-0.3-512mb",
        "lineitem 0.3 in 512 MB, on one processor",
        lineitem(0.3),
        (OURS, *COLUMNAR),
        cores=1,
        memory_mb=512,
    ),
    Work("lineitem-0.3-1024mb", "lineitem 0.3 in 1 GB", lineitem(0.3), (OURS, *COLUMNAR), memory_mb=1024, rounds=2),
    Work("lineitem-3-2048mb", "lineitem 3 in 2 GB", lineitem(3), (OURS, *COLUMNAR), memory_mb=2048, rounds=2),
    Work("lineitem-3-4096mb", "lineitem 3 in 4 GB", lineitem(3), (OURS, *COLUMNAR), memory_mb=4096, rounds=1),
    Work("lineitem-3", "TPC-H lineitem, scale 3", lineitem(3), (OURS, *COLUMNAR), rounds=3),
)


def run(kind: str, rounds: int | None = None, only: Sequence[str] = (), results: Path = RESULTS) -> Path:
    """Measure, and return the file of results; works that are not among ``only``, if it names any, keep theirs."""
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{kind}.json"
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    told |= _occasion(kind, rounds, only)
    for name, measured in _measured(kind, rounds, only):
        if name == "works":
            others = [work for work in told.get("works", ()) if work["name"] != measured["name"]]
            order = [work.name for work in _works(kind)]
            told["works"] = sorted([*others, measured], key=lambda work: order.index(work["name"]))
        else:
            told[name] = measured
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return path


def _works(kind: str) -> tuple[Work, ...]:
    return FULL_WORKS if kind == FULL else QUICK_WORKS


def _occasion(kind: str, rounds: int | None, only: Sequence[str]) -> dict[str, str]:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=measure.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    command = "python -m benchmarks suite" + (" --full" if kind == FULL else "")
    command += f" --rounds {rounds}" if rounds else ""
    command += f" --only {' '.join(only)}" if only else ""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return {"date": date, "commit": commit, "kind": kind, "command": command, "machine": measure.machine()}


def _measured(kind: str, rounds: int | None, only: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    asked, rounds = rounds, rounds or (FULL_ROUNDS if kind == FULL else QUICK_ROUNDS)
    alone: dict[str, Callable[[], dict[str, Any]]] = {
        "kernels": lambda: kernels.measured(rounds),
        "decode_alone": lambda: decoding.measured(rounds),
        "avro_alone": lambda: avro_encoder.measured(rounds if kind == FULL else 1),
        "startup": lambda: startup.measured(2 * rounds),
    }
    for name, measured in alone.items():
        if not only or name in only:
            _say(name)
            yield name, measured()
    with store() as s3:
        for name, drawn in (("waterfall", waterfall.measured), ("flame", flame.measured)):
            if not only or name in only:
                _say(name)
                yield name, drawn(s3)
        for work in _works(kind):
            if not only or work.name in only:
                yield "works", measured_work(s3, work, asked or work.rounds or rounds)


def measured_work(s3: Store, work: Work, rounds: int) -> dict[str, Any]:
    """Return the samples of one work, by engine and round, and why an engine has none."""
    source = work.source()
    case: Case | Objects
    if isinstance(source, Path):
        stored = work.stored() if work.stored else source
        case, size, objects, columns = Case(s3, source, stored), source.stat().st_size, 1, _columns(source)
    else:
        sources = list(source)
        case, objects, columns = Objects(s3, sources), len(sources), _columns(sources[0])
        size = sum(one.stat().st_size for one in sources)
    told: dict[str, Any] = {
        "name": work.name,
        "title": work.title,
        "kind": "object" if objects == 1 else "small",
        "bytes": size,
        "records": case.records,
        "columns": columns,
        "objects": objects,
        "cores": work.cores,
        "memory_mb": work.memory_mb,
        "compressed": work.stored is not None,
        "rounds": rounds,
        "samples": {},
        "failed": {},
    }
    environment = {"BENCHMARK_COUNT": "1"}
    environment |= {"BENCHMARK_CORES": str(work.cores)} if work.cores else {}
    environment |= {"BENCHMARK_MEMORY_MB": str(work.memory_mb)} if work.memory_mb else {}
    for number in range(rounds):
        engines = [*work.engines, *(work.rarely if number == 0 else ())]
        first = number % len(engines)
        for engine in (*engines[first:], *engines[:first]):
            if engine in told["failed"]:
                continue
            try:
                sample = case.measured(engine, environment, work.memory_mb << 20 if work.memory_mb else None)
            except (measure.EngineError, Disagreement) as error:
                told["failed"][engine] = str(error).strip().splitlines()[-1][:300]
                _say(f"{work.name}, {engine}: {told['failed'][engine]}")
            else:
                told["samples"].setdefault(engine, []).append(sample)
                _say(f"{work.name}, round {number + 1} of {rounds}, {engine}: {sample['seconds']:.2f} s")
    return told


def _columns(source: Path) -> int:
    with source.open("rb") as file:
        return file.readline().count(b",") + 1


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  load {os.getloadavg()[0]:.1f}  {what}", flush=True)

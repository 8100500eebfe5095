"""What ``python -m benchmarks suite`` has measured, read again: works, engines, medians, ratios within a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from benchmarks.measure import MB, Spread
from benchmarks.pictures import OURS

if TYPE_CHECKING:
    from pathlib import Path

KINDS: Final = ("quick", "full")  # the later over the earlier
CELL_CHARACTERS_MAX: Final = 160
LARGE: Final = "lineitem-0.3"
SMALLER: Final = "lineitem-0.1"
LARGEST: Final = "lineitem-3"
SMALL: Final = "small"
LEAST_FUNCTION: Final = "lineitem-0.3-512mb"
WHOLE_FUNCTION: Final = ("lineitem-0.3-2cpu", LARGE)  # the first that was measured
TABLES: Final = (SMALLER, LARGE, LARGEST, "orders", "wide", "log", "narrow")
ORDER: Final = (*TABLES, SMALL, "lineitem-0.3-gzip", "lineitem-0.3-2cpu", "lineitem-0.3-1cpu", LEAST_FUNCTION)
GROWING: Final = (SMALLER, LARGE, LARGEST)
POLARS: Final = ("polars", "polars_text", "polars_stream")
NAMES: Final[Mapping[str, str]] = {
    "ours": OURS,
    "polars": "Polars, dates typed",
    "polars_text": "Polars, dates as text",
    "polars_stream": "Polars, lazy and streaming",
    "duckdb": "DuckDB",
    "seed": "the seed design's way",
    "wrangler": "awswrangler + fastavro",
    "pandas_pyarrow": "pandas + pyarrow + fastavro",
    "pyarrow_fastavro": "pyarrow + fastavro",
}
ALONE_NAMES: Final[Mapping[str, str]] = {**NAMES, "polars": "Polars", "fastavro": "fastavro"}
CORES: Final = 2
MIB: Final = 1 << 20
FUNCTION_MEMORY_MB: Final = 2048


class Sample(Struct, frozen=True):
    """One run of one engine."""

    seconds: float
    cpu_seconds: float | None = None
    server_cpu_seconds: float | None = None
    peak_bytes: float | None = None
    requests: float | None = None
    exact: bool | None = None


Samples = dict[str, list[Sample]]  # by engine, in the order of rounds
Measure = Callable[[Sample], float | None]


class Work(Struct, frozen=True):
    """One thing to do, and what each engine took for it."""

    name: str
    title: str = ""
    kind: str = "object"
    source_bytes: int = field(default=0, name="bytes")
    records: int = 0
    columns: int = 0
    objects: int = 1
    cores: int | None = None
    memory_mb: int | None = None
    compressed: bool = False
    rounds: int = 0
    samples: Samples = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def megabytes(self) -> float:
        """The source's size."""
        return self.source_bytes / MB

    def runs(self, engine: str) -> list[Sample]:
        """Return what ``engine`` took, round by round; nothing if it has not finished once."""
        return self.samples.get(engine, [])


class Alone(Struct, frozen=True):
    """One step of a conversion by itself, ours and others'."""

    data: str = ""
    megabytes: float = 0
    threads: int | None = None
    samples: Samples = field(default_factory=dict)


class Kernels(Struct, frozen=True):
    """CPU seconds of each step of a conversion by itself."""

    cpu_seconds: dict[str, float]
    data: str = ""
    runs: int = 1

    @property
    def total(self) -> float:
        """CPU seconds of all steps."""
        return sum(self.cpu_seconds.values())


class Span(Struct, frozen=True):
    """One thread's stay in one stage, in seconds since the conversion began."""

    stage: str
    thread: str
    begin: float
    end: float


class Waterfall(Struct, frozen=True):
    """Which thread was in which stage when."""

    spans: list[Span]
    data: str = ""
    seconds: float = 0


class Stack(Struct, frozen=True):
    """CPU seconds spent in one stack of frames, the outermost first."""

    frames: list[str]
    seconds: float


class Flame(Struct, frozen=True):
    """Where the CPU seconds of one conversion went."""

    stacks: list[Stack]
    cpu_seconds: float
    data: str = ""


class StartupRow(Struct, frozen=True):
    """Seconds of one way to start, by rounds."""

    what: str
    ours: list[float]
    seed: list[float]


class Startup(Struct, frozen=True):
    """What a cold start takes."""

    rows: list[StartupRow]


class Run(Struct, frozen=True):
    """One file of results, or what is made of several."""

    works: list[Work]
    date: str = ""
    commit: str = ""
    kind: str = ""
    command: str = ""
    machine: str = ""
    avro_alone: Alone | None = None
    decode_alone: Alone | None = None
    kernels: Kernels | None = None
    waterfall: Waterfall | None = None
    flame: Flame | None = None
    startup: Startup | None = None


PARTS: Final = ("avro_alone", "decode_alone", "kernels", "waterfall", "flame", "startup")


@dataclass(frozen=True)
class Results:
    """The runs, and what counts of them: ``origin`` says of each work's name and each part from which run it is."""

    runs: tuple[Run, ...]
    works: Mapping[str, Work]
    parts: Run
    origin: Mapping[str, str]

    def of(self, kind: str) -> Iterator[Work]:
        """Yield the works of a kind that were done as they are, without fewer cores, less memory or a codec."""
        for work in self.works.values():
            if work.kind == kind and work.cores is None and work.memory_mb is None and not work.compressed:
                yield work


def read(directory: Path) -> Results:
    """Return what the files in ``directory`` say; FileNotFoundError if it holds none."""
    files = {kind: directory / f"{kind}.json" for kind in KINDS}
    found = {kind: path.read_bytes() for kind, path in files.items() if path.is_file()}
    if not found:
        message = f"neither {' nor '.join(str(path) for path in files.values())}: `make bench` writes them"
        raise FileNotFoundError(message)
    runs = [msgspec.structs.replace(msgspec.json.decode(text, type=Run), kind=kind) for kind, text in found.items()]
    return overlaid(runs)


def overlaid(runs: Sequence[Run]) -> Results:
    """Return what counts of ``runs``: of each work, and each part beside them, what the last that has it says."""
    works: dict[str, Work] = {}
    parts: dict[str, object] = {}
    origin: dict[str, str] = {}
    for run in runs:
        here = {work.name: work for work in run.works}
        has = {part: getattr(run, part) for part in PARTS if getattr(run, part) is not None}
        works |= here
        parts |= has
        origin |= dict.fromkeys([*here, *has], run.kind)
    used = tuple(run for run in runs if run.kind in origin.values())
    return Results(used, _in_order(works), msgspec.structs.replace(Run([]), **parts), origin)


def _in_order(works: Mapping[str, Work]) -> dict[str, Work]:
    """Return the works, those that are known first, each under a title that no other has."""
    titles = Counter(work.title for work in works.values())
    names = sorted(works, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: _titled(works[name], alone=titles[works[name].title] == 1) for name in names}


def _titled(work: Work, *, alone: bool) -> Work:
    if work.title and alone:
        return work
    return msgspec.structs.replace(work, title=f"{work.title} ({work.name})" if work.title else work.name)


def seconds_of(run: Sample) -> float | None:
    """Return the seconds by the clock."""
    return run.seconds


def cpu_of(run: Sample) -> float | None:
    """Return the engine's CPU seconds."""
    return run.cpu_seconds


def server_cpu_of(run: Sample) -> float | None:
    """Return the S3 server's CPU seconds meanwhile."""
    return run.server_cpu_seconds


def peak_mb_of(run: Sample) -> float | None:
    """Return the peak memory, in millions of bytes."""
    return None if run.peak_bytes is None else run.peak_bytes / MB


def requests_of(run: Sample) -> float | None:
    """Return the requests to S3."""
    return run.requests


MEASURES: Final[Mapping[str, Measure]] = {"clock, seconds": seconds_of, "CPU seconds": cpu_of, "peak MB": peak_mb_of}


def spread(runs: Iterable[Sample], measure: Measure) -> Spread | None:
    """Return the spread of what was measured, None where nothing was."""
    values = [value for value in map(measure, runs) if value is not None]
    return Spread.of(values) if values else None


def paired(theirs: Sequence[Sample], ours: Sequence[Sample], measure: Measure) -> Spread | None:
    """Return how many times theirs is of ours, round by round; rounds that one of the two has not are left out."""
    pairs = [(measure(this), measure(that)) for this, that in zip(theirs, ours, strict=False)]
    values = [this / that for this, that in pairs if this is not None and that]
    return Spread.of(values) if values else None


def best(work: Work, peers: Sequence[str] = ()) -> str | None:
    """Return the engine of ``peers`` (of all that are not ours, if none is named) with the least median seconds."""
    medians = {
        engine: Spread.of(run.seconds for run in runs).middle
        for engine, runs in work.samples.items()
        if runs and engine != "ours" and (not peers or engine in peers)
    }
    return min(medians, key=lambda engine: medians[engine], default=None)


def of_ours(results: Results, name: str, measure: Measure) -> Spread | None:
    """Return the spread of what this program took for a work, None where it was not measured."""
    work = results.works.get(name)
    return spread(work.runs("ours"), measure) if work else None


def failure_told(why: str) -> str:
    """Return a reason as one short line."""
    line = " ".join(why.split())
    line = line if len(line) <= CELL_CHARACTERS_MAX else f"{line[:CELL_CHARACTERS_MAX]}..."
    return f"did not finish: {line}" if line else "did not finish"


def called(engine: str, work: Work | None = None) -> str:
    """Return an engine's name; in the table of a ``work`` ours says which function it was."""
    name = NAMES.get(engine, engine)
    if work is None or engine != "ours":
        return name
    return f"{name}, as a function of {work.memory_mb or FUNCTION_MEMORY_MB:,} MB"


def title_of(results: Results, name: str) -> str:
    """Return a work's title, or its name where it was not measured."""
    return results.works[name].title if name in results.works else name


def in_seconds(found: Spread | None) -> str:
    """Return a spread in as many digits as it deserves."""
    return plain(found, 3 if found and found.middle < 1 else 2)


def plain(found: Spread | None, digits: int) -> str:
    """Return a spread, or its one value where it has no other."""
    if found is None:
        return "-"
    return f"{found.middle:.{digits}f}" if found.low == found.high else found.text(digits)


def divided(found: Spread, by: float) -> Spread:
    """Return the spread, each value divided."""
    return Spread(found.middle / by, found.low / by, found.high / by)

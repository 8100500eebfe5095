"""Write ``performance_comparison.md`` and its pictures from what ``python -m benchmarks suite`` has measured.

    python -m benchmarks.report [--results DIRECTORY] [--out DIRECTORY]

``quick.json`` is read, and ``full.json`` over it, work by work: what the full run has measured replaces what the quick
one has. Every number of the document comes from these two; its sentences stand here. What was not measured is left
out, and a target that nothing was measured for is named as such.

    runs.py: read → Results → figures.py: figures   wanted and found
                            → pictures.py           and what is said beside them
                            → a section for everything else → document
"""

from __future__ import annotations

import argparse
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import pictures
from benchmarks.figures import figures, whole_without_server
from benchmarks.measure import MB, ROOT, Spread
from benchmarks.pictures import OURS
from benchmarks.runs import (
    ALONE_NAMES,
    CORES,
    FUNCTION_MEMORY_MB,
    GROWING,
    LARGE,
    MEASURES,
    MIB,
    NAMES,
    Alone,
    Measure,
    Results,
    Run,
    Sample,
    Samples,
    StartupRow,
    Work,
    best,
    called,
    cpu_of,
    divided,
    failure_told,
    in_seconds,
    paired,
    peak_mb_of,
    plain,
    read,
    requests_of,
    seconds_of,
    server_cpu_of,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

DOCUMENT: Final = "performance_comparison.md"
PICTURES: Final = "docs/pictures"
LINE_CHARACTERS_MAX: Final = 140
KERNELS: Final[Mapping[str, str]] = {
    "cut": "find where records end",
    "parse": "fields to columns of text",
    "observe": "what types the columns allow",
    "cast": "text to those types",
    "avro": "encode and compress Avro",
    "parquet": "encode and compress Parquet",
}
MEMORY_OF_A_PROCESSOR_MB: Final = 1769
PROCESSORS_MAX: Final = 2  # that a conversion of one object can use
FUNCTION_SIZES_MB: Final = (512, 1024, 1769, 2048, 3538)
GB_SECOND_DOLLARS: Final[Mapping[str, float]] = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
TB_MB: Final = 1_000_000
GENERATED: Final = """\
<!-- Written by `python -m benchmarks.report` from benchmarks/results/: change that module, or measure anew.
     `make bench` measures in minutes and writes this; `BENCH=full make bench` takes every work and more rounds. -->"""
INTRODUCTION: Final = """
What `make bench` and `BENCH=full make bench` measured. Engines alternate, and a ratio is one of two runs of the same
round: on a machine whose speed changes with the hour ratios say more than seconds. Every figure is a median, with the
least and the greatest in brackets; met or missed goes by the median.
"""
PEERS_WIN: Final = """
Every work and measure in which some peer's median is below this program's: {wins} of {measured} that have both.
"""
NO_PEER_WINS: Final = """
In none of the {measured} medians (clock, CPU, peak memory, a work each) that this program and a peer both have is a
peer's the lower one.
"""
SERVER: Final = """
The S3 server runs on the same two cores as its clients, and what it takes for a conversion nobody else can have.
However an engine is made, it cannot finish in less than half of the sum of its own CPU seconds and the server's: the
last column but one. Where requests are large and few the server takes less, so that its share is in part a client's
doing. All engines of `lineitem-0.3`, and of the other tables this program and the fastest peer.
"""
COST: Final = """
Computed from the CPU seconds of `{work}`, {megabytes:,.0f} MB, and not measured in Lambda: one processor at 1,769 MB
of memory, in proportion below and above, at most two; time is CPU seconds by processors; 0.0000133334 dollars a
GB-second on arm64 and 0.0000166667 on x86_64, which is taken to be as fast. An engine is given the sizes that its
peak memory on this object fits in, or that it was run at, and is taken to keep both processors busy, which flatters
those that do not. Requests are not in it.
"""
FLAME: Final = """
One conversion of {data}, {seconds:.2f} CPU seconds, sampled five hundred times a second by each thread's CPU clock.
The outermost frame is on top, and a library is one box: what it does in C is in the box of the line that called it.
"""
MEMORY_PICTURE: Final = """
A function of 2,048 MB has 2,048 MiB, {limit:,.0f} MB as they are counted here. Beside a line's end is its last
median.
"""
KERNELS_TEXT: Final = """
{data}: each step alone, {runs} runs, and the whole conversion from S3 to S3 of `{work}` beside it. Two cores would
take half of the sum, {half}, if nothing else were to be done; the whole, less the half of the server's CPU seconds
that it has to share, took {whole}: {ratio} times as long. What is between the two is fetching, uploading, and waiting
for one another.
"""
AVRO_TEXT: Final = """
{data}; from memory to memory. Times a peer takes of ours, in pairs within a round, are in the last column, by CPU
seconds.
"""
DECODE_TEXT: Final = """
{data}{threads}. CSV to typed columns in memory, and nothing written. Times a peer takes of ours, in pairs within a
round and by the clock, are in the last column.
"""
STARTUP_TEXT: Final = """
A process that did not exist before converts one small object; both sets of libraries as they are installed, their
byte code kept, as a package for Lambda has it. Ratios are those of pairs within a round.
"""
METHOD: Final = (
    """Each run is a process of its own. Engines alternate, and each round begins with another one; outputs are deleted
    before. Engines that take minutes run in the first round alone: their rows say so. One that has failed at a work is
    not run on it again.""",
    """This program runs by its handler, as Lambda calls it for an S3 notification; over many small objects, for an
    event that names their prefix. There the peers list the prefix, and convert in a pool of threads.""",
    """The S3 server is a real one, SeaweedFS, on the loopback interface and on the same cores. Two of its settings are
    not its defaults: sources are stored under a content type that keeps it from compressing them, which S3 does not do
    either, and its memory is bounded. They are the same for every engine.""",
    """Libraries are imported and the client is made before the clock of a conversion starts; start-up is measured
    apart.""",
    """Outputs are read back by DuckDB and held against the source before any time counts. *exact*: as many records, and
    for every column the sum of a hash over record number and value is the source's. *sums agree*: not that, as a column
    has another type or other text for the same value, but counts and sums of numbers and days, and of the lengths of
    texts, are the source's. Any less is a failure. For its own outputs DuckDB is judge in its own cause. Of many small
    objects every output has to be there, and some, drawn anew each time, are compared.""",
    """All engines write one Parquet and one Avro object. Both are snappy, but for DuckDB's Avro, which has no
    codec.""",
    """What is not compared: peers take no types from the whole file (pandas does, and loses zeros and long
    digits by it), reject no record, and publish without a commit. This program does all three, in the times above; that
    explains a difference and changes no target.""",
    """Peers are at their best of what was tried: Polars from bytes, and lazily from S3; fastavro with nullable fields
    only where there are nulls. *Polars, dates as text* does less than the others, and counts as a peer all the
    same.""",
    """Where a work says how many cores, the engine is bound to so many, and the server is not. Where it says how much
    memory, an engine that comes to hold more is killed, as Lambda does; this program is told so, as a function is.""",
    """Peak memory is the process's own high-water mark, in MB of a million bytes. `ru_maxrss` would begin with what
    the parent held. A function's MB are MiB, as Lambda's are.""",
    """CPU seconds are the engine's process's own, all threads; the server's are counted apart. MB/s is the size of the
    CSV by the clock. Requests are those that botocore sends: what Polars' streaming reader and writer send by a client
    of their own is not among them.""",
    """Sums, ratios and pictures are made by `benchmarks/report.py` from `benchmarks/results/`, where every single run
    is kept.""",
)


def _wanted_and_found(results: Results) -> str:
    found = figures(results)
    rows = [[each.what, each.against, each.wanted, each.found, each.verdict] for each in found if each.found]
    missing = [
        f"{each.what} against {each.against}" if each.against != "-" else each.what for each in found if not each.found
    ]
    told = _prose(f"Not measured in these runs: {'; '.join(missing)}.") if missing else ""
    header = ["work", "against", "wanted", "found: median (min-max) of ratios within a round", ""]
    return _section("Figures wanted and found", _table(header, rows) if rows else "", told)


def drawn(results: Results, out: Path) -> str:
    """Draw every picture that there are figures for, under ``out``, and return the section that shows them."""
    drawings = (
        _draw_throughput,
        _draw_memory,
        _draw_waterfall,
        _draw_flame,
        _draw_small_objects,
        _draw_cost,
    )
    return _section("Pictures", *(draw(results, out / PICTURES) for draw in drawings))


def _draw_throughput(results: Results, folder: Path) -> str:
    panels = {work.title: _bars(work, lambda work, run: work.megabytes / run.seconds) for work in results.of("object")}
    engines = [name for name in NAMES.values() if any(name in bars for bars in panels.values())]
    if not engines:
        return ""
    ordered = {title: {name: bars.get(name, "not run") for name in engines} for title, bars in panels.items()}
    pictures.throughput(ordered, folder / "throughput.svg")
    return _image("throughput.svg", "MB of CSV a second by engine, a panel for each table")


def _draw_small_objects(results: Results, folder: Path) -> str:
    bars = next((_bars(work, lambda work, run: work.objects / run.seconds) for work in results.of("small")), {})
    if not bars:
        return ""
    pictures.small_objects(bars, folder / "small_objects.svg")
    return _image("small_objects.svg", "Small objects a second by engine")


def _bars(work: Work, speed: Callable[[Work, Sample], float]) -> dict[str, Spread | str]:
    """Return a bar for each engine that has finished, and a word for each that has not."""
    bars: dict[str, Spread | str] = {}
    for engine in _engines(work):
        runs = work.runs(engine)
        bars[called(engine)] = Spread.of(speed(work, run) for run in runs) if runs else "did not finish"
    return bars


def _draw_memory(results: Results, folder: Path) -> str:
    works = [results.works[name] for name in GROWING if name in results.works]
    lines: dict[str, list[tuple[float, float]]] = {}
    unfinished: dict[str, list[float]] = {}
    for work in works:
        for engine in _engines(work):
            peak = spread(work.runs(engine), peak_mb_of)
            if peak:
                lines.setdefault(called(engine), []).append((work.megabytes, peak.middle))
            elif engine in work.failed:
                unfinished.setdefault(called(engine), []).append(work.megabytes)
    if not lines:
        return ""
    limit = FUNCTION_MEMORY_MB * MIB / MB
    pictures.memory(lines, unfinished, (f"a function of {FUNCTION_MEMORY_MB:,} MB", limit), folder / "memory.svg")
    image = _image("memory.svg", "Peak memory by size of file, a line for each engine")
    return f"{image}\n\n{_prose(MEMORY_PICTURE, limit=limit)}"


def _draw_waterfall(results: Results, folder: Path) -> str:
    part = results.parts.waterfall
    if part is None or not part.spans:
        return ""
    rows: dict[str, list[tuple[float, float]]] = {}
    first = {span.stage: span.begin for span in sorted(part.spans, key=lambda span: -span.begin)}
    for span in sorted(part.spans, key=lambda span: (first[span.stage], span.stage, span.thread, span.begin)):
        rows.setdefault(", ".join(filter(None, (span.stage, span.thread))), []).append((span.begin, span.end))
    pictures.waterfall(rows, folder / "waterfall.svg")
    image = _image("waterfall.svg", "One conversion: which thread was in which stage when")
    return f"{image}\n\n{_prose(f'One conversion of {part.data}, {part.seconds:.2f} seconds: stage and thread.')}"


def _draw_flame(results: Results, folder: Path) -> str:
    part = results.parts.flame
    if part is None or not part.stacks:
        return ""
    pictures.flame([(stack.frames, stack.seconds) for stack in part.stacks], folder / "flame.svg")
    image = _image("flame.svg", "One conversion: CPU seconds by stack of Python frames")
    return f"{image}\n\n{_prose(FLAME, data=part.data, seconds=part.cpu_seconds)}"


def _draw_cost(results: Results, folder: Path) -> str:
    work = results.works.get(LARGE)
    dollars = costs(results)
    if work is None or not any(isinstance(bar, Spread) for bars in dollars.values() for bar in bars.values()):
        return ""
    pictures.cost(dollars, len(FUNCTION_SIZES_MB), folder / "cost.svg")
    image = _image("cost.svg", "Dollars a TB by engine, architecture and memory of a function")
    return f"{image}\n\n{_prose(COST, work=work.name, megabytes=work.megabytes)}"


def costs(results: Results) -> dict[str, dict[str, Spread | str]]:
    """Return dollars a TB by engine, for each architecture and size of a function; a text where it does not fit."""
    work = results.works.get(LARGE)
    return {
        f"{architecture}, {memory_mb:,} MB": {
            called(engine): _cost(results, engine, memory_mb, price) for engine in (_engines(work) if work else ())
        }
        for architecture, price in GB_SECOND_DOLLARS.items()
        for memory_mb in FUNCTION_SIZES_MB
    }


def _cost(results: Results, engine: str, memory_mb: int, price: float) -> Spread | str:
    """Return what ``engine`` costs in a function of ``memory_mb``, by its runs at that size if there are any."""
    large, there = results.works[LARGE], results.works.get(f"{LARGE}-{memory_mb}mb")
    if there and engine in there.failed:
        return "did not finish"
    work = there if there and there.runs(engine) else large
    runs = [run for run in work.runs(engine) if run.cpu_seconds is not None]
    peak = spread(runs, peak_mb_of)
    if not runs or not work.source_bytes or (work is large and peak and peak.middle * MB > memory_mb * MIB):
        return "does not fit"
    return Spread.of(dollars_a_tb((run.cpu_seconds or 0) / work.megabytes, memory_mb, price) for run in runs)


def dollars_a_tb(cpu_seconds_a_mb: float, memory_mb: int, gb_second_dollars: float) -> float:
    """Return what a function of ``memory_mb`` costs for a TB, if all its processors are busy as long as it runs."""
    processors = min(memory_mb / MEMORY_OF_A_PROCESSOR_MB, PROCESSORS_MAX)
    return cpu_seconds_a_mb * TB_MB / processors * (memory_mb / 1024) * gb_second_dollars


def _image(name: str, what: str) -> str:
    return f"![{what}]({PICTURES}/{name})"


def _works(results: Results) -> str:
    return _section("Tables", *(_work(results, work) for work in results.works.values()))


def _work(results: Results, work: Work) -> str:
    header = ["engine", "seconds", "CPU seconds", "MB/s", "peak MB", "requests", "cells"]
    if work.objects > 1:
        header.insert(4, "objects/s")
    rows = [_row(work, engine, len(header)) for engine in _engines(work)]
    return f"### {work.title}\n\n{_prose(_described(results, work))}\n\n{_table(header, rows)}"


def _described(results: Results, work: Work) -> str:
    """Say what the work is, and where its figures are from."""
    said = [
        f"`{work.name}`: {work.megabytes:,.0f} MB" + (", stored compressed" if work.compressed else ""),
        f"{work.records:,} records" if work.records else "",
        f"{work.columns:,} columns" if work.columns else "",
        f"{work.objects:,} objects" if work.objects > 1 else "",
        {1: "one core", None: ""}.get(work.cores, f"{work.cores} cores"),
        f"a function of {work.memory_mb:,} MB" if work.memory_mb else "",
    ]
    rounds = work.rounds or max((len(runs) for runs in work.samples.values()), default=0)
    told = f"{results.origin[work.name]} run, {rounds} round{'' if rounds == 1 else 's'}"
    return f"{', '.join(filter(None, said))}. From the {told}."


def _row(work: Work, engine: str, cells: int) -> list[str]:
    runs, why = work.runs(engine), work.failed.get(engine, "")
    name = called(engine, work)
    if not runs:
        return [name, *["-"] * (cells - 2), failure_told(why)]
    if work.rounds and len(runs) != work.rounds:
        name += f" ({len(runs)} run{'' if len(runs) == 1 else 's'})"
    seconds = Spread.of(run.seconds for run in runs)
    speeds = [work.megabytes / seconds.middle, *([work.objects / seconds.middle] if work.objects > 1 else [])]
    compared = _compared_cells(runs) + (f"; {failure_told(why)}" if why else "")
    return [
        name,
        in_seconds(seconds),
        in_seconds(spread(runs, cpu_of)),
        *(f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}" for speed in speeds),
        plain(spread(runs, peak_mb_of), 0),
        plain(spread(runs, requests_of), 0),
        compared,
    ]


def _compared_cells(runs: Iterable[Sample]) -> str:
    """Say how far the outputs were found to agree with the source: as the worst of the runs."""
    found = {run.exact for run in runs}
    return "sums agree" if False in found else "-" if None in found else "exact"


def _engines(work: Work) -> list[str]:
    """Return who was run: this program, then the peers as they are listed, then any that are not."""
    tried = {engine for engine, runs in work.samples.items() if runs} | work.failed.keys()
    known = [engine for engine in NAMES if engine in tried]
    return [*known, *sorted(tried.difference(known))]


def _peer_wins(results: Results) -> str:
    sets = [(work.title, work.samples, NAMES) for work in results.works.values()]
    for title, part in (("Avro encoder alone", results.parts.avro_alone), ("decode alone", results.parts.decode_alone)):
        sets += [(title, part.samples, ALONE_NAMES)] if part else []
    compared = [_is_measured(samples, measure) for _, samples, _ in sets for measure in MEASURES.values()]
    rows = [row for title, samples, names in sets for row in _better(title, samples, names)]
    unfinished = [row for work in results.works.values() for row in _finished_by_others(work)]
    if not any(compared) and not unfinished:
        return ""
    told = _prose(PEERS_WIN if rows else NO_PEER_WINS, wins=len(rows), measured=sum(compared))
    header = ["work", "measure", OURS, "less: median (times ours)"]
    return _section("Where a peer wins", told, _table(header, [*unfinished, *rows]) if rows or unfinished else "")


def _is_measured(samples: Samples, measure: Measure) -> bool:
    """Return whether this program has such a figure, and any peer."""
    have = {engine == "ours" for engine, runs in samples.items() if spread(runs, measure)}
    return have == {True, False}


def _better(title: str, samples: Samples, names: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield a row for each measure by which some peer's median is below ours."""
    for what, measure in MEASURES.items():
        medians = {engine: found.middle for engine, runs in samples.items() if (found := spread(runs, measure))}
        ours = medians.get("ours", 0)
        below = sorted((median, engine) for engine, median in medians.items() if median < ours)
        if below:
            told = "; ".join(f"{names.get(name, name)} {_number(each)} ({each / ours:.2f})" for each, name in below)
            yield [title, what, _number(ours), told]


def _finished_by_others(work: Work) -> Iterator[list[str]]:
    """Yield a row, if this program has failed where some peer has not."""
    finished = [called(engine) for engine in _engines(work) if engine != "ours" and work.runs(engine)]
    if "ours" in work.failed and finished:
        yield [work.title, "finishing", failure_told(work.failed["ours"]), "; ".join(finished)]


def _server(results: Results) -> str:
    rows = []
    for work in results.of("object"):
        fastest = best(work)
        shown = _engines(work) if work.name == LARGE else ["ours", *([fastest] if fastest else [])]
        rows += [row for engine in shown for row in _server_row(work, engine)]
    header = ["work", "engine", "its CPU seconds", "the server's", "half of the sum", "seconds"]
    return _section("The S3 server's share", _prose(SERVER), _table(header, rows)) if rows else ""


def _server_row(work: Work, engine: str) -> Iterator[list[str]]:
    runs = work.runs(engine)
    its, server = spread(runs, cpu_of), spread(runs, server_cpu_of)
    if its and server:
        least = spread(runs, lambda run: ((run.cpu_seconds or 0) + (run.server_cpu_seconds or 0)) / CORES)
        cells = (its, server, least, spread(runs, seconds_of))
        yield [work.title, called(engine), *(in_seconds(cell) for cell in cells)]


def _startup(results: Results) -> str:
    part = results.parts.startup
    rows = [_startup_row(row) for row in part.rows if row.ours and row.seed] if part else []
    if not rows:
        return ""
    header = ["seconds", OURS, "the seed design's set", "ratio", "rounds"]
    return _section("Cold start", _prose(STARTUP_TEXT), _table(header, rows), _from(results, "startup"))


def _startup_row(row: StartupRow) -> list[str]:
    ratio = Spread.of(this / that for this, that in zip(row.ours, row.seed, strict=False))
    rounds = min(len(row.ours), len(row.seed))
    return [row.what, *(plain(found, 2) for found in (Spread.of(row.ours), Spread.of(row.seed), ratio)), str(rounds)]


def _avro_alone(results: Results) -> str:
    return _alone(results, "avro_alone", "Avro encoder alone", cpu_of, AVRO_TEXT)


def _decode_alone(results: Results) -> str:
    return _alone(results, "decode_alone", "Decode alone", seconds_of, DECODE_TEXT)


def _alone(results: Results, name: str, title: str, measure: Measure, text: str) -> str:
    """Return the section of one step by itself; ``measure`` is what its ratios are taken of."""
    part: Alone | None = getattr(results.parts, name)
    if part is None or not any(part.samples.values()):
        return ""
    ours = part.samples.get("ours", [])
    rows = []
    for engine, runs in part.samples.items():
        if runs:
            seconds, cpu = spread(runs, seconds_of), spread(runs, cpu_of)
            speed = f"{part.megabytes / cpu.middle:.0f}" if cpu and part.megabytes else "-"
            ratio = paired(runs, ours, measure) if engine != "ours" else None
            shown = [in_seconds(seconds), in_seconds(cpu), speed, plain(ratio, 2), str(len(runs))]
            rows.append([ALONE_NAMES.get(engine, engine), *shown])
    header = ["engine", "seconds", "CPU seconds", "MB a CPU second", "times ours", "rounds"]
    threads = f", {part.threads} threads" if part.threads else ""
    told = _prose(text, data=part.data, threads=threads)
    return _section(title, told, _table(header, rows), _from(results, name))


def _kernels(results: Results) -> str:
    part = results.parts.kernels
    if part is None or not part.total:
        return ""
    rows = [
        [name, KERNELS.get(name, "-"), f"{seconds:.2f}", f"{100 * seconds / part.total:.0f} %"]
        for name, seconds in part.cpu_seconds.items()
    ]
    rows.append(["together", "", f"{part.total:.2f}", ""])
    whole, told = whole_without_server(results), ""
    if whole:
        half = part.total / CORES
        values = {"half": f"{half:.2f} s", "whole": f"{plain(whole, 2)} s", "ratio": plain(divided(whole, half), 2)}
        told = _prose(KERNELS_TEXT, data=part.data, runs=part.runs, work=LARGE, **values)
    table = _table(["step", "what it does", "CPU seconds", "share"], rows)
    return _section("The kernels against the whole", told, table, _from(results, "kernels"))


def _from(results: Results, part: str) -> str:
    return f"From the {results.origin[part]} run."


def _method(results: Results) -> str:
    """Say how everything was measured, and by which runs on what machine."""
    bullets = "\n".join(_prose(text, bullet="* ") for text in (*map(_run_told, results.runs), *METHOD))
    return _section("How it is measured", bullets)


def _run_told(run: Run) -> str:
    commit = f"commit `{run.commit}`" if run.commit else ""
    command = f"`{run.command}`" if run.command else ""
    said = ", ".join(filter(None, (run.date, commit, command)))
    return f"The {run.kind} run: {said}. " + "; ".join(run.machine.splitlines()) + ("." if run.machine else "")


def document(results: Results, shown: str) -> str:
    """Return the whole document, ``shown`` being its section of pictures."""
    sections = (
        _wanted_and_found(results),
        shown,
        _works(results),
        _peer_wins(results),
        _server(results),
        _startup(results),
        _avro_alone(results),
        _decode_alone(results),
        _kernels(results),
        _method(results),
    )
    return "\n\n".join([GENERATED, "# Performance", _prose(INTRODUCTION), *filter(None, sections)]) + "\n"


def _section(title: str, *parts: str) -> str:
    """Return a section of those ``parts`` that say anything; nothing, if none does."""
    said = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *said]) if said else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    first, *others = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (header, *rows))
    return "\n".join([first, "|" + "---|" * len(header), *others])


def _prose(text: str, bullet: str = "", **values: object) -> str:
    """Return ``text`` in lines of the document's width; code, and what would begin a list, is not taken apart."""
    filled = text.format(**values) if values else text
    whole = re.sub(r"`[^`]*`| [+*-] ", lambda found: found[0].replace(" ", _HELD), " ".join(filled.split()))
    wrapped = textwrap.fill(
        whole,
        LINE_CHARACTERS_MAX,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped.replace(_HELD, " ")


_HELD: Final = "\x00"  # a space that no line may end at


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the document and its pictures."""
    options = _parser().parse_args(arguments)
    results = read(options.results)
    text = document(results, drawn(results, options.out))
    (options.out / DOCUMENT).write_text(text, encoding="utf-8")
    print(f"{options.out / DOCUMENT}: {', '.join(f'{run.kind} run of {run.date}' for run in results.runs)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=f"Writes {DOCUMENT} and its pictures from what `python -m benchmarks suite` has measured.",
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="where *.json are")
    parser.add_argument("--out", type=Path, default=ROOT, help="what the document and docs/pictures/ are written into")
    return parser


if __name__ == "__main__":
    main()

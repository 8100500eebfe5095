"""The figures that are wanted, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Spread
from benchmarks.runs import (
    CORES,
    LARGE,
    LARGEST,
    LEAST_FUNCTION,
    POLARS,
    SMALL,
    SMALLER,
    TABLES,
    WHOLE_FUNCTION,
    Alone,
    Results,
    Sample,
    Work,
    best,
    called,
    cpu_of,
    divided,
    failure_told,
    in_seconds,
    of_ours,
    paired,
    peak_mb_of,
    plain,
    requests_of,
    seconds_of,
    title_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class SpeedTarget:
    """In the first of ``works`` that has one of ``peers`` (any, if none is named): ``at_least`` as fast as the best."""

    works: tuple[str, ...]
    peers: tuple[str, ...]
    at_least: float


SPEED_TARGETS: Final = (
    SpeedTarget((LARGE,), POLARS, 1.5),
    SpeedTarget((LARGE,), ("duckdb",), 4.0),
    SpeedTarget((LARGE, SMALLER), ("seed",), 25.0),
    *(SpeedTarget((name,), (), 1.2) for name in TABLES if name != LARGE),
    SpeedTarget((SMALL,), ("seed",), 4.0),
)
AVRO_RATIO_MIN: Final = 1.2
DECODE_RATIO_MIN: Final = 1.0
PEAK_GROWTH_MAX: Final = 1.05
PEAK_MB_MAX: Final = 400
LEAST_FUNCTION_SPEED_MIN: Final = 0.45
REQUESTS_MAX: Final = 5
WHOLE_AGAINST_KERNELS_MAX: Final = 1.35
LISTED_AT_A_TIME: Final = 1000  # keys that S3 names in one answer


@dataclass(frozen=True)
class Figure:
    """One target: ``found`` is empty where nothing was measured, ``met`` None where nothing can be said."""

    what: str
    against: str
    wanted: str
    found: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """The last cell of its row."""
        return {True: "met", False: "**missed**", None: "-"}[self.met]


def figures(results: Results) -> list[Figure]:
    """Return every target with what was found."""
    return [
        *(_speed(results, target) for target in SPEED_TARGETS),
        _avro_speed(results.parts.avro_alone),
        _decode_speed(results.parts.decode_alone),
        _peak_growth(results),
        _peak_limit(results),
        _least_function(results),
        _requests_of_a_small_object(results),
        _whole_against_kernels(results),
    ]


def _speed(results: Results, target: SpeedTarget) -> Figure:
    counted, fast = ("objects a second: ", "") if target.works == (SMALL,) else ("", " as fast")
    wanted = f"{counted}at least {target.at_least:g} times{fast}"
    works = [results.works[name] for name in target.works if name in results.works]
    work = next((work for work in works if best(work, target.peers)), works[0] if works else None)
    if work is None:
        return Figure(target.works[0], _against(target, None), wanted)
    peer = best(work, target.peers)
    figure = Figure(work.title, _against(target, peer) + _elsewhere(results, target, work), wanted)
    if not work.runs("ours") or "ours" in work.failed:
        return _unfinished(figure, work)
    if peer is None:
        tried = [engine for engine in work.failed if engine != "ours" and engine in (target.peers or work.failed)]
        return replace(figure, found="none of them finished" if tried else "")
    return _compared(figure, work.runs(peer), work.runs("ours"), target.at_least)


def _against(target: SpeedTarget, peer: str | None) -> str:
    """Say who is compared with: the peer that is meant, or which of several it turned out to be."""
    name = called(peer) if peer else ""
    if len(target.peers) == 1:
        return called(target.peers[0])
    several = "the best of Polars' ways" if target.peers else "its best peer"
    return f"{several}: {name}" if name else several


def _elsewhere(results: Results, target: SpeedTarget, work: Work) -> str:
    """Say what became of the work that was meant, where another had to do."""
    first = results.works.get(target.works[0])
    if first is None or work.name == first.name:
        return "" if work.name == target.works[0] else f" (`{target.works[0]}` was not measured)"
    verb = "did not finish" if set(target.peers) & first.failed.keys() else "was not run"
    return f" ({verb} on `{first.name}`)"


def _compared(figure: Figure, theirs: Sequence[Sample], ours: Sequence[Sample], at_least: float) -> Figure:
    ratio, by_cpu = paired(theirs, ours, seconds_of), paired(theirs, ours, cpu_of)
    if ratio is None:
        return figure
    found = plain(ratio, 2) + (f"; by CPU seconds {plain(by_cpu, 2)}" if by_cpu else "")
    found += ", one round" if min(len(theirs), len(ours)) == 1 else ""
    return replace(figure, found=found, met=ratio.middle >= at_least)


def _unfinished(figure: Figure, work: Work) -> Figure:
    """Return a figure missed, if this program failed at ``work``; if it was not run, one that was not measured."""
    return replace(figure, found=failure_told(work.failed["ours"]), met=False) if "ours" in work.failed else figure


def _avro_speed(part: Alone | None) -> Figure:
    figure = Figure("Avro encoder alone", "Polars", f"by CPU seconds, at least {AVRO_RATIO_MIN:g} times as fast")
    ratio = paired(part.samples.get("polars", []), part.samples.get("ours", []), cpu_of) if part else None
    return replace(figure, found=plain(ratio, 2), met=ratio.middle >= AVRO_RATIO_MIN) if ratio else figure


def _decode_speed(part: Alone | None) -> Figure:
    threads = f", {part.threads} threads" if part and part.threads else ""
    figure = Figure(f"decode alone{threads}", "Polars", f"at least {DECODE_RATIO_MIN:.1f} times as fast")
    if part is None:
        return figure
    return _compared(figure, part.samples.get("polars", []), part.samples.get("ours", []), DECODE_RATIO_MIN)


def _peak_growth(results: Results) -> Figure:
    figure = Figure(f"peak memory, `{LARGEST}`", f"that of `{LARGE}`", f"at most {PEAK_GROWTH_MAX:g} times")
    large, largest = of_ours(results, LARGE, peak_mb_of), of_ours(results, LARGEST, peak_mb_of)
    if large is None or largest is None:
        return figure
    growth = largest.middle / large.middle
    found = f"{growth:.2f}, the ratio of medians ({largest.middle:.0f} and {large.middle:.0f} MB)"
    return replace(figure, found=found, met=growth <= PEAK_GROWTH_MAX)


def _peak_limit(results: Results) -> Figure:
    figure = Figure(f"peak memory, `{LARGEST}`", "-", f"below {PEAK_MB_MAX} MB")
    peak = of_ours(results, LARGEST, peak_mb_of)
    return replace(figure, found=f"{plain(peak, 0)} MB", met=peak.middle < PEAK_MB_MAX) if peak else figure


def _least_function(results: Results) -> Figure:
    wanted = f"completes; at least {LEAST_FUNCTION_SPEED_MIN:g} times its speed"
    work = results.works.get(LEAST_FUNCTION)
    whole = next((name for name in WHOLE_FUNCTION if of_ours(results, name, seconds_of)), None)
    figure = Figure(work.title if work else LEAST_FUNCTION, f"two processors: `{whole or LARGE}`", wanted)
    if work is None or not work.runs("ours") or "ours" in work.failed:
        return _unfinished(figure, work) if work else figure
    least, most = of_ours(results, LEAST_FUNCTION, seconds_of), of_ours(results, whole or "", seconds_of)
    if least is None or most is None:
        return replace(figure, found=f"completes in {in_seconds(least)} s")
    speed = most.middle / least.middle
    found = f"{speed:.2f}, the ratio of medians ({most.middle:.2f} and {least.middle:.2f} s)"
    return replace(figure, found=found, met=speed >= LEAST_FUNCTION_SPEED_MIN)


def _requests_of_a_small_object(results: Results) -> Figure:
    figure = Figure("requests of one small object without rejects", "-", f"at most {REQUESTS_MAX}")
    requests = of_ours(results, SMALL, requests_of)
    if requests is None:
        return figure
    objects = results.works[SMALL].objects
    listings = -(-objects // LISTED_AT_A_TIME)
    each = Spread(*((value - listings) / objects for value in (requests.middle, requests.low, requests.high)))
    found = f"{plain(each, 4)}: {requests.middle:,.0f} for {objects:,} objects, less {listings} to list them"
    return replace(figure, found=found, met=each.middle <= REQUESTS_MAX)


def _whole_against_kernels(results: Results) -> Figure:
    wanted = f"at most {WHOLE_AGAINST_KERNELS_MAX:g} times, the server's half share taken off"
    figure = Figure(title_of(results, LARGE), "its kernels on two cores", wanted)
    whole = whole_without_server(results)
    if whole is None or results.parts.kernels is None:
        return figure
    ratio = divided(whole, results.parts.kernels.total / CORES)
    return replace(figure, found=plain(ratio, 2), met=ratio.middle <= WHOLE_AGAINST_KERNELS_MAX)


def whole_without_server(results: Results) -> Spread | None:
    """Return the seconds of the large conversion, less what the server takes of each core."""
    return of_ours(
        results,
        LARGE,
        lambda run: None if run.server_cpu_seconds is None else run.seconds - run.server_cpu_seconds / CORES,
    )

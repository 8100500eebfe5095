"""Conversions over a network that fails: everything is converted or reported, and S3 is not asked much more often.

What S3 is asked is counted at the client, as often as a request is sent. After the trouble one quiet run converges.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.conftest import OUTPUT_BUCKET
from tests.real.function import Task, run_to_the_end
from tests.real.kills import large, small, spotted
from tests.real.tally import Tally
from tests.real.trouble import envoy, faulty
from tests.standing import require_truth, uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.real.function import Done
    from tests.real.place import Place

    # Yields the address, and what counts the trouble that was made.
    Network = Callable[[Place], AbstractContextManager[tuple[str, Callable[[], Mapping[str, int]]]]]

REQUESTS_TIMES_MAX: Final = 3.0
WORKERS: Final = 4
UNAVAILABLE_PERCENT: Final = 40
SPOILED_DOWN: Final = 0.3  # of the pieces of at most 64 KiB that pass the proxy
SPOILED_UP: Final = 0.1  # there are more of them: of each request, head and body
BYTES_A_SECOND: Final = 2_000_000


def _envoy(made: tuple[str, ...], *, cuts: bool = False, unavailable: int = 0, delayed: int = 0) -> Network:
    @contextmanager
    def opened(place: Place) -> Iterator[tuple[str, Callable[[], Mapping[str, int]]]]:
        with envoy(place.server) as proxy:
            proxy.switch(unavailable_percent=unavailable, delayed_percent=delayed)
            url = proxy.cutting_url if cuts else proxy.steady_url
            yield url, lambda: {name: proxy.counts()[name] for name in made}

    return opened


def _faulty(*, down: float = 0, up: float = 0, bytes_a_second: int = 0) -> Network:
    @contextmanager
    def opened(place: Place) -> Iterator[tuple[str, Callable[[], Mapping[str, int]]]]:
        proxy = faulty(place.server, corrupted_down=down, corrupted_up=up, bytes_a_second=bytes_a_second)
        with proxy as url:
            yield url, dict

    return opened


NETWORKS: Final[Mapping[str, Network]] = {
    "503": _envoy(("unavailable",), unavailable=UNAVAILABLE_PERCENT),
    "503, patiently": _envoy(("unavailable",), unavailable=UNAVAILABLE_PERCENT),
    "latency": _envoy(("delayed",), delayed=100),
    "cut connections": _envoy(("cut",), cuts=True, delayed=100),
    "all of these": _envoy(("unavailable", "delayed", "cut"), cuts=True, unavailable=UNAVAILABLE_PERCENT, delayed=100),
    "throttled": _faulty(bytes_a_second=BYTES_A_SECOND),
    "spoiled answers": _faulty(down=SPOILED_DOWN),
    "spoiled requests": _faulty(up=SPOILED_UP),
}
# The retry budget keeps a sick bucket from being hammered: under 40 % of 503 it is soon used up, and what fails then is
# reported. Whoever would rather wait can say so.
PATIENCE: Final = {"503, patiently": {"retries_max": 20, "retry_budget": 100_000}}
SURE: Final = ("503, patiently", "latency", "throttled")  # nothing may fail here
SPOILING: Final = ("spoiled answers", "spoiled requests")  # bytes are not what was sent


def sources(count: int, rows: int) -> dict[str, bytes]:
    """Return so many small sources, one in ten with rejects, and a large one of ``rows`` kilobytes."""
    few = {f"in/{number:03}.csv": (small, spotted)[number % 10 == 3](f"{number}-") for number in range(count)}
    return few | {"in/large.csv": large(count, rows)}


class Conversions:
    """The same sources, converted over one network after the other."""

    def __init__(self, place: Place, count: int, rows: int) -> None:
        self._place = place
        self._bodies = sources(count, rows)
        self._event = {"keys": list(self._bodies)}
        self.quiet = self._begin_and_run(place)

    def over(self, name: str) -> Tally:
        """Convert everything over one network; return what came of it."""
        tally = Tally(f"network: {name}", ("requests",) if name in SPOILING else ("requests", "converted"))
        with NETWORKS[name](self._place) as (url, trouble):
            done = self._begin_and_run(self._place.through(url), **PATIENCE.get(name, {}))
            made = trouble()
        tally.expected += tuple(made)
        tally.counts.update(made)
        tally.counts.update(Counter(done.outcomes.values()))
        tally.counts.update(requests=len(done.sent), **{"requests undisturbed": len(self.quiet.sent)})
        self._judge(tally, done, name)
        return tally

    def _judge(self, tally: Tally, done: Done, name: str) -> None:
        if name in SPOILING:  # a byte that was spoiled and noticed shows as a failure, or as a request sent again
            tally.counts["noticed"] = tally.counts["failed"] + max(0, len(done.sent) - len(self.quiet.sent))
            tally.expected += ("noticed",)
        tally.require(done.error is None, str(done.error))
        missing = self._bodies.keys() - done.outcomes.keys()
        tally.require(not missing, f"not reported: {sorted(missing)}")
        for key, outcome in done.outcomes.items():
            reported = name not in SURE and outcome in ("failed", "deferred") and done.reasons[key]
            tally.require(outcome == "converted" or reported, f"{key}: {outcome}: {done.reasons[key]}")
        if name not in SPOILING:  # what may work the next time is no failure of the file
            failed = [key for key in self._place.keys(OUTPUT_BUCKET) if "/_failed/" in key]
            tally.require(not failed, f"recorded as failures of the files: {failed}")
        times = len(done.sent) / len(self.quiet.sent)
        tally.require(times <= REQUESTS_TIMES_MAX, f"{times:.1f} times the requests of an undisturbed run")
        self._require_truth(tally, done)
        self._require_end(tally)

    def _require_truth(self, tally: Tally, done: Done) -> None:
        states = require_truth(self._place.client, *self._bodies.values())
        committed = sum(state == "committed" for state in states.values())
        said = sum(outcome == "converted" for outcome in done.outcomes.values())
        tally.require(committed >= said, f"{said} were said to be converted, {committed} are")

    def _require_end(self, tally: Tally) -> None:
        """A quiet run afterwards brings everything to its end, without anybody's help."""
        after = run_to_the_end(self._task(self._place))
        tally.require(set(after.outcomes.values()) <= {"converted", "skipped"}, f"afterwards: {after.reasons}")
        states = require_truth(self._place.client, *self._bodies.values())
        tally.require(list(states.values()) == ["committed"] * len(self._bodies), "not all are committed afterwards")
        tally.require(uploads(self._place.client) == [], "an upload is left")

    def _begin_and_run(self, place: Place, **settings: object) -> Done:
        self._place.empty()
        self._place.put_all(self._bodies)
        return run_to_the_end(self._task(place, **settings))

    def _task(self, place: Place, **settings: object) -> Task:
        return Task(place.environment(max_workers=WORKERS, parquet_compression="none", **settings), self._event)

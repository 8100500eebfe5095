"""Very many small objects in one run, a few of them bad: the rest is converted, exactly those are reported.

``python -m tests.real.many --objects 10000 --bad 37`` prints the counts and how the memory of the function's process
went: the slope is that of a straight line through its resident set, by least squares, once the run is under way.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.function import Done
    from tests.real.place import Place
    from tests.real.tally import Tally

SAMPLE_SECONDS: Final = 0.05
WARM_UP: Final = 0.2  # of the run: threads, pools and caches grow to their sizes
PAGE_KIB: Final = 4
GROWTH_KIB: Final = 8 * 1024  # a short run has hardly warmed up
GROWTH_KIB_AN_OBJECT: Final = 4.0  # what the report itself keeps of each object, and no more
WORKERS: Final = 8


def good(number: int) -> bytes:
    chance = random.Random(number)
    rows = b"".join(b"%d,%s\n" % (row, chance.randbytes(8).hex().encode()) for row in range(chance.randrange(1, 60)))
    return b"id,text\n" + rows


# Each cannot be converted for a reason of its own, whatever the settings of this run.
BAD: Final[tuple[Callable[[int], bytes], ...]] = (
    lambda number: b"id,text\n" + b"1,one,more\n" * (1 + number % 5),  # every record has a field too many
    lambda number: gzip.compress(good(number), mtime=0)[:-9],  # the compressed data ends early
    lambda number: b"BZh91AY&SY" + bytes(50 + number % 5),  # what follows the magic bytes is nothing
    lambda number: b",".join(b"c%d" % name for name in range(10_001 + number % 5)) + b"\n",  # too many columns
)


def sources(objects: int, bad: int) -> tuple[dict[str, bytes], set[str]]:
    """Return so many sources by key, and the keys of those that are bad: spread over the run."""
    keys = [f"in/{number // 100:03}/{number:06}.csv" for number in range(objects)]
    spoiled = set(random.Random(bad).sample(keys, bad))
    bodies = {
        key: BAD[number % len(BAD)](number) if key in spoiled else good(number) for number, key in enumerate(keys)
    }
    return bodies, spoiled


class Resident:
    """The resident set of a process, in KiB, looked at until the block ends."""

    def __init__(self, pid: int) -> None:
        self.samples: list[int] = []
        self._statm = Path(f"/proc/{pid}/statm")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        """How much a straight line through the samples rises from the end of the warm-up to the end, in KiB."""
        kept = self.samples[int(len(self.samples) * WARM_UP) :]
        middle, mean = (len(kept) - 1) / 2, sum(kept) / len(kept)
        rise = sum((place - middle) * (size - mean) for place, size in enumerate(kept))
        return rise / sum((place - middle) ** 2 for place in range(len(kept))) * len(kept)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            try:
                pages = self._statm.read_text().split()[1:2]
            except OSError:  # it has ended
                return
            if pages and pages != ["0"]:
                self.samples.append(int(pages[0]) * PAGE_KIB)


def converted_in_one_run(place: Place, objects: int, bad: int) -> Tally:
    """Put the objects, convert their prefix in one invocation, then again, and return what came of it."""
    from tests.real.tally import Tally  # noqa: PLC0415 -- the main module is imported again in every process

    tally = Tally("many objects", ("objects", "bad", "converted", "requests"))
    bodies, spoiled = sources(objects, bad)
    place.put_all(bodies)
    tally.counts.update(objects=objects, bad=bad)
    done, seen = _run(place)
    _require(tally, done, spoiled, converted=objects - bad)
    left = max(1.0, (1 - WARM_UP) * objects)
    tally.counts["KiB resident at most"] = max(seen.samples)
    tally.counts["bytes an object of growth"] = int(seen.growth / left * 1024)
    allowed = GROWTH_KIB + GROWTH_KIB_AN_OBJECT * left
    tally.require(seen.growth <= allowed, f"memory grew by {seen.growth:,.0f} KiB, {allowed:,.0f} are allowed")
    tally.counts["seconds"] = int(done.seconds)
    again, _ = _run(place)
    _require(tally, again, spoiled, converted=0)
    tally.counts["requests of the second run"] = len(again.sent)
    return tally


def _run(place: Place) -> tuple[Done, Resident]:
    from tests.real.function import Fresh, Task  # noqa: PLC0415 -- as above

    process = Fresh(Task(place.environment(max_workers=WORKERS), {}))
    pid = process.process.pid
    assert pid is not None
    with Resident(pid) as seen:
        (done,) = process.wait_all()
    return done, seen


def _require(tally: Tally, done: Done, spoiled: set[str], *, converted: int) -> None:
    """Exactly the bad ones have failed, each with a reason; of the others so many were converted, the rest skipped."""
    answer = done.answer or {"files": {}}
    failed = {key for key, outcome in done.outcomes.items() if outcome == "failed"}
    tally.counts["converted"] += answer["files"].get("converted", 0)
    tally.counts["requests"] += len(done.sent)
    objects = tally.counts["objects"]
    due = {"converted": converted, "failed": len(spoiled), "deferred": 0, "skipped": objects - len(spoiled) - converted}
    tally.require(answer["files"] == due, f"{answer['files']} where {due} were due; {done.error}")
    tally.require(failed == spoiled, f"failed and not bad, or bad and not failed: {sorted(failed ^ spoiled)}")
    tally.require(all(done.reasons[key] for key in failed), "a failure without a reason")


def main() -> int:
    """Run it at a server of its own."""
    from tests.real.place import place  # noqa: PLC0415 -- as above

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--bad", type=int, default=37)
    asked = parser.parse_args()
    with place() as here:
        tally = converted_in_one_run(here, asked.objects, asked.bad)
    print(tally)  # noqa: T201 -- a program for a terminal
    return 0 if tally.is_good else 1


if __name__ == "__main__":
    sys.exit(main())

"""The simulation from the command line.

python -m tests.simulation                  100,000 runs, on JOBS processes; goes on where it was stopped
python -m tests.simulation --seed N         one run again; --trace lists every request and fault of it
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.simulation import faults
from tests.simulation.batch import run_batch
from tests.simulation.invariants import KNOWN_GAPS
from tests.simulation.ledger import Ledger
from tests.simulation.run import EVENTS, run

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

SEEDS_A_BATCH: Final = 50
PROGRESS_SECONDS: Final = 30.0
BROKEN_MAX: Final = 20  # seeds that are broken, and then it ends
REPOSITORY: Final = Path(__file__).parents[2]


def main() -> int:
    """Return the exit status: 1 where an invariant was broken, or something never happened."""
    arguments = _arguments()
    sys.unraisablehook = lambda _: None  # of what killed processes leave, pyarrow complains at the end
    if arguments.seed is not None:
        return _one(arguments.seed, trace=arguments.trace)
    return _many(Ledger(arguments.ledger, arguments.first, arguments.runs), arguments.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run the product in a simulation.")
    parser.add_argument("--runs", type=int, default=100_000, help="how many seeds (100,000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--ledger", type=Path, default=REPOSITORY / ".cache" / "simulation.json", help="what is done")
    parser.add_argument("--seed", type=int, help="one seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: every request and fault")
    return parser.parse_args()


def _one(seed: int, *, trace: bool) -> int:
    ended = run(seed, print if trace else None)
    if ended.broken is not None:
        print(f"seed {seed}: {ended.broken}")
        return 1
    print(f"seed {seed}: every invariant holds; {dict(ended.counts)}, faults {dict(ended.faults)}")
    return 0


def _many(ledger: Ledger, jobs: int) -> int:
    begun = shown = time.monotonic()
    for counts, broken, seeds in _batches(ledger, jobs):
        ledger.add(counts, broken, seeds)
        for seed, message in broken:
            print(f"BROKEN seed {seed}: {message}\n       python -m tests.simulation --seed {seed} --trace", flush=True)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{ledger.done} of {ledger.runs} runs, {shown - begun:.0f} s", flush=True)
        if len(ledger.broken) >= BROKEN_MAX:
            break
    return _reckoning(ledger, time.monotonic() - begun)


def _batches(ledger: Ledger, jobs: int) -> Iterator[tuple[Counter[str], list[tuple[int, str]], list[int]]]:
    waiting = iter(ledger.left())
    batches = iter(lambda: list(islice(waiting, SEEDS_A_BATCH)), [])
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_batch, batches)


def _reckoning(ledger: Ledger, seconds: float) -> int:
    wanted = [*EVENTS, *(f"fault: {kind}" for kind in (*faults.ALL, faults.PAGE_2))]
    print(f"{ledger.done} runs, {seconds:.0f} s, {len(ledger.broken)} broken")
    for name in (*wanted, *sorted(ledger.counts.keys() - set(wanted))):
        print(f"{ledger.counts[name]:12,}  {name}")
    never = [name for name in wanted if not ledger.counts[name]]
    if never:
        print(f"never happened, so nothing is shown of it: {', '.join(never)}")
    for gap in KNOWN_GAPS:
        print(f"{ledger.counts[gap]:12,}  ended in a {gap}; a forced conversion mended each")
    return 1 if ledger.broken or never else 0


if __name__ == "__main__":
    sys.exit(main())

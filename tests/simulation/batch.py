"""Some seeds, run in a process of its own: a module that such a process can import."""

from __future__ import annotations

import sys
from collections import Counter

from tests.simulation.run import run


def run_batch(seeds: list[int]) -> tuple[Counter[str], list[tuple[int, str]], list[int]]:
    """Return what the seeds came to together, those that are broken, and the seeds."""
    sys.unraisablehook = lambda _: None
    counts: Counter[str] = Counter()
    broken = []
    for seed in seeds:
        ended = run(seed)
        counts.update(ended.counts)
        counts.update({f"fault: {kind}": count for kind, count in ended.faults.items()})
        if ended.broken is not None:
            broken.append((seed, str(ended.broken)))
    return counts, broken, seeds

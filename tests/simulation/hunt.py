"""Looks for the first thing that is broken, and says it: python -m tests.simulation.hunt SEEDS SCENARIO...

First every fault at every request of the scenarios, and an overwrite before every one; then so many seeds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from tests.simulation.run import run
from tests.simulation.sites import SCENARIOS, befall, faults_of, overwrite_before, prepared, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TWIN: Final = {"a prefix, in ranges": "twin"}


def broken(seeds: int, names: list[str]) -> Iterator[str]:
    """Yield what is broken."""
    for name in names:
        try:
            yield from _broken(name)
        except AssertionError as error:
            yield f"{name}: {error}"
    for seed in range(seeds):
        ended = run(seed)
        if ended.broken is not None:
            yield f"seed {seed}: {ended.broken}"


def _broken(name: str) -> Iterator[str]:
    """Yield what is broken of one scenario."""
    scenario = SCENARIOS[name]
    begun = prepared(scenario)
    for number in range(requests_of(scenario)):
        try:
            overwrite_before(begun, scenario, number, TWIN.get(name, "plain 5"))
        except AssertionError as error:
            yield f"{name}, overwritten before request {number + 1}: {error}"
    for number, site, kind in faults_of(scenario):
        try:
            befall(begun, scenario, number, site, kind)
        except AssertionError as error:
            yield f"{name}, {kind} at request {number + 1} ({' '.join(site)}): {error}"


if __name__ == "__main__":
    sys.unraisablehook = lambda _: None
    first = next(broken(int(sys.argv[1]), sys.argv[2:]), None)
    print(f"BROKEN {first}" if first else "nothing is broken")
    sys.exit(1 if first else 0)

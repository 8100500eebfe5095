"""The long forms of the checks against real processes and a real S3 server: ``python -m tests.real [NAME ...]``.

Each prints what it counted; the command fails where anything was wrong, and where a fault that is named never came.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.real.place import Place
    from tests.real.tally import Tally

# What the checks need is imported by them: this module is imported again in every process that they start.


def kills(place: Place) -> Iterator[Tally]:
    from tests.real.kills import SCENARIOS, killed  # noqa: PLC0415

    for scenario in SCENARIOS:
        yield killed(place, scenario)


def network(place: Place) -> Iterator[Tally]:
    from tests.real.network import NETWORKS, Conversions  # noqa: PLC0415

    conversions = Conversions(place, 60, rows=6_000)
    for name in NETWORKS:
        yield conversions.over(name)


def contention(_: Place) -> Iterator[Tally]:
    from tests.real.contention import contended  # noqa: PLC0415
    from tests.real.place import place as another  # noqa: PLC0415

    with another() as alone:  # its bucket keeps versions
        yield contended(alone, rounds=10)


def orders(place: Place) -> Iterator[Tally]:
    from tests.real.orders import delivered  # noqa: PLC0415

    yield delivered(place)


def many(place: Place) -> Iterator[Tally]:
    from tests.real.many import converted_in_one_run  # noqa: PLC0415

    yield converted_in_one_run(place, 10_000, 37)


def memory(place: Place) -> Iterator[Tally]:
    from tests.real.memory import large, monsters, within_memory  # noqa: PLC0415

    yield within_memory(place, (large(2048), *monsters(1)))


def deadlines(place: Place) -> Iterator[Tally]:
    from tests.real.deadlines import counted_down, stalled  # noqa: PLC0415

    yield counted_down(place, 160)
    yield stalled(place, 40)


CHECKS: Mapping[str, Callable[[Place], Iterator[Tally]]] = {
    check.__name__: check for check in (kills, network, contention, orders, many, memory, deadlines)
}


def main() -> int:
    """Run the checks that are named, or all, each at an empty server; return 0 if all are good."""
    from tests.real.place import place  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", choices=[*CHECKS, []], metavar="NAME", help=", ".join(CHECKS))
    bad = 0
    for name in parser.parse_args().checks or CHECKS:
        with place() as here:
            for tally in CHECKS[name](here):
                print(tally, flush=True)  # noqa: T201 -- a program for a terminal
                bad += not tally.is_good
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""From a case that differs to the least of it that still does, in a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from csv_transcode.decode.records import Cuts
from fuzz.cases import to_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fuzz.cases import Case

TRIES_MAX = 2000


def smallest(case: Case, differs: Callable[[Case], bool]) -> Case:
    """Return the case with as few units as still differ, stored as plainly as possible."""
    tries = 0
    found = True
    while found:
        found = False
        for simpler in _simpler(case):
            tries += 1
            if tries > TRIES_MAX:
                return case
            if simpler.is_certain() and differs(simpler):
                case, found = simpler, True
                break
    return case


def _simpler(case: Case) -> Iterator[Case]:
    """Yield cases of less: half of the units first, then single ones."""
    stored = case.stored
    plain = replace(stored, encoding="utf-8", given="utf-8", mark=False, compression=None)
    for other in (plain, replace(stored, compression=None)):
        if other != stored:
            yield replace(case, stored=other)
    if case.cuts != Cuts():
        yield replace(case, cuts=Cuts())
    size = len(case.units)
    step = size // 2
    while step:
        for start in range(0, size, step):
            yield case.without(range(start, min(start + step, size)))
        step //= 2


def write_reproducer(path: Path, case: Case, difference: str, origin: str) -> None:
    """Write what is needed to convert the case by hand, and what was wrong with it."""
    described = {"origin": origin, "difference": difference} | to_report(case)
    path.write_text(json.dumps(described, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")

"""``python -m fuzz faults``: generated cases through the whole conversion, cell by cell and reject by reject."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from csv_transcode.pipeline import Pools
from fuzz import generate, judge, shrink
from fuzz.branches import REQUIRED, Branches
from fuzz.cases import BLANK, GOOD
from fuzz.faults import FAULTS, OTHER_FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fuzz.cases import Case

TRACED_EVERY: Final = 10  # cases; tracing is slow
TOLD_SECONDS: Final = 20.0
DIFFERENCES_MAX: Final = 3  # are written to files, then it ends
TALLIES: Final = ("faults", "dialects", "line ends", "encodings", "compressions", "settings", "column types")


@dataclass
class Counts:
    """What a run has done. ``tallies`` count cases (faults: records) by what they have."""

    seed: int
    inputs: int = 0
    cells: int = 0
    records: int = 0
    rejected: int = 0
    source_bytes: int = 0
    differences: list[str] = field(default_factory=list)
    tallies: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in TALLIES})
    branches: Branches = field(default_factory=Branches)

    def add(self, case: Case) -> None:
        """Count a case."""
        rows, rejects = judge.expected(case)
        self.inputs += 1
        self.cells += len(rows) * len(case.names)
        self.records += len(rows) + len(rejects)
        self.rejected += len(rejects)
        self.source_bytes += len(case.text)
        tallies, spelling, stored = self.tallies, case.spelling, case.stored
        tallies["faults"].update(unit.kind for unit in (*case.header, *case.units) if unit.kind not in _NO_FAULTS)
        tallies["dialects"][spelling.name] += 1
        tallies["line ends"][spelling.line_ends_name] += 1
        tallies["encodings"][stored.name] += 1
        tallies["compressions"][stored.compression or "none"] += 1
        tallies["settings"].update(list(case.settings))
        tallies["column types"].update(case.kinds)

    def zeros(self) -> list[str]:
        """Return what should have been met in a long run, and was not."""
        known = {
            "faults": (*FAULTS, *OTHER_FAULTS),
            "line ends": ("LF", "CR LF", "CR", "mixed"),
            "compressions": [name or "none" for name in generate.COMPRESSIONS],
            "settings": ("header", "decimal_separator", "column_types", "max_record_bytes"),
            "column types": generate.KINDS,
        }
        zeros = [f"{kind}: {name}" for kind, names in known.items() for name in names if not self.tallies[kind][name]]
        told = " ".join((*self.tallies["dialects"], *self.tallies["encodings"]))
        encodings = ("utf-8 with mark", "utf-8 (detected)", *generate.WIDE, *generate.LEGACY)
        zeros += [f"encodings: {name}" for name in encodings if name not in told]
        zeros += [f"delimiter {char!r}" for char in generate.DELIMITERS if f"{char!r} quote" not in told]
        quotings = ("none", '" doubled', '" escaped', "' doubled", "' escaped", "` doubled", "(detected)")
        zeros += [f"quoting {name}" for name in quotings if name not in told]
        reached = self.branches.counts()
        return zeros + [f"branches in {name}.py" for name in REQUIRED if not reached[name]]

    def lines(self) -> list[str]:
        """Return the counts as they are printed."""
        read = f"{self.inputs:,} inputs, {self.source_bytes:,} bytes, {self.records:,} records"
        found = f"{self.rejected:,} rejected, {self.cells:,} cells, {len(self.differences)} differences"
        told = [f"seed {self.seed}: {read}, {found}"]
        told += [f"{kind} ({len(tally)}): {_listed(tally)}" for kind, tally in self.tallies.items()]
        reached = self.branches.counts()
        told.append(f"branches reached in decode/ ({sum(reached.values()):,}): {_listed(reached)}")
        unreached = {name: lines for name, lines in self.branches.unreached().items() if lines}
        told.append(f"lines not reached: {'; '.join(f'{name} {lines}' for name, lines in unreached.items()) or 'none'}")
        return told


_NO_FAULTS: Final = (GOOD, BLANK, "header")


def _listed(tally: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(tally.items()))


def run(seed: int, cells: int, folder: Path, tell: Callable[[str], None], *, small: bool = False) -> Counts:
    """Convert cases until they hold so many cells, or too much differs; reproducers go into ``folder``."""
    counts = Counts(seed)
    told = time.monotonic()
    with ThreadPoolExecutor(1) as decode, ThreadPoolExecutor(1) as encode:
        threads = Pools(decode, encode, 3)
        while counts.cells < cells and len(counts.differences) < DIFFERENCES_MAX:
            case = generate.case(Random(f"{seed}/{counts.inputs}"), small=small)
            difference = _difference(case, threads, counts)
            counts.add(case)
            if difference:
                path = folder / f"difference-{seed}-{counts.inputs - 1}.json"
                _reproduce(case, path, f"seed {seed}, input {counts.inputs - 1}")
                counts.differences.append(f"{path}: {difference[:500]}")
                tell(counts.differences[-1])
            if time.monotonic() > told + TOLD_SECONDS:
                told = time.monotonic()
                tell(f"{counts.inputs:,} inputs, {counts.cells:,} cells, {len(counts.differences)} differences")
    return counts


def _difference(case: Case, threads: Pools, counts: Counts) -> str:
    """Return what is wrong with what the product makes of the case; nothing, as a rule."""
    if counts.inputs % TRACED_EVERY:
        return difference(case, threads)
    with counts.branches.traced():
        return difference(case)


def difference(case: Case, pools: Pools = judge.INLINE) -> str:
    """Return what is wrong with what the product makes of the case, an exception that it must not raise included."""
    try:
        judge.check(case, pools)
    except judge.DifferenceError as found:
        return str(found)
    except Exception as crash:  # noqa: BLE001 -- that is what is looked for
        return f"crash: {crash!r}"
    return ""


def _reproduce(case: Case, path: Path, origin: str) -> None:
    kind = difference(case)[:8]
    least = shrink.smallest(case, lambda one: difference(one)[:8] == kind and bool(kind))
    shrink.write_reproducer(path, least, difference(least), origin)

"""A few seconds of ``python -m fuzz faults``, the checks' own eyes, and what long runs have found."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from fuzz import generate, judge, run_faults, shrink
from fuzz.cases import GOOD, Case, Cell, Piece, Spelling, Stored, Unit
from fuzz.judge import DifferenceError
from fuzz.run_faults import Counts

if TYPE_CHECKING:
    from pathlib import Path

CELLS = 12_000  # enough to meet everything that is counted
FEW_CELLS = 2_000
SEED = 20_261_123


def case(text: str, rows: list[tuple[str, ...]], names: tuple[str, ...] = ("a", "b")) -> Case:
    """Return a case of comma, LF and no quotes, of which ``rows`` are said to be all."""
    header = Unit("header", (Piece(text.encode().partition(b"\n")[0] + b"\n"),))
    lines = text.encode().splitlines(keepends=True)[1:]
    units = [
        Unit(GOOD, (Piece(line, tuple(Cell(value, quoted=False) for value in row)),))
        for line, row in zip(lines, rows, strict=True)
    ]
    return Case(Spelling(), Stored(given="utf-8"), names, ("text",) * len(names), (header,), tuple(units))


def test_every_good_record_arrives_and_just_the_faulty_ones_are_rejected(tmp_path: Path) -> None:
    done = run_faults.run(SEED, FEW_CELLS, tmp_path, lambda _: None, small=True)
    assert done.differences == []
    assert done.cells >= FEW_CELLS


@pytest.mark.long
def test_a_longer_run_meets_everything_that_is_counted(tmp_path: Path) -> None:
    done = run_faults.run(SEED, CELLS, tmp_path, lambda _: None, small=True)
    assert done.differences == []
    assert done.cells >= CELLS
    few = [zero for zero in done.zeros() if zero.startswith(("faults", "branches", "line ends", "column types"))]
    assert few == []


def test_a_run_that_has_met_nothing_says_so() -> None:
    zeros = Counts(1).zeros()
    assert "faults: unclosed quote" in zeros
    assert "branches in walk.py" in zeros
    assert "compressions: several gzip" in zeros


@pytest.mark.parametrize("number", range(30))
def test_the_same_seed_makes_the_same_case(number: int) -> None:
    one, other = (generate.case(Random(f"{SEED}/{number}")) for _ in range(2))
    assert one == other
    assert one.is_certain()


@pytest.mark.parametrize(
    ("text", "rows", "words"),
    [
        ("a,b\nx,y\n", [("x", "z")], "expected 'z'"),
        ("a,b\nx,y\n1,\n", [("x", "y"), ("1", " ")], "found None, expected ' '"),
        ("a,c\nx,y\n", [("x", "y")], "names"),
        ("a,b\nx,y\nz\n", [("x", "y"), ("z", "")], "rejects: found"),
    ],
)
def test_a_difference_is_seen(text: str, rows: list[tuple[str, ...]], words: str) -> None:
    with pytest.raises(DifferenceError, match=words):
        judge.check(case(text, rows))


def test_a_reject_that_is_missing_or_elsewhere_is_seen() -> None:
    good = case("a,b\nx,y\nz,z\n", [("x", "y"), ("z", "z")])
    faulty = Unit("too few fields", (Piece(b"z\n", reason="field_count"),))
    judge.check(replace(good, units=(*good.units, faulty)))
    for wrong in (
        replace(faulty, pieces=(Piece(b"z\n", reason="quote"),)),
        replace(faulty, pieces=(Piece(b"z,z\n", reason="field_count"),)),
        replace(faulty, pieces=(Piece(b"z\nz\n", reason="field_count"),)),
    ):
        with pytest.raises(DifferenceError, match=r"reject|rows"):
            judge.check(replace(good, units=(*good.units, wrong)))


def test_what_differs_is_made_small() -> None:
    bad = Unit("bad", (Piece(b"z\n", reason="quote"),))
    long = replace(generate.case(Random(f"{SEED}/1")), settings={})
    many = case("a,b\n" + "x,y\n" * 40, [("x", "y")] * 40)
    many = replace(many, units=(*many.units[:17], bad, *many.units[17:]), stored=replace(long.stored, given="utf-8"))
    least = shrink.smallest(
        replace(many, stored=Stored("utf-16-le", "utf-16-le", mark=True, compression="gzip")),
        lambda one: bool(run_faults.difference(one)),
    )
    assert [unit.kind for unit in least.units].count(GOOD) == 2
    assert (least.stored.encoding, least.stored.compression) == ("utf-8", None)

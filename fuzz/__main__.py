"""``python -m fuzz``: generated files with known faults, coverage-guided fuzzing, and time at n, 2n, 4n bytes."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz import coverage, linear, run_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

tell = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what ``arguments`` name; return 0 where nothing was wrong."""
    options = _parser().parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.run == "faults":
        return _faults(options.seed, options.cells, options.folder)
    if options.run == "coverage":
        return coverage.run(options.minutes, options.seed, options.folder, tell)
    return linear.run(options.bytes, tell)


def _faults(seed: int, cells: int, folder: Path) -> int:
    counts = run_faults.run(seed, cells, folder, tell)
    print(*counts.lines(), sep="\n", flush=True)
    zeros = counts.zeros()
    if zeros:
        print(f"NEVER MET: {', '.join(zeros)}", flush=True)
    for difference in counts.differences:
        print(f"DIFFERENCE {difference}", flush=True)
    return 1 if zeros or counts.differences else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/fuzz"), help="for inputs that something is wrong with"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs")
    runs = parser.add_subparsers(dest="run", required=True)
    faults = runs.add_parser("faults", help="generated files, every record of which is known beforehand")
    faults.add_argument("--cells", type=int, default=1_000_000, help="of good records")
    covered = runs.add_parser("coverage", help="coverage-guided fuzzing with atheris")
    covered.add_argument("--minutes", type=float, default=30.0, help="for all targets together")
    timed = runs.add_parser("linear", help="CPU time at n, 2n and 4n bytes of adversarial input")
    timed.add_argument("--bytes", type=int, default=linear.BYTES, help="n")
    return parser


if __name__ == "__main__":
    sys.exit(main())

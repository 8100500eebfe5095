"""A cold start: import and convert one object of 1 KB in a fresh process, beside the seed design doing the same."""

from __future__ import annotations

import compileall
from pathlib import Path
from typing import Final

from benchmarks import datasets, measure
from benchmarks.conversion import Case
from benchmarks.servers import store

ROUNDS: Final = 10
RATIO_MAX: Final = 0.6
ENGINES: Final = ("ours", "seed")


def compare(rounds: int = ROUNDS) -> None:
    """Print the seconds of a cold start, this program's and the seed design's, and their ratio.

    Two figures each: from the first import to both outputs written, and the whole process, interpreter included.
    """
    _compile()
    with store() as s3:
        case = Case(s3, datasets.tiny_object())
        for engine in ENGINES:
            case.run(engine)  # not counted: leaves files in the cache of the system, and byte code
        samples = measure.alternate(ENGINES, rounds, case.run)
    values = {
        "import and convert": lambda run: run.import_seconds + run.seconds,
        "import only": lambda run: run.import_seconds,
        "whole process": lambda run: run.process_seconds,
    }
    rows = []
    for name, value in values.items():
        ours, seed = (measure.Spread.of(map(value, samples[engine])) for engine in ENGINES)
        rows.append([name, ours.text(), seed.text(), f"{ours.middle / seed.middle:.2f}"])
    print(f"\nCold start with one object of 1 KB, {rounds} rounds; at most {RATIO_MAX} wanted of 'import and convert'")
    print(measure.table(["seconds (min-max)", *ENGINES, "ratio of medians"], rows))


def _compile() -> None:
    """Compile the package, as a Lambda package is: an environment may keep Python from leaving byte code behind."""
    root = Path(__file__).parent.parent
    compileall.compile_dir(root / "csv_transcode", quiet=1)
    for name in ("lambda_handler.py", "s3_data_processor.py"):
        compileall.compile_file(root / name, quiet=1)

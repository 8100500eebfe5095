"""A cold start: import and convert one object of 1 KB, beside the seed design doing the same.

Twice: in a fresh process, and under AWS's own runtime client behind its Runtime Interface Emulator, where a cold start
is what the sender of the first event waits for: interpreter, runtime client, imports, conversion, answer.
"""

from __future__ import annotations

import compileall
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from benchmarks import datasets, measure
from benchmarks.conversion import Case
from benchmarks.engines import Job, notification
from benchmarks.readback import Judge
from benchmarks.servers import INPUT_BUCKET, OUTPUT_BUCKET, store
from infra.package.emulator import developers_runtime, emulated

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Measured
    from benchmarks.servers import Store

ROUNDS: Final = 10
RATIO_MAX: Final = 0.55
ENGINES: Final = ("ours", "seed")
EMPTY: Final = "empty"
HANDLERS: Final = {
    "ours": "lambda_handler.lambda_handler",
    "seed": "benchmarks.seed_function.handler",
    EMPTY: "benchmarks.empty_function.handler",
}
KEYS: Final = ("cold.csv", "warm.csv")


@dataclass(frozen=True)
class Answered:
    """Seconds until the first event was answered by a process that did not exist before, and the second."""

    cold: float
    warm: float


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
    values: dict[str, Callable[[measure.Sample], float]] = {
        "import and convert": lambda run: run.import_seconds + run.seconds,
        "import only": lambda run: run.import_seconds,
        "whole process": lambda run: run.process_seconds,
        "whole process, CPU": lambda run: run.process_cpu_seconds,
    }
    print(f"\nCold start with one object of 1 KB, {rounds} rounds; at most {RATIO_MAX} wanted of 'import and convert'")
    print(_table(values, samples))
    compare_emulated(rounds)


def measured(rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the seconds of cold starts, by round: in a fresh process, and behind the Runtime Interface Emulator."""
    _compile()
    with store() as s3:
        case = Case(s3, datasets.tiny_object())
        functions = _Functions(s3, datasets.tiny_object())
        for engine in ENGINES:
            case.run(engine)  # not counted, as below
            functions.run(engine)
        processes = measure.alternate(ENGINES, rounds, case.run)
        answers = measure.alternate(ENGINES, rounds, functions.run)
    values: dict[str, dict[str, list[float]]] = {
        "import and convert 1 KB": {
            engine: [run.import_seconds + run.seconds for run in runs] for engine, runs in processes.items()
        },
        "whole process, interpreter included": {
            engine: [run.process_seconds for run in runs] for engine, runs in processes.items()
        },
        "behind the Runtime Interface Emulator, first event": {
            engine: [run.cold for run in runs] for engine, runs in answers.items()
        },
        "the same, second event": {engine: [run.warm for run in runs] for engine, runs in answers.items()},
    }
    return {"rows": [{"what": what} | runs for what, runs in values.items()]}


def compare_emulated(rounds: int = ROUNDS) -> None:
    """Print the seconds until AWS's runtime client has answered the first event and the second, and their ratios."""
    with store() as s3:
        functions = _Functions(s3, datasets.tiny_object())
        for engine in HANDLERS:
            functions.run(engine)  # not counted, as above
        samples = measure.alternate([*HANDLERS], rounds, functions.run)
    floor = measure.Spread.of(run.cold for run in samples[EMPTY])
    values: dict[str, Callable[[Answered], float]] = {
        "cold start": lambda run: run.cold,
        "beyond an empty function": lambda run: run.cold - floor.middle,
        "second event": lambda run: run.warm,
    }
    print(f"\nThe same behind AWS's Runtime Interface Emulator, {rounds} rounds")
    print(_table(values, samples))
    print(f"An empty function's cold start takes {floor.text()}: interpreter, runtime client and emulator are in both")


class _Functions:
    """Both programs as Lambda functions, over two objects; their outputs are compared with the source."""

    def __init__(self, s3: Store, source: Path) -> None:
        self._s3 = s3
        self._judge = Judge(source)
        size = str(source.stat().st_size)
        self._events = [
            notification(Job(INPUT_BUCKET, key, size, s3.upload(source, key), OUTPUT_BUCKET, "processed/"))
            for key in KEYS
        ]

    def run(self, engine: str) -> Answered:
        """Start a function, and send it both events."""
        self._s3.wipe()
        environment = {name: value for name, value in self._s3.environment.items() if name.startswith("AWS_")}
        environment |= {"INPUT_BUCKET": INPUT_BUCKET, "OUTPUT_BUCKET": OUTPUT_BUCKET}
        with emulated(developers_runtime(HANDLERS[engine], measure.ROOT), measure.ROOT, environment) as function:
            answers = [function.invoke(event) for event in self._events]
        for answer in answers:
            if answer.error or answer.body["files"]["converted"] != 1:
                message = f"{engine} answered {answer.body}"
                raise measure.EngineError(message)
        if engine != EMPTY:
            self._compare()
        return Answered(*(answer.seconds for answer in answers))

    def _compare(self) -> None:
        with TemporaryDirectory(prefix="benchmark-outputs-") as directory:
            for stem, form in ((key.removesuffix(".csv"), form) for key in KEYS for form in ("parquet", "avro")):
                output = Path(directory) / f"{stem}.{form}"
                self._s3.download(f"processed/{output.name}", output)
                self._judge.compare(output, form)


def _table(values: dict[str, Callable[[Measured], float]], samples: dict[str, list[Measured]]) -> str:
    rows = []
    for name, value in values.items():
        ours, seed = (measure.Spread.of(map(value, samples[engine])) for engine in ENGINES)
        rows.append([name, ours.text(), seed.text(), f"{ours.middle / seed.middle:.2f}"])
    return measure.table(["seconds (min-max)", *ENGINES, "ratio of medians"], rows)


def _compile() -> None:
    """Compile the package, as a Lambda package is: an environment may keep Python from leaving byte code behind."""
    root = Path(__file__).parent.parent
    compileall.compile_dir(root / "csv_transcode", quiet=1)
    for name in ("lambda_handler.py", "s3_data_processor.py"):
        compileall.compile_file(root / name, quiet=1)

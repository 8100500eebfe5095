"""The Avro encoder alone, from memory to memory in one thread, beside fastavro and Polars.

TPC-H lineitem as typed Arrow, codec null, in batches as large as the pipeline's. The peers' tables and frames are made
before the clock starts; ours works from Arrow, as it does in the pipeline. What ours and Polars wrote is read back by
fastavro, and every row compared, before any time is printed. Every engine writes to a file in memory that has grown
to its size already: a new one's page faults would be a third of the time of the fast ones, and are nobody's encoder.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa

from benchmarks import datasets, measure
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.measure import Spread

SCALE: Final = 0.1
BATCH_ROWS: Final = 35_000  # about what one stripe of the pipeline holds of this table
ROUNDS: Final = 15
SLOW_ROUNDS: Final = 5  # of those that take seconds
CODEC: Final = "null"

OURS: Final = "ours"
POLARS: Final = "Polars"
FASTAVRO: Final = "fastavro over to_dict"
FASTAVRO_ALONE: Final = "fastavro, dictionaries given"
WANTED: Final[Mapping[str, float | None]] = {FASTAVRO: 60.0, FASTAVRO_ALONE: None, POLARS: 0.9}

_BARE_TYPES: Final[Mapping[pa.DataType, str]] = {pa.int64(): "long", pa.float64(): "double", pa.string(): "string"}


@dataclass(frozen=True)
class Engine:
    """A writer: ``write`` writes the Avro file of ``table``, which it holds in the form that it likes best."""

    name: str
    table: pa.Table
    write: Callable[[BytesIO], object]
    rounds: int
    file: BytesIO = field(default_factory=BytesIO)

    def run(self) -> None:
        """Write the file again, over the one before."""
        self.file.seek(0)
        self.write(self.file)


@dataclass(frozen=True)
class Times:
    """One run, in seconds of the clock and of the processor."""

    wall: float
    cpu: float


def measured(slow_rounds: int) -> dict[str, Any]:
    """Return what each engine takes, by round, from a process of its own: what it holds is not for others to carry.

    Of those that take seconds a round there are ``slow_rounds``, and not all variants.
    """
    command = [sys.executable, "-m", "benchmarks.avro_encoder", str(slow_rounds)]
    done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main(slow_rounds: int | None = None) -> None:
    """Read back what every engine writes; then print what each takes, and how many times as fast ours is.

    As JSON where the ``slow_rounds`` are given.
    """
    pa.set_cpu_count(1)
    os.environ["POLARS_MAX_THREADS"] = "1"  # read when Polars is imported
    table = datasets.lineitem_table(SCALE).combine_chunks()
    engines = [_ours(table), _polars(table), *_fastavro(table, slow_rounds or SLOW_ROUNDS)]
    if slow_rounds:
        engines = [engine for engine in engines if engine.name != FASTAVRO_ALONE]
    for engine in engines[:2]:  # fastavro is the judge
        _check(engine)
    samples = _alternate(engines)
    if slow_rounds:
        print(json.dumps(_described(samples)))
        return
    print(measure.machine())
    print(f"\nAvro encoder alone: lineitem, {table.num_rows} records, codec {CODEC}, one thread, all rows read back")
    print(_times(samples, table.num_rows))
    print(_ratios(samples))


def _ours(table: pa.Table) -> Engine:
    batches = table.to_batches(max_chunksize=BATCH_ROWS)

    def write(file: BytesIO) -> None:
        encoder = AvroEncoder.plan(table.schema, CODEC)
        container = AvroContainer(encoder, file.write)
        for batch in batches:
            container.append(encoder.encode(batch))
        container.close()

    return Engine(OURS, table, write, ROUNDS)


def _polars(table: pa.Table) -> Engine:
    import polars as pl  # noqa: PLC0415  # only now that its number of threads is said

    frame = pl.DataFrame(table)

    return Engine(POLARS, table, lambda file: frame.write_avro(file, compression="uncompressed"), ROUNDS)


def _fastavro(table: pa.Table, rounds: int) -> tuple[Engine, Engine]:
    """Return fastavro at its best: no unions, and dates as ``pandas.read_csv`` leaves them, text.

    Of the two, the second is given the dictionaries, which nobody has; what making them takes is the difference.
    """
    types = [pa.string() if pa.types.is_date(column.type) else column.type for column in table.schema]
    plain = table.cast(pa.schema(list(zip(table.schema.names, types, strict=True))))
    fields = [{"name": column.name, "type": _BARE_TYPES[column.type]} for column in plain.schema]
    schema = fastavro.parse_schema({"type": "record", "name": "Record", "fields": fields})
    frame = plain.to_pandas()

    records = frame.to_dict("records")

    def write(file: BytesIO, records: list[Any] | None = None) -> None:
        fastavro.writer(file, schema, records or frame.to_dict("records"), codec=CODEC)

    return (
        Engine(FASTAVRO, plain, write, rounds),
        Engine(FASTAVRO_ALONE, plain, lambda file: write(file, records), rounds),
    )


def _check(engine: Engine) -> None:
    """EngineError where fastavro does not find exactly the rows of the table; also warms the engine up."""
    engine.run()
    records = fastavro.reader(BytesIO(engine.file.getvalue()))
    rows = 0
    for batch in engine.table.to_batches(max_chunksize=BATCH_ROWS):
        if list(islice(records, batch.num_rows)) != batch.to_pylist():
            message = f"{engine.name}: records {rows} to {rows + batch.num_rows} are not those of the table"
            raise measure.EngineError(message)
        rows += batch.num_rows
    if next(records, None) is not None:
        message = f"{engine.name}: more records than the table's {rows}"
        raise measure.EngineError(message)


def _alternate(engines: Sequence[Engine]) -> dict[str, list[Times]]:
    """Return the times of every engine, by round; each round begins with another engine."""
    samples: dict[str, list[Times]] = {engine.name: [] for engine in engines}
    for number in range(ROUNDS):
        taking_part = [engine for engine in engines if number < engine.rounds]
        first = number % len(taking_part)
        for engine in (*taking_part[first:], *taking_part[:first]):
            samples[engine.name].append(_timed(engine.run))
    return samples


def _timed(run: Callable[[], object]) -> Times:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def _described(samples: Mapping[str, Sequence[Times]]) -> dict[str, Any]:
    names = {OURS: "ours", POLARS: "polars", FASTAVRO: "fastavro"}
    return {
        "data": f"lineitem, scale {SCALE:g}, codec {CODEC}, one thread",
        "megabytes": datasets.lineitem(SCALE).stat().st_size / measure.MB,
        "samples": {
            short: [{"seconds": run.wall, "cpu_seconds": run.cpu} for run in samples[name]]
            for name, short in names.items()
        },
    }


def _times(samples: Mapping[str, Sequence[Times]], records: int) -> str:
    rows = []
    for name, runs in samples.items():
        wall, cpu = _spread(run.wall for run in runs), _spread(run.cpu for run in runs)
        rows.append([name, str(len(runs)), wall.text(3), cpu.text(3), f"{records / cpu.middle / 1e6:.2f}"])
    return measure.table(["median (min-max)", "rounds", "seconds", "CPU seconds", "million records a CPU second"], rows)


def _ratios(samples: Mapping[str, Sequence[Times]]) -> str:
    """Return how many times as fast ours is as each peer, in the rounds that both took part in."""
    rows = []
    for name, wanted in WANTED.items():
        pairs = list(zip(samples[name], samples[OURS], strict=False))  # a slow peer ends earlier
        wall, cpu = _spread(peer.wall / ours.wall for peer, ours in pairs), _spread(p.cpu / o.cpu for p, o in pairs)
        rows.append([name, wall.text(), cpu.text(), f"at least {wanted:g}" if wanted else ""])
    return measure.table(["times as fast as", "by the clock", "by CPU seconds", "wanted"], rows)


def _spread(values: Iterable[float]) -> Spread:
    return measure.Spread.of(values)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

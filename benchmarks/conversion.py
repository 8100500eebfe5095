"""One large CSV object from and to a real S3 server: this program beside its peers, and its memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks import datasets, measure
from benchmarks.readback import Judge
from benchmarks.servers import INPUT_BUCKET, OUTPUT_BUCKET, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.measure import Sample
    from benchmarks.servers import Store

SCALE: Final = 0.3
GROWTH: Final = 8
ROUNDS: Final = 3
OURS: Final = "ours"
PEERS: Final = ("polars", "polars_text", "duckdb", "seed")

SEED_RATIO_MIN: Final = 10.0
POLARS_RATIO_MIN: Final = 1.0
PEAK_MB_MAX: Final = 450
PEAK_GROWTH_MAX: Final = 1.1


def compare(scale: float = SCALE, rounds: int = ROUNDS, engines: Sequence[str] = (OURS, *PEERS)) -> None:
    """Print what each engine takes for lineitem of ``scale``, and how many times as fast as its peers ours is."""
    source = datasets.lineitem(scale)
    with store() as s3:
        samples = measure.alternate(engines, rounds, Case(s3, source).run)
    print(f"\nConversion of {source.name}, {_megabytes(source):.0f} MB, {rounds} rounds, outputs read back")
    print(_times(samples, _megabytes(source)))
    for line in _ratios(samples):
        print(line)


def memory(scale: float = SCALE, rounds: int = ROUNDS) -> None:
    """Print this program's peak memory for lineitem of ``scale`` and for a file about eight times as large."""
    sources = {f"{each:g}": datasets.lineitem(each) for each in (scale, GROWTH * scale)}
    with store() as s3:
        cases = {name: Case(s3, source) for name, source in sources.items()}
        samples = measure.alternate(list(cases), rounds, lambda name: cases[name].run(OURS))
    print(f"\nPeak memory, {rounds} rounds, outputs read back; at most {PEAK_MB_MAX} MB wanted")
    for name, runs in samples.items():
        peak = measure.Spread.of(run.peak_bytes / measure.MB for run in runs)
        print(f"{_megabytes(sources[name]):.0f} MB of CSV: {peak.text(0)} MB")
    small, large = samples
    growth = measure.ratios(samples[large], samples[small], lambda run: run.peak_bytes)
    factor = _megabytes(sources[large]) / _megabytes(sources[small])  # as it is, not as it was asked for
    print(f"{factor:.2f} times the file: {growth.text()} times the memory, at most {PEAK_GROWTH_MAX} wanted")


class Case:
    """One source in the store, converted by any engine, its outputs compared with it before anybody sees a time."""

    def __init__(self, s3: Store, source: Path, stored: Path | None = None) -> None:
        """Upload ``source``, or what is ``stored`` in its place: the same, compressed."""
        self._s3 = s3
        self._judge = Judge(source)
        stored = stored or source
        self._key = stored.name
        self._source = [INPUT_BUCKET, self._key, str(stored.stat().st_size), s3.upload(stored, self._key)]

    @property
    def records(self) -> int:
        """The number of the source's records."""
        return self._judge.records

    def run(self, engine: str) -> Sample:
        """Return what one conversion by ``engine`` takes; Disagreement where its outputs are not the source."""
        self._s3.wipe()
        sample = measure.run_engine(self._arguments(engine), self._s3.environment)
        for form, output in self._outputs(engine):
            self._judge.compare(output, form)
        return sample

    def measured(
        self, engine: str, environment: Mapping[str, str], memory_bytes_max: int | None
    ) -> dict[str, float | None]:
        """Return the same as a mapping, with the server's CPU seconds and whether every cell is the source's.

        Disagreement where not even counts and sums are.
        """
        self._s3.wipe()
        before = self._s3.cpu_seconds()
        sample = measure.run_engine(self._arguments(engine), {**self._s3.environment, **environment}, memory_bytes_max)
        spent = self._s3.cpu_seconds() - before
        exact = [self._judge.is_exact(output, form) for form, output in self._outputs(engine)]
        return vars(sample) | {"server_cpu_seconds": spent, "exact": all(exact)}

    def _arguments(self, engine: str) -> list[str]:
        return [engine, *self._source, OUTPUT_BUCKET, f"{engine}/"]

    def _outputs(self, engine: str) -> Iterator[tuple[str, Path]]:
        with TemporaryDirectory(prefix="benchmark-outputs-") as directory:
            for form in ("parquet", "avro"):
                output = Path(directory) / form
                self._s3.download(f"{engine}/{self._key.removesuffix('.csv')}.{form}", output)
                yield form, output


def _megabytes(source: Path) -> float:
    return source.stat().st_size / measure.MB


def _times(samples: dict[str, list[Sample]], source_mb: float) -> str:
    rows = []
    for name, runs in samples.items():
        seconds = measure.Spread.of(run.seconds for run in runs)
        cpu = measure.Spread.of(run.cpu_seconds for run in runs)
        peak = measure.Spread.of(run.peak_bytes / measure.MB for run in runs)
        rows.append([name, seconds.text(), cpu.text(), f"{source_mb / seconds.middle:.0f}", peak.text(0)])
    return measure.table(["engine", "seconds (min-max)", "CPU seconds", "MB/s", "peak MB"], rows)


def _ratios(samples: dict[str, list[Sample]]) -> Iterable[str]:
    """Say how many times as fast as each peer this program is, by pairs within a round."""
    if OURS not in samples:
        return
    targets = {"seed": SEED_RATIO_MIN, "polars": POLARS_RATIO_MIN, "polars_text": POLARS_RATIO_MIN}
    for peer, runs in samples.items():
        if peer != OURS:
            ratio = measure.ratios(runs, samples[OURS], lambda run: run.seconds)
            cpu = measure.ratios(runs, samples[OURS], lambda run: run.cpu_seconds)
            target = f", at least {targets[peer]:g} wanted" if peer in targets else ""
            yield f"{ratio.text()} times as fast as {peer}{target}; its CPU seconds are {cpu.text()} times ours"

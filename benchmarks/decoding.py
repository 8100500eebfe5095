"""Decoding alone, bytes to typed batches, two threads, beside Polars' ``read_csv`` with dates, two threads.

``python -m benchmarks.decoding ENGINE`` runs one, in a process of its own, over lineitem in memory, and prints seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from benchmarks import datasets, measure

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE: Final = 0.3
THREADS: Final = 2
CHUNK_BYTES: Final = 1 << 20


def measured(rounds: int) -> dict[str, Any]:
    """Return the seconds of each engine, by round."""
    samples = measure.alternate([*ENGINES], rounds, _run)
    return {"data": f"lineitem, scale {SCALE:g}, from memory", "threads": THREADS, "samples": samples}


def _run(engine: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.decoding", engine]
    done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _ours() -> Callable[[bytes], int]:
    """Return the product's pipeline without an output: cut, parse, observe, cast; the batches are counted."""
    from csv_transcode.formats.memory import use_lean_allocators  # noqa: PLC0415
    from csv_transcode.pipeline import REJECTS, Plan, Pools, transcode  # noqa: PLC0415

    class Nowhere:
        """A target for the rejects, of which there are none."""

        def write(self, _: object) -> None:
            """Take nothing."""

        def finish(self) -> None:
            """Do nothing."""

        def abort(self) -> None:
            """Do nothing."""

    use_lean_allocators()

    def decode(source: bytes) -> int:
        chunks = [source[start : start + CHUNK_BYTES] for start in range(0, len(source), CHUNK_BYTES)]
        with ThreadPoolExecutor(THREADS) as pool:
            pools = Pools(pool, pool, THREADS + 1)
            done = transcode(lambda: chunks, lambda: {REJECTS: Nowhere()}, Plan(formats=()), pools)
        return done.written if done else 0

    return decode


def _polars() -> Callable[[bytes], int]:
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when Polars is imported
    import polars as pl  # noqa: PLC0415

    return lambda source: pl.read_csv(source, try_parse_dates=True).height


ENGINES: Final = {"ours": _ours, "polars": _polars}


def main(engine: str) -> None:
    """Decode, and print what it took; once before that, for memory that is asked for the first time."""
    decode = ENGINES[engine]()
    source = datasets.lineitem(SCALE).read_bytes()
    records = decode(source)
    wall, cpu = time.perf_counter(), time.process_time()
    again = decode(source)
    told = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    if not records == again == source.count(b"\n") - 1:
        raise measure.EngineError(engine)
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])

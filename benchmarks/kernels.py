"""What a conversion cannot do without: cut, parse, observe, cast, Avro and Parquet, from memory, in one thread.

``python -m benchmarks.kernels`` prints the CPU seconds of each, as JSON. The same functions of the product are called
as in its pipeline, one after the other, for a stripe at a time; outputs are counted and thrown away.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks import datasets, measure
from csv_transcode.decode.evidence import ColumnEvidence
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading, read_head
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.formats.avro.container import AvroContainer, AvroEncoder
from csv_transcode.formats.memory import use_lean_allocators
from csv_transcode.formats.parquet import ParquetEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALE: Final = 0.3
CHUNK_BYTES: Final = 1 << 20
CODEC: Final = "snappy"


def measured(rounds: int) -> dict[str, Any]:
    """Return the CPU seconds of each kernel, medians of ``rounds`` runs in a process of their own."""
    runs = [json.loads(_run()) for _ in range(rounds)]
    spent = {name: median(run[name] for run in runs) for name in runs[0]}
    return {"data": f"lineitem, scale {SCALE:g}, from memory, one thread", "cpu_seconds": spent, "runs": rounds}


def _run() -> str:
    command = [sys.executable, "-m", "benchmarks.kernels"]
    return subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=True).stdout


class Spent:
    """CPU seconds by kernel."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def at(self, kernel: str) -> Iterator[None]:
        """Count what the block takes."""
        begun = time.process_time()
        yield
        self.seconds[kernel] += time.process_time() - begun


def convert(source: bytes) -> dict[str, float]:
    """Return what each kernel takes for ``source``."""
    spent = Spent()
    chunks = [source[start : start + CHUNK_BYTES] for start in range(0, len(source), CHUNK_BYTES)]
    head = read_head(chunks, Reading())
    if head is None:
        raise measure.EngineError(source[:100])
    decoder = StripeDecoder(head.names, head.dialect, TypeRules())
    evidence, read = (ColumnEvidence(),) * len(head.names), 0
    parquet = container = avro = None
    stripes = iter(head.stripes(decoder))
    while True:
        with spent.at("cut"):
            stripe = next(stripes, None)
        if stripe is None:
            break
        with spent.at("parse"):
            parsed = decoder.parse(stripe, evidence)
        with spent.at("observe"):
            observed = decoder.observe(parsed, evidence)
            evidence = tuple(
                known.merged(later.shifted(read)) for known, later in zip(evidence, observed.evidence, strict=True)
            )
            read += observed.count
            types = decoder.decide(evidence).types
        with spent.at("cast"):
            batch = decoder.cast(observed, types)
        if batch is None:
            raise measure.EngineError(types)
        if parquet is None or container is None or avro is None:
            schema = decoder.arrow_schema(types)
            parquet, avro = ParquetEncoder(schema, CODEC, len), AvroEncoder.plan(schema, CODEC)
            container = AvroContainer(avro, len)
        with spent.at("avro"):
            container.append(avro.encode(batch))
        with spent.at("parquet"):
            group = parquet.append(batch)
            if group:
                parquet.write_group(group)
    if parquet is not None and container is not None:
        with spent.at("parquet"):
            parquet.close()
        with spent.at("avro"):
            container.close()
    return dict(spent.seconds)


if __name__ == "__main__":
    use_lean_allocators()
    data = datasets.lineitem(SCALE).read_bytes()
    convert(data)  # not counted: memory that is asked for the first time
    print(json.dumps(convert(data)))

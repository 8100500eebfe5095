"""Many small objects under one prefix, converted by engines that take a prefix."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks import measure
from benchmarks.readback import Judge
from benchmarks.servers import INPUT_BUCKET, OUTPUT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.servers import Store

PREFIX: Final = "small/"
COMPARED: Final = 25  # objects of each run, drawn anew, whose cells are compared; that all are there, of every run
FORMS: Final = ("parquet", "avro")
UPLOADS: Final = 8


class Objects:
    """Sources in the store, under one prefix."""

    def __init__(self, s3: Store, sources: Sequence[Path]) -> None:
        self._s3 = s3
        self._sources = sources
        self._judges: dict[Path, Judge] = {}
        self._draw = random.Random(len(sources))  # noqa: S311  # a sample, not a secret
        with ThreadPoolExecutor(UPLOADS) as pool:
            list(pool.map(lambda source: s3.put(source, f"{PREFIX}{source.name}"), sources))

    @property
    def records(self) -> int:
        """The number of all sources' records."""
        return sum(source.read_bytes().count(b"\n") - 1 for source in self._sources)

    def measured(
        self, engine: str, environment: Mapping[str, str], memory_bytes_max: int | None
    ) -> dict[str, float | None]:
        """Return what the conversion of all objects by ``engine`` takes, as ``conversion.Case.measured`` does."""
        self._s3.wipe()
        before = self._s3.cpu_seconds()
        job = [INPUT_BUCKET, PREFIX, "0", "", OUTPUT_BUCKET, f"{engine}/"]
        sample = measure.run_engine([engine, *job], {**self._s3.environment, **environment}, memory_bytes_max)
        spent = self._s3.cpu_seconds() - before
        self._require_all(engine)
        exact = [self._is_exact(engine, source) for source in self._draw.sample(self._sources, COMPARED)]
        return vars(sample) | {"server_cpu_seconds": spent, "exact": all(exact)}

    def _require_all(self, engine: str) -> None:
        pages = self._s3.client.get_paginator("list_objects_v2").paginate(Bucket=OUTPUT_BUCKET, Prefix=f"{engine}/")
        there = {Path(listed["Key"]).name for page in pages for listed in page.get("Contents", ())}
        missing = {f"{source.stem}.{form}" for source in self._sources for form in FORMS} - there
        if missing:
            message = f"{engine}: {len(missing)} outputs are missing, {min(missing)} is the first"
            raise measure.EngineError(message)

    def _is_exact(self, engine: str, source: Path) -> bool:
        judge = self._judges.setdefault(source, Judge(source))
        with TemporaryDirectory(prefix="benchmark-outputs-") as directory:
            exact = []
            for form in FORMS:
                output = Path(directory) / form
                self._s3.download(f"{engine}/{PREFIX}{source.stem}.{form}", output)
                exact.append(judge.is_exact(output, form))
        return all(exact)

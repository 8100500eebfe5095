"""Which seeds are done and what they came to, kept in a file: a long run goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]


class Ledger:
    """What is done of ``runs`` seeds from ``first`` on, with the code as it is: other code begins anew."""

    def __init__(self, path: Path, first: int, runs: int) -> None:
        self.first = first
        self.runs = runs
        self.counts: Counter[str] = Counter()
        self.broken: list[tuple[int, str]] = []
        self._path = path
        self._done: set[int] = set()
        self._code = _code()
        self._read()

    @property
    def done(self) -> int:
        return len(self._done)

    def left(self) -> Iterator[int]:
        """Yield the seeds that have not been run."""
        return (seed for seed in range(self.first, self.first + self.runs) if seed not in self._done)

    def add(self, counts: Counter[str], broken: Iterable[tuple[int, str]], seeds: Iterable[int]) -> None:
        """Keep what some seeds came to; a broken one will be run again."""
        found = list(broken)
        self.counts.update(counts)
        self.broken += found
        self._done |= set(seeds) - {seed for seed, _ in found}
        self._write()

    def _read(self) -> None:
        if not self._path.is_file():
            return
        kept = json.loads(self._path.read_text())
        if (kept["first"], kept["runs"], kept["code"]) == (self.first, self.runs, self._code):
            self.counts.update(kept["counts"])
            self._done = set(kept["done"])

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"first": self.first, "runs": self.runs, "code": self._code, "counts": self.counts}
        self._path.write_text(json.dumps(kept | {"done": sorted(self._done)}))


def _code() -> str:
    """Return what tells one state of the repository's product and simulation from another."""
    paths = sorted([*ROOT.glob("csv_transcode/**/*.py"), *ROOT.glob("*.py"), *ROOT.glob("tests/simulation/*.py")])
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()

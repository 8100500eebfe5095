"""Decoding alone, on one thread: clean data, and data in which every tenth record is bad."""

from __future__ import annotations

import csv
import io
import random
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final

from benchmarks import datasets, measure
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading, read_head
from csv_transcode.decode.stripes import StripeDecoder

SCALE: Final = 0.1
SOURCE_BYTES: Final = 40_000_000
QUOTED_BYTES: Final = 20_000_000
ROUNDS: Final = 3
BAD_EVERY: Final = 10
CHUNK_BYTES: Final = 1 << 20
BAD_MB_MIN: Final = 20
QUOTED_MB_MIN: Final = 100

Spoil = Callable[[bytes], bytes]
SPOILS: Final[Mapping[str, Spoil]] = {
    "a field too many": lambda line: line + b",x",
    "a quote inside a field": lambda line: line.replace(b",", b',x"', 1),
    "a quote never closed": lambda line: line.replace(b",", b',"', 1),
    "not UTF-8": lambda line: line.replace(b",", b"\xe9,", 1),
}


def compare(rounds: int = ROUNDS) -> None:
    """Print megabytes a CPU second of every case, and check that exactly the bad records are rejected."""
    clean = datasets.lineitem(SCALE).read_bytes()[:SOURCE_BYTES].rpartition(b"\n")[0] + b"\n"
    lines = clean.splitlines(keepends=False)
    cases = {"clean": (clean, 0), "every field quoted": (_quoted(clean), 0)}
    for name, spoil in SPOILS.items():
        cases[f"every tenth record: {name}"] = _spoilt(lines, [spoil])
    cases["every tenth record: any of these"] = _spoilt(lines, list(SPOILS.values()))
    speeds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (source, bad) in cases.items():
            speeds[name].append(_megabytes_a_second(source, len(lines) - 1, bad))
    rows = [[name, f"{median(found):.0f} ({min(found):.0f}-{max(found):.0f})"] for name, found in speeds.items()]
    wanted = f"wanted {BAD_MB_MIN} MB/s with bad records, {QUOTED_MB_MIN} quoted"
    print(f"\nDecoding alone, one thread, {rounds} rounds; {wanted}")
    print(measure.table(["lineitem", "MB a CPU second (min-max)"], rows))


def _spoilt(lines: list[bytes], spoils: Sequence[Spoil]) -> tuple[bytes, int]:
    """Return the lines, every tenth of the records spoilt, and how many those are."""
    chance = random.Random(datasets.SEED)  # noqa: S311 -- any mixture
    bad = range(BAD_EVERY, len(lines), BAD_EVERY)
    spoilt = list(lines)
    for number in bad:
        spoilt[number] = chance.choice(spoils)(lines[number])
    return b"\n".join(spoilt) + b"\n", len(bad)


def _quoted(source: bytes) -> bytes:
    rows = csv.reader(io.StringIO(source[:QUOTED_BYTES].rpartition(b"\n")[0].decode()))
    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return target.getvalue().encode()


def _megabytes_a_second(source: bytes, records: int, bad: int) -> float:
    chunks = [source[start : start + CHUNK_BYTES] for start in range(0, len(source), CHUNK_BYTES)]
    started = time.process_time()
    head = read_head(chunks, Reading())
    if head is None:
        raise measure.EngineError(source[:100])
    decoder = StripeDecoder(head.names, head.dialect, TypeRules())
    read = rejected = 0
    for stripe in head.stripes(decoder):
        parsed = decoder.parse(stripe)
        read += parsed.count
        rejected += len(parsed.rejects)
    seconds = time.process_time() - started
    if rejected != bad or (bad and read != records):
        message = f"{rejected} of {read} records rejected, {bad} of {records} are bad"
        raise measure.EngineError(message)
    return len(source) / measure.MB / seconds

"""The function in a process that may use 512 MB: what is large is converted, what is monstrous is refused in words.

The process is held by a cgroup where one can be made (version 2, else 1); where none can, its resident set is looked
at twenty times a second and held against the limit. Which one it was is counted.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.conftest import INPUT_BUCKET, OUTPUT_BUCKET
from tests.real.function import Done, Task
from tests.real.many import Resident
from tests.real.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.place import Place

MIB: Final = 1 << 20
KIB: Final = 1 << 10
FUNCTION_MIB: Final = 512
REFUSAL_SECONDS_MAX: Final = 30.0
BLOCK_ROWS: Final = 50_000
PART_BLOCKS: Final = 8
KEY: Final = "in/source.csv"
ROOT: Final = Path(__file__).parent.parent.parent
CGROUPS: Final = Path("/sys/fs/cgroup")
_JOIN: Final = 'echo $$ > "$1" && shift && exec "$@"'


@dataclass(frozen=True)
class Limit:
    """How a process is held to its memory; no cgroup means that it is only looked at."""

    kind: str
    folder: Path | None = None
    peak: str = ""

    def command(self, command: list[str]) -> list[str]:
        """Return the command that runs ``command`` under the limit."""
        if self.folder is None:
            return command
        return ["/bin/sh", "-c", _JOIN, "sh", str(self.folder / "cgroup.procs"), *command]

    def peak_bytes(self) -> int:
        return int((self.folder / self.peak).read_text()) if self.folder else 0


@contextmanager
def limited(mib: int) -> Iterator[Limit]:
    """Yield what holds processes to so much memory, as well as this machine can."""
    name = f"csv-transcode-{os.getpid()}-{time.monotonic_ns()}"
    versions = (
        (CGROUPS / name, "memory.max", "memory.peak"),
        (CGROUPS / "memory" / name, "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    )
    for version, (folder, limit, peak) in zip(("cgroup v2", "cgroup v1"), versions, strict=True):
        if _made(folder, limit, mib):
            try:
                yield Limit(version, folder, peak)
            finally:
                folder.rmdir()
            return
    yield Limit("resident set")


def _made(folder: Path, limit: str, mib: int) -> bool:
    """Make the cgroup; False where that cannot be, and then nothing is left of it."""
    try:
        folder.mkdir()
    except OSError:
        return False
    try:
        if not (folder / limit).exists():  # a directory like any other, or a cgroup without this controller
            folder.rmdir()
            return False
        (folder / limit).write_text(str(mib * MIB))
    except OSError:
        folder.rmdir()
        return False
    return True


@dataclass(frozen=True)
class Ended:
    """How a limited process ended: nothing done where it was killed."""

    done: Done | None
    peak_mib: float
    seconds: float
    said: str


def run_limited(task: Task, limit: Limit) -> Ended:
    """Carry the task out in a new interpreter under the limit."""
    command = limit.command([sys.executable, "-m", "tests.real.function"])
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with Resident(process.pid) as seen:
        told, said = process.communicate(json.dumps(asdict(task)))
    peak = max(limit.peak_bytes() / MIB, max(seen.samples, default=0) / KIB)
    done = Done(**json.loads(told)) if process.returncode == 0 else None
    return Ended(done, peak, time.monotonic() - begun, f"ended with {process.returncode}: {said[-500:]}")


@dataclass(frozen=True)
class Case:
    """A source made of pieces, and whether it must be converted or may be refused in words."""

    name: str
    pieces: tuple[bytes, ...]
    must_convert: bool = False
    settings: tuple[tuple[str, str], ...] = ()


def block(seed: int) -> bytes:
    """Return BLOCK_ROWS records of every kind of column, some 5 MB."""
    chance = random.Random(seed)
    names = [chance.randbytes(6).hex() for _ in range(1_000)]
    return b"".join(
        b"%d,%d,%.2f,2026-%02d-%02d,%s,%s\n"
        % (
            *(chance.randrange(10**9), chance.randrange(50), chance.random() * 10**5),
            *(1 + chance.randrange(12), 1 + chance.randrange(28)),
            *(chance.choice(names).encode(), chance.randbytes(24).hex().encode()),
        )
        for _ in range(BLOCK_ROWS)
    )


def large(mib: int) -> Case:
    """Return a file of so many MiB that has to be converted."""
    one = block(1)
    head, times = b"id,count,price,day,name,text\n", mib * MIB // len(one) + 1
    return Case(f"{mib} MiB", (head, *[one] * times), must_convert=True)


def bomb(mib: int) -> Case:
    """Return what unpacks to so many MiB, a thousand times its size."""
    member = gzip.compress(b"1,0\n" * (4 * MIB), 9, mtime=0)  # 16 MiB
    return Case("gzip bomb", (gzip.compress(b"id,text\n"), *[member] * (mib // 16)))


def cell(mib: int) -> Case:
    return Case(f"a cell of {mib} MiB", (b"id,text\n1,", *[b"x" * MIB] * mib, b"\n2,short\n"))


def columns(count: int, *, allowed: bool) -> Case:
    names = b",".join(b"c%d" % number for number in range(count)) + b"\n"
    row = b",".join(b"%d" % (number % 97) for number in range(count)) + b"\n"
    settings = (("max_columns", str(count)),) if allowed else ()
    return Case(f"{count:,} columns, {'allowed' if allowed else 'as it is'}", (names, *[row] * 20), settings=settings)


def monsters(scale: int) -> tuple[Case, ...]:
    """Return what may be refused; ``scale`` 1 is the full size, more is less."""
    wide = 100_000
    return bomb(4096 // scale), cell(300 // scale), columns(wide, allowed=False), columns(wide, allowed=True)


def within_memory(place: Place, cases: tuple[Case, ...]) -> Tally:
    """Run each case in a process of its own under the limit; return what came of it."""
    tally = Tally("under 512 MB", tuple({"converted" if case.must_convert else "cases" for case in cases}))
    for case in cases:
        put_pieces(place, case.pieces)
        with limited(FUNCTION_MIB) as limit:
            environment = place.environment(aws_lambda_function_memory_size=FUNCTION_MIB, **dict(case.settings))
            ended = run_limited(Task(environment, {"keys": [KEY]}), limit)
        tally.counts["cases"] += 1
        tally.counts[f"held by {limit.kind}"] += 1
        _judge(place, tally, case, ended)
        place.empty()
    return tally


def _judge(place: Place, tally: Tally, case: Case, ended: Ended) -> None:
    tally.counts[f"MiB at most: {case.name}"] = round(ended.peak_mib)
    tally.counts[f"seconds: {case.name}"] = round(ended.seconds)
    tally.require(ended.peak_mib <= FUNCTION_MIB, f"{case.name}: {ended.peak_mib:.0f} MiB")
    if ended.done is None:
        tally.wrong.append(f"{case.name}: {ended.said}")
        return
    outcome = ended.done.outcomes.get(KEY, str(ended.done.error))
    tally.counts[outcome] += 1
    if outcome == "converted":
        _require_whole(place, tally, case)
    else:
        reason = ended.done.reasons.get(KEY)
        tally.require(outcome == "failed" and reason, f"{case.name}: {outcome}, {reason}")
        tally.require(not case.must_convert, f"{case.name}: refused: {reason}")
    in_time = case.must_convert or ended.seconds <= REFUSAL_SECONDS_MAX
    tally.require(in_time, f"{case.name}: {ended.seconds:.0f} s")


def _require_whole(place: Place, tally: Tally, case: Case) -> None:
    """Both outputs have every record, as others' readers count them; and the numbers of the first column."""
    rows = sum(piece.count(b"\n") for piece in case.pieces[1:])
    store = place.client
    told = json.loads(_body(store, "processed/_manifests/source.csv.json").read())["records"]
    tally.require(told["read"] == told["written"] + told["rejected"] == rows, f"{case.name}: {told} of {rows}")
    blocks = fastavro.block_reader(_body(store, "processed/source.avro"))
    found = sum(each.num_records for each in blocks)
    tally.require(found == told["written"], f"{case.name}: {found} records in Avro")
    if case.must_convert:
        total = sum(_first_column(piece) * times for piece, times in _counted(case.pieces[1:]))
        read = _parquet_sum(store)
        tally.require(read == (rows, total), f"{case.name}: Parquet has {read}, not {rows, total}")


def _parquet_sum(store: Any) -> tuple[int, int]:
    """Return the records of the Parquet output, and the sum of its first column, a row group at a time."""
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(_body(store, "processed/source.parquet"), copy)
        parquet = pq.ParquetFile(copy)
        first = parquet.schema_arrow.names[0]
        groups = (parquet.read_row_group(number, [first])[first] for number in range(parquet.num_row_groups))
        return parquet.metadata.num_rows, sum(pc.sum(group).as_py() for group in groups)


def _first_column(piece: bytes) -> int:
    return sum(int(line.partition(b",")[0]) for line in piece.splitlines())


def _counted(pieces: tuple[bytes, ...]) -> list[tuple[bytes, int]]:
    """Return each piece once, and how often it is there: it is the same object every time."""
    by_id = {id(piece): piece for piece in pieces}
    return [(piece, sum(other is piece for other in pieces)) for piece in by_id.values()]


def _body(store: Any, key: str) -> Any:
    return store.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"]


def put_pieces(place: Place, pieces: tuple[bytes, ...]) -> None:
    """Make the pieces one object, without ever holding all of it."""
    store = place.client
    created = store.create_multipart_upload(Bucket=INPUT_BUCKET, Key=KEY)["UploadId"]
    parts: list[Any] = []
    held = bytearray()
    for number, piece in enumerate(pieces):
        held += piece
        if len(held) < 32 * MIB and number < len(pieces) - 1:
            continue
        part = len(parts) + 1
        answer = store.upload_part(Bucket=INPUT_BUCKET, Key=KEY, UploadId=created, PartNumber=part, Body=bytes(held))
        parts.append({"PartNumber": part, "ETag": answer["ETag"]})
        held.clear()
    store.complete_multipart_upload(Bucket=INPUT_BUCKET, Key=KEY, UploadId=created, MultipartUpload={"Parts": parts})

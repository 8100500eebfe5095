"""The sources of the simulation, and what must become of each: small, and one a case."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HEADER: Final = "id,text,amount,day\n"
_FIELDS: Final[Mapping[str, Callable[[str], Any]]] = {
    "id": int,
    "text": str,
    "amount": float,
    "day": dt.date.fromisoformat,
}

# Settings that give other bytes, by name: what a function is deployed with may change.
VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "typed": {},
    "texts": {"TYPES": "string"},
    "deflated": {"AVRO_CODEC": "deflate", "PARQUET_COMPRESSION": "zstd"},
}


@dataclass(frozen=True)
class Source:
    """One version of a source; ``good`` says that it can be converted, ``rejected`` how many records are not."""

    name: str
    content: bytes
    text: str
    good: bool = True
    empty: bool = False
    rejected: int = 0

    def rows(self, variant: str) -> list[tuple[Any, ...]]:
        """Return what its good records hold, by Python's csv module and the types of the columns."""
        records = [one for one in csv.reader(io.StringIO(self.text, newline="")) if len(one) == len(_FIELDS)][1:]
        kinds: list[Callable[[str], Any]]
        kinds = [str] * len(_FIELDS) if variant == "texts" else list(_FIELDS.values())
        return [tuple(kind(cell) if cell else None for kind, cell in zip(kinds, one, strict=True)) for one in records]


@dataclass(frozen=True)
class Converted:
    """What a conversion has made: bytes by format, the rejects' under ``rejects``."""

    bodies: Mapping[str, bytes]
    records: Mapping[str, int]


def _records(begin: int, count: int, chance: random.Random) -> list[str]:
    texts = ("one", '"two, too"', "", "four" * 3, '"a ""quoted"" word"', "øre")
    return [
        f"{number},{texts[number % len(texts)]}{chance.getrandbits(48) if number % len(texts) in (0, 3) else ''},"
        f"{number / 4 + 0.25:.2f},2026-11-{number % 28 + 1:02d}\n"
        for number in range(begin, begin + count)
    ]


def _made() -> dict[str, Source]:
    chance = random.Random(4)
    good = {f"plain {count}": "".join([HEADER, *_records(count, count, chance)]) for count in (1, 2, 3, 5)}
    ragged = _records(7, 24, chance)
    ragged[3], ragged[20] = "3,too few\n", "20,too,many,2026-11-20,fields\n"
    long = _records(100, 420, chance)
    long[200] = "200,too few\n"
    found = {name: Source(name, text.encode(), text) for name, text in good.items()}
    found["header"] = Source("header", HEADER.encode(), HEADER)
    found["ragged"] = _of("ragged", ragged, rejected=2)
    zipped = "".join([HEADER, *_records(50, 9, chance)])
    found["zipped"] = Source("zipped", gzip.compress(zipped.encode(), mtime=0), zipped)
    found["long"] = _of("long", long, rejected=1)
    found["mixed"] = _of("mixed", _records(3000, 150, chance))
    # As long as the one before, and other text: who reads half of each reads a file.
    twin = found["mixed"].text.replace("four", "five")
    found["twin"] = Source("twin", twin.encode(), twin)
    found["longer"] = _of("longer", _records(900, 600, chance))
    found["bad"] = Source("bad", (HEADER + "1,2\n" * 9 + ragged[0]).encode(), "", good=False)
    found["torn"] = Source("torn", gzip.compress("".join(ragged).encode(), mtime=0)[:-9], "", good=False)
    found["empty"] = Source("empty", b"", "", empty=True)
    return found


def _of(name: str, records: list[str], rejected: int = 0) -> Source:
    text = "".join([HEADER, *records])
    return Source(name, text.encode(), text, rejected=rejected)


SOURCES: Final[Mapping[str, Source]] = _made()
LONG: Final = ("long", "longer", "mixed", "twin")
SMALL: Final = tuple(name for name, source in SOURCES.items() if source.good and not source.empty and name not in LONG)
FAILING: Final = tuple(name for name, source in SOURCES.items() if not source.good)


def require_right(source: Source, variant: str, converted: Converted) -> None:
    """Check a conversion with other people's readers against the source's own cells."""
    rows = source.rows(variant)
    table = pq.read_table(pa.BufferReader(converted.bodies["parquet"]), page_checksum_verification=True)
    records = [one for one in fastavro.reader(io.BytesIO(converted.bodies["avro"])) if isinstance(one, dict)]
    columns = [column.to_pylist() for column in table.columns]
    assert list(zip(*columns, strict=True)) == rows, f"{source.name}, {variant}: Parquet"
    assert [tuple(record.values()) for record in records] == rows, f"{source.name}, {variant}: Avro"
    rejects = converted.bodies.get("rejects", b"").count(b"\n")
    counts = {"read": len(rows) + source.rejected, "written": len(rows), "rejected": source.rejected}
    assert (converted.records, rejects) == (counts, source.rejected), f"{source.name}, {variant}: counts"

"""What is uploaded: real CSV files that a package ships, and one large file that holds a bit of every type."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_DATA_PACKAGE: Final = "vega-datasets"
LARGE_NAME: Final = "orders-2026.csv"
CHUNK_RECORDS: Final = 10_000

HEADER: Final = "order,customer,placed_on,paid_at,city,amount,weight_kg,express,items,code,remark\n"
# commas, quotes and line ends inside cells, text beyond ASCII, the empty string beside null
CITIES: Final = ("Kraków", '"Washington, D.C."', "São Paulo", "東京", "Reykjavík", "Dún Laoghaire", "Ἀθῆναι", "Lyon")
CODES: Final = ("", "", "", '""', "NA", "1.10", "0x1F", "+5", "12 %")
REMARKS: Final = (
    '"The customer said ""please leave it with the neighbours, second floor"", and nobody knew which ones"',
    '"Ring twice,\nthen wait: the bell is slow and so is the dog. If nobody comes, the shed behind the house is open"',
    "wrapped as a gift without the invoice and with the card that came in the blue envelope on Tuesday morning",
    '"Größe L statt M; bei Rückgabe bitte das Formular Nr. 7 beilegen, sonst dauert die Erstattung länger als üblich"',
    "",
)
EXPRESS: Final = ("true", "false", "false", "")
FIRST_DAY: Final = date(2026, 1, 1)


@dataclass(frozen=True)
class Source:
    """One CSV file, as it will stand in the bucket."""

    name: str
    data: bytes


def sources(large_bytes: int) -> list[Source]:
    """Return every file that the demo uploads, the large one last: by then the function is warm."""
    return [*real_files(), Source(LARGE_NAME, large_file(large_bytes))]


def real_files() -> list[Source]:
    """Return the CSV files of the data package, without importing it (that would import pandas)."""
    listed = [path for path in files(REAL_DATA_PACKAGE) or () if path.suffix == ".csv"]
    return [Source(path.name, path.read_binary()) for path in listed]


def large_file(bytes_min: int) -> bytes:
    """Return a CSV of at least ``bytes_min`` bytes, the same ones every time."""
    chance = random.Random(bytes_min)  # noqa: S311 - data, not a secret
    parts, size = [HEADER.encode()], len(HEADER)
    for chunk in _chunks(chance):
        parts.append(chunk)
        size += len(chunk)
        if size >= bytes_min:
            break
    return b"".join(parts)


def _chunks(chance: random.Random) -> Iterator[bytes]:
    order = 0
    while True:
        yield "".join(_record(order + i, chance) for i in range(CHUNK_RECORDS)).encode()
        order += CHUNK_RECORDS


def _record(order: int, chance: random.Random) -> str:
    n = chance.getrandbits(48)
    day, second = _DAYS[n % len(_DAYS)], n // 7 % 86_400
    return (
        f"{9_007_199_254_740_993 + order},{n % 100_000:06d},{day},"
        f"{day}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{n % 1000:03d}Z,"
        f"{CITIES[n // 11 % len(CITIES)]},{n % 1_000_000 / 100:.2f},{n % 7919 / 7919!r},"
        f"{EXPRESS[n // 13 % len(EXPRESS)]},{n // 17 % 40 or ''},"
        f"{CODES[n // 19 % len(CODES)]},{REMARKS[n // 23 % len(REMARKS)]}\n"
    )


_DAYS: Final = tuple((FIRST_DAY + timedelta(days=i)).isoformat() for i in range(365))

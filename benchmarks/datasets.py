"""Named, seeded data sets, made once and kept under ``benchmarks/.data/`` (ignored by git)."""

from __future__ import annotations

import csv
import gzip
import math
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv as pa_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DATA: Final = Path(__file__).resolve().parent / ".data"
SEED: Final = 20261123

ORDERS: Final = 1_500_000  # of scale 1
ORDER_KEYS: Final = 6_000_000  # the last key of scale 1: of 32 keys, 8 are used

QUOTED_TEXT_RECORDS: Final = 300_000
SMALL_OBJECT_BYTES: Final = 10_000
WIDE_RECORDS: Final = 40_000  # 80 MB
WIDE_COLUMNS: Final = 300
LOG_RECORDS: Final = 250_000  # 100 MB
NARROW_RECORDS: Final = 4_000_000  # 110 MB
TINY_OBJECT_BYTES: Final = 1_000

LINEITEM_TYPES: Final[Mapping[str, pa.DataType]] = {
    "l_orderkey": pa.int64(),
    "l_partkey": pa.int64(),
    "l_suppkey": pa.int64(),
    "l_linenumber": pa.int64(),
    "l_quantity": pa.float64(),
    "l_extendedprice": pa.float64(),
    "l_discount": pa.float64(),
    "l_tax": pa.float64(),
    "l_returnflag": pa.string(),
    "l_linestatus": pa.string(),
    "l_shipdate": pa.date32(),
    "l_commitdate": pa.date32(),
    "l_receiptdate": pa.date32(),
    "l_shipinstruct": pa.string(),
    "l_shipmode": pa.string(),
    "l_comment": pa.string(),
}
SMALL_TYPES: Final[Mapping[str, pa.DataType]] = {
    "id": pa.int64(),
    "price": pa.float64(),
    "day": pa.date32(),
    "name": pa.string(),
}
WIDE_EMPTY_SHARE: Final = 0.1
_LEVELS: Final = ("DEBUG", "INFO", "INFO", "INFO", "WARNING", "ERROR")
_WORDS: Final = ("carefully", "Zürich", "packages", "naïve", "ironic", "東京", "deposits", "Ångström", "bold")


def lineitem(scale: float) -> Path:
    """Return TPC-H lineitem as CSV: header, commas, quotes only round the comments that hold a comma.

    16 columns, 6 million records for a scale of 1; a scale of 0.3 is 229 MB, 2.4 is eight times as much. ValueError
    where the generator made another number of orders than the scale asks for.
    """
    return _cached(DATA / f"lineitem-{scale:g}.csv", lambda path: _write_lineitem(path, scale))


def lineitem_table(scale: float) -> pa.Table:
    """Return :func:`lineitem` as one typed Arrow table, in memory."""
    options = pa_csv.ConvertOptions(column_types=dict(LINEITEM_TYPES))
    return pa_csv.read_csv(lineitem(scale), convert_options=options)


def orders(scale: float) -> Path:
    """Return TPC-H orders as CSV: 9 columns, 1.5 million records for a scale of 1, long comments."""
    return _cached(DATA / f"orders-{scale:g}.csv", lambda path: _write_orders(path, scale))


def wide(records: int = WIDE_RECORDS) -> Path:
    """Return CSV of 300 columns, 290 of them numbers, a tenth of whose cells is empty."""
    return _cached(DATA / f"wide-{records}.csv", lambda path: _write_wide(path, records))


def log(records: int = LOG_RECORDS) -> Path:
    """Return CSV like a log: moments, levels, and long quoted messages over several lines, with doubled quotes."""
    return _cached(DATA / f"log-{records}.csv", lambda path: _write_log(path, records))


def narrow(records: int = NARROW_RECORDS) -> Path:
    """Return CSV of four columns of integers."""
    return _cached(DATA / f"narrow-{records}.csv", lambda path: _write_narrow(path, records))


def gzipped(source: Path) -> Path:
    """Return ``source`` compressed by gzip."""
    return _cached(source.with_name(f"{source.name}.gz"), lambda path: _write_gzip(path, source))


def quoted_text(records: int = QUOTED_TEXT_RECORDS) -> Path:
    """Return CSV whose text is quoted and holds commas, doubled quotes, line ends and non-ASCII letters."""
    return _cached(DATA / f"quoted-text-{records}.csv", lambda path: _write_quoted_text(path, records))


def small_objects(count: int) -> list[Path]:
    """Return ``count`` CSVs of about 10 KB each, all different."""
    return [_small_object(DATA / "small" / f"{number:06}.csv", number, SMALL_OBJECT_BYTES) for number in range(count)]


def tiny_object() -> Path:
    """Return one CSV of about 1 KB, of the kind of :func:`small_objects`."""
    return _small_object(DATA / "tiny.csv", 0, TINY_OBJECT_BYTES)


def _small_object(path: Path, seed: int, size: int) -> Path:
    return _cached(path, lambda part: _write_small(part, seed, size))


def _cached(path: Path, write: Callable[[Path], None]) -> Path:
    """Return ``path``, written first if it is not there; never half written."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two runs may make the same one
        write(part)
        part.replace(path)
    return path


def _write_lineitem(path: Path, scale: float) -> None:
    import duckdb  # noqa: PLC0415  # only where the data has to be made
    from duckdb_extensions import import_extension  # noqa: PLC0415

    import_extension("tpch")
    with duckdb.connect() as database:
        database.execute("SET enable_progress_bar = false")
        database.execute("LOAD tpch")
        # Above 1 the generator takes whole scales only: 2.4 gave what 2 gives, without a word. So the next whole one is
        # made, and cut after the orders that the scale asks for.
        database.execute("CALL dbgen(sf = $made)", {"made": scale if scale < 1 else math.ceil(scale)})
        database.execute("DELETE FROM lineitem WHERE l_orderkey > $last", {"last": round(scale * ORDER_KEYS)})
        orders = "SELECT count(DISTINCT l_orderkey) FROM lineitem"
        _check_orders(database.execute(orders).fetchall()[0][0], scale)
        database.table("lineitem").write_csv(str(path), header=True, sep=",")  # as it was made: by order and line


def _check_orders(found: int, scale: float) -> None:
    expected = round(scale * ORDERS)
    if found != expected:
        message = f"lineitem of scale {scale:g} holds {found} orders, expected {expected}"
        raise ValueError(message)


def _write_orders(path: Path, scale: float) -> None:
    import duckdb  # noqa: PLC0415  # as above
    from duckdb_extensions import import_extension  # noqa: PLC0415

    import_extension("tpch")
    with duckdb.connect() as database:
        database.execute("SET enable_progress_bar = false")
        database.execute("LOAD tpch")
        database.execute("CALL dbgen(sf = $scale)", {"scale": scale})
        database.table("orders").write_csv(str(path), header=True, sep=",")


def _write_wide(path: Path, records: int) -> None:
    draw = np.random.default_rng(SEED)
    columns: dict[str, pa.Array[Any]] = {}
    for number in range(WIDE_COLUMNS):
        empty = draw.random(records) < WIDE_EMPTY_SHARE
        name = f"c{number:03}"
        if number % 30 == 29:  # text
            columns[name] = pa.array(draw.choice(list(_WORDS), records), pa.string(), mask=empty)
        elif number % 3:
            tenths = draw.integers(-(10**6), 10**6, records)
            columns[name] = pa.array(tenths / 100, pa.float64(), mask=empty)
        else:
            columns[name] = pa.array(draw.integers(0, 10 ** (2 + number % 8), records), pa.int64(), mask=empty)
    pa_csv.write_csv(pa.table(columns), path, pa_csv.WriteOptions(quoting_style="none"))


def _write_log(path: Path, records: int) -> None:
    draw = random.Random(SEED)  # noqa: S311  # data, not secrets
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        writer.writerow(["number", "at", "level", "host", "message", "milliseconds"])
        for number in range(records):
            at = f"2026-11-{1 + number % 23:02} {number % 24:02}:{number % 60:02}:{draw.randrange(60):02}"
            words = draw.choices(_WORDS, k=40)
            trace = "\n".join(f'  at {words[i]}, "{words[i + 1]}":{draw.randrange(999)}' for i in range(0, 12, 2))
            message = f"{' '.join(words[12:])}\n{trace}"
            writer.writerow(
                [number, at, draw.choice(_LEVELS), f"host-{draw.randrange(50)}", message, draw.randrange(10**5)]
            )


def _write_narrow(path: Path, records: int) -> None:
    draw = np.random.default_rng(SEED)
    columns: dict[str, pa.Array[Any]] = {
        "id": pa.array(np.arange(records)),
        "customer": pa.array(draw.integers(1, 10**6, records)),
        "cents": pa.array(draw.integers(-(10**6), 10**8, records)),
        "stamp": pa.array(draw.integers(1_600_000_000, 1_900_000_000, records)),
    }
    pa_csv.write_csv(pa.table(columns), path, pa_csv.WriteOptions(quoting_style="none"))


def _write_gzip(path: Path, source: Path) -> None:
    with source.open("rb") as plain, gzip.open(path, "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed, 1 << 20)


def _write_quoted_text(path: Path, records: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["id", "title", "text", "score"])
        writer.writerows(_text_records(random.Random(SEED), records))  # noqa: S311  # data, not secrets


def _text_records(draw: random.Random, records: int) -> Iterator[list[int | float | str]]:
    for number in range(records):
        words = draw.choices(_WORDS, k=24)
        title = f'{words[0]}, "{words[1]}"'
        text = " ".join(words[2:13]) + ",\n" + " ".join(words[13:])
        yield [number, title, text, draw.randrange(10_000) / 100]


def _write_small(path: Path, seed: int, size: int) -> None:
    draw = random.Random(SEED + seed)  # noqa: S311  # data, not secrets
    lines = [",".join(SMALL_TYPES)]
    length = len(lines[0]) + 1
    while length < size:
        day = f"{draw.randint(1990, 2025)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        lines.append(f"{draw.randrange(10**9)},{draw.randrange(10**6) / 100:.2f},{day},{draw.choice(_WORDS)}")
        length += len(lines[-1].encode()) + 1
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

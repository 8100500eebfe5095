"""What the product makes of a case, read by other people's readers, beside what is known of it."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

from csv_transcode.errors import TranscodeError
from csv_transcode.pipeline import REJECTS, Pools, transcode
from fuzz.cases import count_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from fuzz.cases import Case, Cell

T = TypeVar("T")
Column = list[Any]


@dataclass
class Memory:
    """A target that keeps what is written."""

    data: bytearray = field(default_factory=bytearray)
    finished: bool = False
    aborted: bool = False

    def write(self, data: Any, /) -> None:  # noqa: ANN401 -- any bytes-like object
        """Keep the next bytes."""
        if not self.aborted:
            self.data += data

    def finish(self) -> None:
        """Take note of the end."""
        self.finished = True

    def abort(self) -> None:
        """Forget everything."""
        self.aborted = True
        self.data.clear()


class Inline(Executor):
    """Runs everything at once, in the calling thread: what it does can be traced."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 -- as Executor
        """Run ``fn`` now."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is the future's
            future.set_exception(error)
        return future


INLINE: Final = Pools(Inline(), Inline(), 2)


class DifferenceError(Exception):
    """The product and what is known differ: where, what was found, what was expected."""


def outputs(case: Case, pools: Pools = INLINE) -> dict[str, bytes]:
    """Return the product's outputs for the case: Parquet, Avro and rejects; none for a source of line ends.

    Raises what the product raises.
    """
    source, passes = case.source, []

    def chunks() -> Iterator[bytes]:
        return (source[at : at + case.chunk_bytes] for at in range(0, len(source), case.chunk_bytes))

    def targets() -> Mapping[str, Memory]:
        passes.append({name: Memory() for name in ("parquet", "avro", REJECTS)})
        return passes[-1]

    done = transcode(chunks, targets, case.plan(), pools)
    if done is None:
        if case.text.strip(b"\r\n"):
            message = "the source was taken for empty"
            raise DifferenceError(message)
        return {}  # an empty value or two in one column, and no header: nobody can tell
    if case.spelling.detected:
        _same("delimiter", done.dialect.delimiter, case.spelling.delimiter)
    return {name: bytes(target.data) for name, target in passes[-1].items()}


def check(case: Case, pools: Pools = INLINE) -> None:
    """Raise DifferenceError unless every good record arrives exactly, and just the faulty ones are rejected."""
    try:
        made = outputs(case, pools)
    except TranscodeError as error:
        message = f"refused: {type(error).__name__}: {error}"
        raise DifferenceError(message) from error
    rows, rejects = expected(case)
    if not made:
        _same("rows and rejects of nothing", (rows, rejects), ([], []))
        return
    _check_rejects([json.loads(line) for line in made[REJECTS].splitlines()], rejects)
    table = pq.read_table(io.BytesIO(made["parquet"]))
    _same("names", tuple(table.column_names), case.names)
    records = [
        list(record.values()) for record in fastavro.reader(io.BytesIO(made["avro"])) if isinstance(record, dict)
    ]
    avro = [list(column) for column in zip(*records, strict=True)] if records else [[] for _ in case.names]
    _same("rows of Parquet", table.num_rows, len(rows))
    _same("rows of Avro", len(records), len(rows))
    for index in range(len(case.names)):
        _check_column(case, index, table.column(index), avro[index], [row[index] for row in rows])


def expected(case: Case) -> tuple[list[Sequence[Cell]], list[dict[str, Any]]]:
    """Return the good records and the rejects, as they have to be."""
    pieces = case.pieces
    ends, at = [], 0
    for piece in pieces:
        at += len(piece.data)
        ends.append(at)
    text, lines = case.text, count_lines(pieces)
    first = sum(len(unit.pieces) for unit in case.header)
    full = [number for number, piece in enumerate(pieces) if piece.row and not _is_blank(piece.row)]
    last = full[-1] if full else -1
    rows: list[Sequence[Cell]] = []
    rejects, record = [], 0
    for number, piece in enumerate(pieces):
        start, end = (ends[number - 1] if number else 0), min(ends[number], len(text))
        if piece.reason is not None:
            record += number >= first
            raw = text[start:end]
            rejects.append(_reject(record if number >= first else 0, lines[number], start, piece.reason, raw))
        elif piece.row is not None and number >= first and (not _is_blank(piece.row) or number < last):
            record += 1
            rows.append(piece.row)
    return rows, rejects


def _is_blank(row: Sequence[Cell]) -> bool:
    return len(row) == 1 and not row[0].text and not row[0].quoted


def _reject(record: int, line: int, offset: int, reason: str, raw: bytes) -> dict[str, Any]:
    described = {"record": record, "line": line, "offset": offset, "length": len(raw), "reason": reason}
    try:
        return described | {"raw": raw.decode()}
    except UnicodeDecodeError:
        return described | {"raw_base64": base64.b64encode(raw).decode()}


def _check_rejects(found: list[dict[str, Any]], known: list[dict[str, Any]]) -> None:
    for one, other in zip(found, known, strict=False):
        detail = one.pop("detail", "")
        _same("reject", one, other)
        if not detail:
            message = f"a reject without a detail: {one}"
            raise DifferenceError(message)
    _same("rejects", found[len(known) :], known[len(found) :])


def _check_column(case: Case, index: int, parquet: pa.ChunkedArray[Any], avro: Column, cells: list[Cell]) -> None:
    where, found_type = f"column {case.names[index]!r}", str(parquet.type)
    known = _known_type(case, index, cells)
    if known is not None:
        _same(f"{where}: type", found_type, known)
    separator = case.settings.get("decimal_separator", ".")
    value_of = partial(_value, kind=parquet.type, nulls=frozenset(case.null_values), separator=separator)
    values = [value_of(cell) for cell in cells]
    for output, column in (("Parquet", parquet.to_pylist()), ("Avro", avro)):
        if column != values or [type(value) for value in column] != [type(value) for value in values]:
            differs = (row for row, pair in enumerate(zip(column, values, strict=True)) if pair[0] != pair[1])
            row = next(differs, 0)  # or the Python types alone differ
            message = f"{output}, {where} ({found_type}), row {row}: found {column[row]!r}, expected {values[row]!r}"
            raise DifferenceError(message)


TYPES: Final = {
    "int64": "int64",
    "double": "double",
    "date": "date32[day]",
    "boolean": "bool",
    "timestamp": "timestamp[us]",
    "timestamp_utc": "timestamp[us, tz=UTC]",
}


def _known_type(case: Case, index: int, cells: list[Cell]) -> str | None:
    """Return the Arrow type that the column must have, as far as that is known beforehand."""
    kind = case.kinds[index]
    if case.names[index] in case.settings.get("column_types", {}):
        return "decimal128(12, 2)" if kind == "double" else TYPES[kind]
    nulls = case.null_values
    has_value = any(cell.text and (cell.quoted or cell.text not in nulls) for cell in cells)
    return (TYPES[kind] if has_value else "string") if kind != "text" else None


def _value(cell: Cell, *, kind: pa.DataType, nulls: frozenset[str], separator: str) -> Any:  # noqa: ANN401
    """Return what the cell means in a column of an Arrow type."""
    text = cell.text
    if not cell.quoted and text in nulls:
        return None
    if pa.types.is_string(kind):
        return text
    if not text:
        return None
    if separator == "," and not pa.types.is_date(kind):
        text = text.translate(str.maketrans(",.", ".,"))
    return _typed(text, kind)


def _typed(text: str, kind: pa.DataType) -> Any:  # noqa: ANN401
    if pa.types.is_int64(kind):
        return int(_again(text, str(int(text))))
    if pa.types.is_float64(kind):
        _same("double", Decimal(text), Decimal(repr(float(text))))
        return float(text)
    if pa.types.is_decimal(kind):
        return Decimal(text).quantize(Decimal(1).scaleb(-kind.scale))
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[text.lower()]
    if pa.types.is_date(kind):
        return date.fromisoformat(_again(text, str(date.fromisoformat(text))))
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment


def _again(text: str, written: str) -> str:
    _same("text written again", written, text)
    return text


def _same(what: str, found: object, known: object) -> None:
    if found != known:
        message = f"{what}: found {found!r}, expected {known!r}"
        raise DifferenceError(message)

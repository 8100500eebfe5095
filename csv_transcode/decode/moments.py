"""Which columns are dates or timestamps, a column at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from csv_transcode import kernels
from csv_transcode.decode import arrays, grammar
from csv_transcode.decode.evidence import NEVER, TimestampEvidence, Uniform

if TYPE_CHECKING:
    from csv_transcode.decode.texts import Texts

DATE_BYTES: Final = len("YYYY-MM-DD")
SEPARATOR_AT: Final = DATE_BYTES
MINUTES_BYTES: Final = len("YYYY-MM-DD HH:MM")
SECONDS_BYTES: Final = len("YYYY-MM-DD HH:MM:SS")
FRACTION_BYTES_MAX: Final = grammar.MICRO_DIGITS + 1
# Arrow reads a year 0000; Python, Spark and the contract's "real day" do not.
FIRST_DAY: Final = -719_162  # 0001-01-01, in days since 1970
FIRST_MICROSECOND: Final = FIRST_DAY * 86_400 * 1_000_000


def observe_dates(texts: Texts) -> tuple[int, pa.Array[Any] | None]:
    """Return (first record that is no date, the values where all are)."""
    if not grammar.is_date(texts.array[0].as_py()):  # a cast that fails is slow
        return texts.record(0), None
    values = _all_dates(texts)
    if values is not None:
        return NEVER, values
    return next((record for record, text in texts.values() if not grammar.is_date(text)), NEVER), None


def _all_dates(texts: Texts) -> pa.Array[Any] | None:
    lengths = texts.lengths
    if int(lengths.min()) != DATE_BYTES or int(lengths.max()) != DATE_BYTES:
        return None
    try:  # Arrow takes YYYY-MM-DD alone, hyphens included
        days = kernels.cast(texts.array, pa.date32())
    except pa.ArrowInvalid:
        return None
    return days if arrays.values_of(days, np.int32).min() >= FIRST_DAY else None


def observe_timestamps(texts: Texts) -> tuple[TimestampEvidence, pa.Array[Any] | None]:
    """Return (what the values show of timestamps, the values in microseconds where all are and say no more)."""
    first = grammar.parse_timestamp(texts.array[0].as_py())
    values = None if first is None else _all_like(texts, first)
    if first is None or values is None:
        return _observe_each(texts), None
    beyond = _first_beyond_nanoseconds(texts, values)
    return TimestampEvidence(beyond_nanoseconds=beyond, spelling=Uniform(first.spelling, texts.record(0))), values


def _all_like(texts: Texts, first: grammar.Timestamp) -> pa.Array[Any] | None:
    """Return the values where all have the spelling of ``first`` and at most six fraction digits, else None."""
    body = texts.lengths - len(first.zone)
    shortest, longest = int(body.min()), int(body.max())
    if first.seconds and not SECONDS_BYTES <= shortest <= longest <= SECONDS_BYTES + FRACTION_BYTES_MAX:
        return None
    if not first.seconds and not MINUTES_BYTES == shortest == longest:
        return None
    if bool((texts.bytes_at(texts.starts + SEPARATOR_AT) != ord(first.separator)).any()) or not _all_end(
        texts, first.zone
    ):
        return None
    try:
        values = kernels.cast(texts.array, pa.timestamp("us", "UTC" if first.zone else None))
    except pa.ArrowInvalid:
        return None
    return values if arrays.values_of(values, np.int64).min() >= FIRST_MICROSECOND else None


def _all_end(texts: Texts, zone: str) -> bool:
    """Whether every value ends in ``zone``: Arrow's cast takes any offset, and moves it to UTC."""
    return all(bool((texts.bytes_at(texts.ends - len(zone) + at) == ord(char)).all()) for at, char in enumerate(zone))


def _first_beyond_nanoseconds(texts: Texts, microseconds: pa.Array[Any]) -> int:
    low, high = grammar.TIMESTAMP_NANOSECONDS
    ticks = arrays.values_of(microseconds, np.int64)
    beyond = (ticks < -(-low // 1000)) | (ticks > high // 1000)
    first = texts.first(beyond)
    return NEVER if first is None else first


def _observe_each(texts: Texts) -> TimestampEvidence:
    spelling = Uniform()
    nanoseconds = beyond = NEVER
    for record, text in texts.values():
        moment = grammar.parse_timestamp(text)
        if moment is None:
            return TimestampEvidence(record, nanoseconds, beyond, spelling)
        spelling = spelling.seen(moment.spelling, record)
        if moment.needs_nanoseconds:
            nanoseconds = min(nanoseconds, record)
        if not moment.fits_nanoseconds:
            beyond = min(beyond, record)
    return TimestampEvidence(NEVER, nanoseconds, beyond, spelling)

"""Which columns are int64, a column at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from csv_transcode import kernels
from csv_transcode.decode import grammar
from csv_transcode.decode.evidence import NEVER

if TYPE_CHECKING:
    from csv_transcode.decode.texts import Texts

MINUS: Final = ord("-")
ZERO: Final = ord("0")
NINE: Final = ord("9")


def observe(texts: Texts) -> tuple[int, pa.Array[Any] | None]:
    """Return (first record that is no int64, the values where all are)."""
    if not grammar.is_int64(texts.array[0].as_py()):  # a cast that fails takes 400 ns a value, 50 times a good one
        return texts.record(0), None
    values = _all_int64(texts)
    if values is not None:
        return NEVER, values
    return next((record for record, text in texts.values() if not grammar.is_int64(text)), NEVER), None


def _all_int64(texts: Texts) -> pa.Array[Any] | None:
    """Return the values, or None where one is not int64, or a byte test cannot tell."""
    low, high = texts.byte_range
    if high > NINE or low < MINUS or _has_spare_zeros(texts):
        return None
    try:
        return kernels.cast(texts.array, pa.int64())
    except pa.ArrowInvalid:
        return None


def _has_spare_zeros(texts: Texts) -> bool:
    """Whether a value begins with a 0 that is not all of it (007, 0x1F), or with -0: Arrow's cast takes these."""
    first = texts.bytes_at(texts.starts)
    if bool(((first == ZERO) & (texts.lengths > 1)).any()):
        return True
    if texts.byte_range[0] > MINUS:
        return False
    second = texts.starts[(first == MINUS) & (texts.lengths > 1)] + 1
    return bool((texts.bytes_at(second) == ZERO).any())

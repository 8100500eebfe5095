"""One column of strings as NumPy sees it, and typed values put back among its nulls, judged by Arrow."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from csv_transcode.decode.texts import Texts

COLUMN = pa.array([None, "1", "", "22", None, "333", "", "4"])


@pytest.mark.parametrize(
    "column", [COLUMN, COLUMN.slice(1), COLUMN.slice(3, 3), COLUMN.slice(4, 1), COLUMN.slice(2, 0)]
)
def test_texts_are_those_that_arrow_s_filter_leaves(column: pa.Array[Any]) -> None:
    texts = Texts.of(column)
    left = [(record, text) for record, text in enumerate(column.to_pylist()) if text]
    assert list(texts.values()) == left
    texts.array.validate(full=True)
    assert bytes(texts.window) == "".join(text for _, text in left).encode()


def test_bytes_that_lie_under_a_null_are_no_text() -> None:
    offsets = np.array([0, 2, 4, 5], np.int32)
    buffers: list[pa.Buffer | None] = [pa.py_buffer(b"\x05"), pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"12xx3")]
    column = pa.Array.from_buffers(pa.string(), 3, buffers)
    assert column.to_pylist() == ["12", None, "3"]
    texts = Texts.of(column)
    assert list(texts.values()) == [(0, "12"), (2, "3")]
    assert bytes(texts.window) == b"123"


@pytest.mark.parametrize(
    "typed",
    [
        pa.array([1, 22, 333, 4]),
        pa.array([1.5, -0.0, float("inf"), 4]),
        pa.array([True, False, True, False]),
        pa.array([date(2026, 11, 23), date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)]),
        pa.array([1, 2, 3, 4], pa.timestamp("us", "UTC")),
        pa.array(
            [Decimal("1.5"), Decimal("-2.5"), Decimal("3.5"), Decimal("12345678901234567890.5")], pa.decimal128(38, 1)
        ),
    ],
    ids=lambda typed: str(typed.type),
)
@pytest.mark.parametrize("start", [0, 1])
def test_typed_values_are_put_back_at_their_records(typed: pa.Array[Any], start: int) -> None:
    texts = Texts.of(COLUMN.slice(start))
    spread = texts.spread(typed, len(COLUMN) - start)
    spread.validate(full=True)
    values = iter(typed.to_pylist())
    assert spread.to_pylist() == [next(values) if text else None for text in COLUMN.slice(start).to_pylist()]
    assert (spread.type, spread.null_count) == (typed.type, 4 - start)
    behind_another = pa.concat_arrays([typed.slice(3), typed]).slice(1)
    assert texts.spread(behind_another, len(COLUMN) - start).equals(spread)

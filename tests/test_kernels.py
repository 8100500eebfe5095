"""Every kernel does what pyarrow.compute's function of the same kernel does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from csv_transcode import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = pa.array(["1.50", None, "", "2.", "x00", "1.50", "é0"])
NUMBERS = pa.array([3, None, -1, 3])
FLAGS = pa.array([True, False, None, True])
INDICES = pa.array([3, None, 0])
SOME = pa.array(["2.", "x00"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: kernels.cast(NUMBERS, pa.float64()), lambda: NUMBERS.cast(pa.float64())),
        (lambda: kernels.take(NUMBERS, INDICES), lambda: NUMBERS.take(INDICES)),
        (lambda: kernels.filter_rows(NUMBERS, FLAGS), lambda: NUMBERS.filter(FLAGS)),
        (lambda: kernels.is_in(TEXTS, SOME), lambda: pc.is_in(TEXTS, SOME)),
        (lambda: kernels.contains(TEXTS, "."), lambda: pc.match_substring(TEXTS, ".")),
        (lambda: kernels.trimmed_right(TEXTS, "0"), lambda: pc.utf8_rtrim(TEXTS, "0")),
        (lambda: kernels.chosen(FLAGS, NUMBERS, INDICES[:1].take([0] * 4)), lambda: pc.if_else(FLAGS, NUMBERS, 3)),
        (lambda: kernels.differ(NUMBERS, NUMBERS[::-1]), lambda: pc.not_equal(NUMBERS, NUMBERS[::-1])),
    ],
    ids=["cast", "take", "filter", "is in", "contains", "trimmed", "chosen", "differ"],
)
def test_arrays(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    assert ours().equals(theirs())


def test_rows_that_are_kept() -> None:
    batch = pa.RecordBatch.from_arrays([NUMBERS, FLAGS], names=["number", "flag"])
    assert kernels.filter_rows(batch, FLAGS).equals(batch.filter(FLAGS))


@pytest.mark.parametrize("values", [TEXTS, pa.chunked_array([TEXTS, TEXTS[:2]])], ids=["array", "chunks"])
def test_counts(values: Any) -> None:
    assert kernels.distinct_count(values) == pc.count_distinct(values).as_py()
    assert kernels.bytes_of_texts(values) == pc.sum(pc.binary_length(values)).as_py()


def test_no_text_has_no_bytes() -> None:
    assert kernels.bytes_of_texts(pa.array([], pa.string())) == 0


@pytest.mark.parametrize("flags", [[], [True, None], [True, False]], ids=str)
def test_all(flags: list[bool | None]) -> None:
    array = pa.array(flags, pa.bool_())
    assert kernels.are_all(array) is bool(pc.all(array).as_py())


@pytest.mark.parametrize(("text", "to"), [("1.5", pa.int64()), ("x", pa.date32()), ("300", pa.int8())], ids=str)
def test_a_value_that_would_change_is_refused(text: str, to: pa.DataType) -> None:
    with pytest.raises(pa.ArrowInvalid):
        kernels.cast(pa.array([text]), to)

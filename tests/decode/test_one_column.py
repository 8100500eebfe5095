"""Files of one column: a blank line is an empty value, but for those behind the last record that is kept.

What is written is what a strict reader finds once the rejected ranges are deleted (contract section 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csv_transcode.decode.dialect_detection import Given
from csv_transcode.decode.inference import TypeRules
from csv_transcode.decode.reader import Reading, read_head
from csv_transcode.decode.records import Cuts
from csv_transcode.decode.stripes import StripeDecoder
from csv_transcode.schema import ColumnType
from tests.profiles import examples

if TYPE_CHECKING:
    from csv_transcode.rejects import Reject

HEADER = b"n\n"
LINES = st.lists(st.sampled_from([b"", b"1", b"x", b'"2"', b'"y"', b"1,2", b'a"b', b"\xff"]), max_size=10)
GIVEN = Given(delimiter=",", quote_char='"', escape_char="")
RULES = TypeRules(given={"n": ColumnType("int64")})


def decoded(source: bytes, cuts: Cuts | None = None) -> tuple[list[int | None], list[Reject]]:
    """Return the values of column n, and the rejects, numbered through."""
    head = read_head([source], Reading(GIVEN, encoding="utf-8", cuts=cuts or Cuts(), rejected_ratio_max=1.0))
    if head is None:
        return [], []
    decoder = StripeDecoder(head.names, head.dialect, RULES)
    values: list[int | None] = []
    rejects: list[Reject] = []
    read = 0
    for stripe in head.stripes(decoder):
        observed = decoder.observe(decoder.parse(stripe), None)
        batch = decoder.cast(observed, [RULES.given["n"]])
        assert batch is not None
        values += batch.column(0).to_pylist()
        rejects += [reject.counted_from(read) for reject in observed.rejects]
        read += observed.count
    assert read == len(values) + len(rejects)
    return values, rejects


def what_is_left(source: bytes, rejects: list[Reject]) -> list[int | None]:
    """Return the values of the source without the rejected ranges: blank lines before the last value are null."""
    at, left = 0, b""
    for reject in rejects:
        left, at = left + source[at : reject.offset], reject.offset + len(reject.raw)
    lines = (left + source[at:]).removeprefix(HEADER).decode().rstrip("\n").split("\n")
    return [int(line.strip('"')) if line else None for line in lines] if lines != [""] else []


@pytest.mark.long
@given(LINES, st.sampled_from([3, 7, 1 << 20]), st.booleans())
@example(lines=[b"", b"x", b""], stripe_bytes=1 << 20, ended=True)
@example(lines=[b"1", b"", b"x"], stripe_bytes=3, ended=False)
@example(lines=[b"1", b"", b"x", b"", b"2"], stripe_bytes=3, ended=False)
@examples(400)
def test_the_values_are_those_of_what_is_left(lines: list[bytes], stripe_bytes: int, ended: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    source = HEADER + b"\n".join(lines) + b"\n" * ended
    values, rejects = decoded(source, Cuts(stripe_bytes, min(stripe_bytes, 5), 1 << 20))
    assert values == what_is_left(source, rejects)


@pytest.mark.parametrize(
    ("source", "values", "records"),
    [
        (b"n\n\nx\n\n", [], [1]),
        (b"n\n5\n\nx\n", [5], [2]),
        (b"n\n5\n\nx\n\n6\n", [5, None, None, 6], [3]),
        (b"n\nx\ny\n\n", [], [1, 2]),
    ],
)
def test_blank_lines_around_values_that_do_not_fit(source: bytes, values: list[int | None], records: list[int]) -> None:
    found, rejects = decoded(source)
    assert found == values
    assert [reject.record for reject in rejects] == records
